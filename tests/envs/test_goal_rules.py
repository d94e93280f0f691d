"""The rule that hindsight asks is that of the task as it is stepped, wrappers and all."""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from environments import GOALS, TERMINATES, CountingGoals
from gymnasium.spaces import Dict
from gymnasium.wrappers import TransformReward

from awac_dist.cli.main import main
from awac_dist.envs.config import EnvConfig
from awac_dist.envs.goal_rewards import TaskRewards
from awac_dist.envs.make import env_spec, make_env
from awac_dist.envs.trial import trial
from awac_dist.errors import InputError

MINE = "tests/WrappedGoals-v0"
HINDSIGHT = ["--replay.goals", '{"future": 1.0}']


class Sparse(gymnasium.Wrapper):
    """Another rule than the environment's, which its steps follow."""

    def step(self, action: Any) -> Any:
        seen, _, *rest = self.env.step(action)
        reward = self.compute_reward(seen["achieved_goal"], seen["desired_goal"], {})
        return seen, float(reward), *rest

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return 5.0 + (np.abs(achieved - desired).sum(axis=-1) < 5)


class Given(Sparse):
    """Goals, and a rule of them, for an environment that has neither."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.observation_space = Dict(
            dict.fromkeys(("observation", "desired_goal", "achieved_goal"), env.observation_space)
        )

    def observed(self, seen: Any) -> dict[str, Any]:
        return {"observation": seen, "desired_goal": 0 * seen, "achieved_goal": seen}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        seen, info = self.env.reset(seed=seed, options=options)
        return self.observed(seen), info

    def step(self, action: Any) -> Any:
        seen, _, *rest = self.env.step(action)
        return self.observed(seen), float(self.compute_reward(seen, 0 * seen, {})), *rest


def given() -> Any:
    return Given(gymnasium.make(TERMINATES))


def scaled(**_: Any) -> Any:
    return TransformReward(CountingGoals(), lambda reward: 10 * reward)


@pytest.fixture
def register() -> Iterator[Callable[[Any], str]]:
    def known(make: Callable[[], Any]) -> str:
        gymnasium.register(MINE, make, max_episode_steps=9)
        return MINE

    yield known
    del gymnasium.registry[MINE]


@pytest.mark.parametrize("make", [lambda: Sparse(CountingGoals()), given, CountingGoals])
def test_the_rule_says_what_a_step_gives(make: Any, register: Callable[[Any], str]) -> None:
    env, rewards = make_env(register(make)), TaskRewards(env_spec(MINE))
    seen, _ = env.reset(seed=1)
    goals = seen[None, -env.get_wrapper_attr("goal_size") :]
    _, reward, *_, info = env.step(np.zeros(2, np.float32))
    assert rewards(info["achieved_goal"][None], goals).rewards == pytest.approx(reward)
    assert trial(EnvConfig(MINE), None, hindsight=True).spec.goal_size == goals.shape[1]


def test_a_reward_that_the_rule_does_not_know_is_told_before_a_run(
    register: Callable[[Any], str], capsys: pytest.CaptureFixture[str]
) -> None:
    task = EnvConfig(register(scaled))
    assert len(trial(task, None).rewards) == 3
    with pytest.raises(InputError, match=f"^{MINE}: compute_reward gives .* where a step gave "):
        trial(task, None, hindsight=True)
    assert main(["launch", "--env", MINE, "--dry-run", *HINDSIGHT]) == 2
    assert "leave replay.goals out" in capsys.readouterr().err


def test_a_rule_that_needs_more_is_told_before_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CountingGoals, "compute_terminated", lambda s, a, d, info: not info["x"])
    monkeypatch.setattr(CountingGoals, "step", lambda s, _: (s._observe(), 0.0, False, False, {}))
    with pytest.raises(InputError, match="compute_terminated needs more than the goals"):
        trial(EnvConfig(GOALS), None, hindsight=True)


@pytest.mark.parametrize("env_id", ["awac_dist/SawyerPush-v0", "FetchReach-v4"])
def test_the_rules_of_real_tasks_are_their_steps(env_id: str) -> None:
    assert trial(EnvConfig(env_id), None, hindsight=True).spec.goal_size
