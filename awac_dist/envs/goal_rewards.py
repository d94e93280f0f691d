"""What a goal task says of goals that were not its own: rewards in hindsight."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from awac_dist.envs.make import Environment, make_task
from awac_dist.errors import InputError
from awac_dist.messages import Outcome
from awac_dist.types import Array, EnvSpec

CHECKED_ROWS = 8
RATIO, ROUNDING = 1e-2, 1e-5  # by which rewards from float32 goals may differ: theirs, the goals'
Rule = Callable[[Any, Any, Any], Any]


class TaskRewards:
    """A goal task's own `compute_reward` and `compute_terminated`, over many rows at once.

    It makes the environment when it is first called, so that it travels to another process
    as a name. A rule that takes one row only is called row by row.
    """

    def __init__(self, spec: EnvSpec) -> None:
        self._spec = spec

    @cached_property
    def _env(self) -> Environment:
        return make_task(self._spec)

    def __call__(self, achieved: Array, desired: Array) -> Outcome:
        """Rewards and terminations of steps that reach `achieved` [n, G], being after `desired`.

        An InputError says that the task's rule needs more than the goals.
        """
        return _outcome(self._env, self._spec.env_id, achieved, desired)


def check_rule(
    env: Environment, env_id: str, achieved: Array, desired: Array, rewards: Array
) -> None:
    """Refuse a task whose rule says other rewards than its steps [n] gave for the same goals."""
    found = _outcome(env, env_id, achieved, desired).rewards
    largest = max(1.0, np.abs(achieved).max(initial=0), np.abs(desired).max(initial=0))
    wrong = ~np.isclose(found, rewards, RATIO, ROUNDING * largest)
    if wrong.any():
        step = int(wrong.argmax())
        raise InputError(
            f"{env_id}: compute_reward gives {found[step]:g} where a step gave {rewards[step]:g} "
            "for the same goals: give what changes the reward, such as a wrapper, a "
            "compute_reward that does so, too, or leave replay.goals out"
        )


def _outcome(env: Environment, env_id: str, achieved: Array, desired: Array) -> Outcome:
    rewards = _apply(env, env_id, "compute_reward", achieved, desired)
    terminated = np.zeros(len(rewards))
    if env.has_wrapper_attr("compute_terminated"):
        terminated = _apply(env, env_id, "compute_terminated", achieved, desired)
    return Outcome(rewards.astype(np.float32), terminated.astype(bool))


def _apply(env: Environment, env_id: str, name: str, achieved: Array, desired: Array) -> np.ndarray:
    """The rule of this name: the outermost wrapper's that has one, as steps are seen from there."""
    try:
        return over_rows(env.get_wrapper_attr(name), achieved, desired)
    except Exception as error:  # whatever somebody else's rule raises
        wants_more = isinstance(error, KeyError | TypeError | AttributeError)
        what = "needs more than the goals" if wants_more else "fails"
        raise InputError(
            f"{env_id}: {name} {what} ({error!r}): its data cannot be relabelled, so mend the rule "
            "or leave replay.goals out"
        ) from error


def over_rows(rule: Rule, achieved: Array, desired: Array) -> np.ndarray:
    """rule(achieved, desired, {}) for all rows of goals [n, G]: at once, if that gives the same.

    What it gives may have axes of one entry more; a ValueError says that it is more than a number.
    """
    pairs = list(zip(achieved, desired, strict=True))
    try:
        together = np.asarray(rule(achieved, desired, {}))
    except Exception:  # whatever a rule for one row makes of many, such as `if distance < limit`
        together = np.empty(0)
    if together.size == len(pairs):
        together = together.reshape(-1)
        singly = [_number(rule(a, d, {})) for a, d in pairs[:CHECKED_ROWS]]
        if np.allclose(together[:CHECKED_ROWS], singly):
            return together
    return np.array([_number(rule(a, d, {})) for a, d in pairs])


def _number(found: Any) -> float:
    """What a rule gives for one row."""
    if np.size(found) != 1:
        raise ValueError(f"shape {np.shape(found)} for one step, not a number")
    return float(np.asarray(found).item())
