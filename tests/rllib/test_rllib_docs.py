"""Every example of docs/rllib.md runs, with smaller numbers, one after the other."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "rllib.md"
SMALLER = {  # each must be there, so that a change of the page cannot slip by
    "num_offline_updates=25_000)": (
        "num_offline_updates=20, updates_per_training_step=10, train_batch_size_per_learner=32)"
        '\n    .rl_module(model_config={"actor": {"hidden": (8,)}, "critic": {"hidden": (8,)}})'
    ),
    "rollout_fragment_length=250": "rollout_fragment_length=20",
    "evaluation_duration=3": 'evaluation_duration=20, evaluation_duration_unit="timesteps"',
    "range(30)": "range(5)",
    "grace_period=30, max_t=60": "grace_period=1, max_t=4",
    "/tmp/tune": "TMP/tune",
}
START = """
import ray, torch
torch.set_num_threads(1)
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
"""


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def test_the_page_has_every_example() -> None:
    page = "".join(blocks())
    for call in ("build_algo", "algo.train", "tune.Tuner", "from_checkpoint", "serve.run"):
        assert call in page
    for block in blocks():
        compile(block, "docs/rllib.md", "exec")


@pytest.mark.ray
@pytest.mark.slow
def test_the_examples_run(tmp_path: Path) -> None:
    pytest.importorskip("starlette", reason="needs ray[serve]")
    source = START + "\n".join(blocks())
    for wanted, smaller in SMALLER.items():
        assert source.count(wanted) == 1, wanted
        source = source.replace(wanted, smaller.replace("TMP", str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert "20 nan" in lines  # offline
    assert any(re.match(r"{'action': \[-?[0-9.e-]+(, -?[0-9.e-]+){5}\]}", line) for line in lines)
