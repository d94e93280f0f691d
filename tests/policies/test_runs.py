"""A run with every kind of policy: what it leaves acts as it was evaluated."""

import json
import shlex
from pathlib import Path
from typing import get_args, get_type_hints

import gymnasium
import numpy as np
import pytest
from running import ENV, SMALL, write_demonstrations

from awac_dist import load_policy
from awac_dist.algorithms import METHODS, config_class
from awac_dist.cli.main import main
from awac_dist.envs.make import env_spec
from awac_dist.nn.config import ActorConfig, NetworkConfig

ACTORS = get_args(get_type_hints(ActorConfig)["kind"])
CHOOSE = [  # methods whose policies are of other kinds
    name for name in METHODS if config_class(name)().policy_spec(env_spec(ENV)).kind not in ACTORS
]


def narrow(name: str) -> list[str]:
    """Small sizes of the networks that are not every method's."""
    parts = vars(config_class(name)()).items()
    own = [its for its, part in parts if isinstance(part, NetworkConfig)]
    own = [its for its in own if its not in ("actor", "critic")]
    return [word for its in own for word in (f"--algorithm.{its}.hidden", "16", "16")]


SHORT = shlex.split(
    "--clone.updates 5 --clone.episodes 1 --offline.updates 5 --online.env_steps 30"
)
WORDS = [
    *(["--algorithm.actor.kind", kind] for kind in ACTORS),
    *(["--algorithm", name, *narrow(name)] for name in CHOOSE),
]


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("kind", WORDS, ids=" ".join)
def test_a_run_of_every_kind_leaves_a_policy_that_acts(kind: list[str], tmp_path: Path) -> None:
    run, facts = str(tmp_path / "run"), tmp_path / "facts.json"
    data = write_demonstrations(tmp_path / "demonstrations.parquet")
    words = ["--runtime", "inline", "--data", data, "--run-dir", run]
    assert main(["launch", *SMALL, *SHORT, *words, *kind]) == 0
    assert main(["evaluate", run, "--episodes", "1", "--json", str(facts)]) == 0
    policy, env = load_policy(run), gymnasium.make(ENV)
    rng = np.random.default_rng((0, 0x5EED, 0))  # of the run's first evaluated episode
    seen, total, ended = env.reset(seed=int(rng.integers(2**31)))[0], 0.0, False
    while not ended:
        seen, reward, _, ended, _ = env.step(policy(seen))
        total += float(reward)
    assert json.loads(facts.read_text())["returns"] == [pytest.approx(total, rel=1e-6)]
