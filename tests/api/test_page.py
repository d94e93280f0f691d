"""Every example of docs/by-code.md runs, with smaller numbers, one after the other."""

import re
from pathlib import Path

import gymnasium
import pytest

import awac_dist

PAGE = Path(awac_dist.__file__).parents[1] / "docs" / "by-code.md"
SMALLER = {  # each must be there, so that a change of the page cannot slip by
    'offline={"updates": 15_000},': (
        'offline={"updates": 10}, clone={"updates": 0}, online={"env_steps": 20}, workers=1, '
        'evaluation={"episodes": 1, "curve_episodes": 1}, learner={"batch_size": 8, "threads": 1},'
    ),
    'online={"env_steps": 5_000},': (
        'online={"env_steps": 100}, workers=1, learner={"batch_size": 8, "threads": 1}, '
        'evaluation={"episodes": 1},'
    ),
    "episodes=20": "episodes=1",
    "LearnerConfig(),": "LearnerConfig(threads=1),",
    "batch_size=256": "batch_size=8",
    "learner.update(1_000)": "learner.update(10)",
    "range(1_000)": "range(5)",
    "size=256": "size=8",
    "episodes=2)": "episodes=1)",
}


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def test_the_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = "\n".join(blocks())
    for wanted, smaller in SMALLER.items():
        assert source.count(wanted) == 1, wanted
        source = source.replace(wanted, smaller)
    try:
        exec(compile(source, str(PAGE), "exec"), {"__name__": "page"})
    finally:
        gymnasium.registry.pop("own/Reach", None)
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"Run('{tmp_path}/cheetah')\n")
    assert "10 " in out.splitlines()[-3]  # updates of the learner alone
    assert awac_dist.Run("reach").config.env.id == "own/Reach"


def test_the_page_tells_of_every_call() -> None:
    page = PAGE.read_text()
    public = {"train", "evaluate", "load_policy", "load_data", "write_episodes", "Run"}
    assert public <= set(awac_dist.__all__)
    for name in public:
        assert f"| `{name}(" in page
    for name in (name for name in vars(awac_dist.Run) if not name.startswith("_")):
        assert f"| `run.{name}" in page
