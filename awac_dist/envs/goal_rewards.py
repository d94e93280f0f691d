"""What a goal task says of goals that were not its own: rewards in hindsight."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from awac_dist.envs.make import make_task
from awac_dist.errors import InputError
from awac_dist.messages import Outcome
from awac_dist.types import Array, EnvSpec

CHECKED_ROWS = 8
Rule = Callable[[Any, Any, Any], Any]


class TaskRewards:
    """A goal task's own `compute_reward` and `compute_terminated`, over many rows at once.

    It makes the environment when it is first called, so that it travels to another process
    as a name. A rule that takes one row only is called row by row.
    """

    def __init__(self, spec: EnvSpec) -> None:
        self._spec = spec

    @cached_property
    def _env(self) -> Any:
        return make_task(self._spec).unwrapped

    def __call__(self, achieved: Array, desired: Array) -> Outcome:
        """Rewards and terminations of steps that reach `achieved` [n, G], being after `desired`.

        An InputError says that the task's rule needs more than the goals.
        """
        rewards = self._apply(self._env.compute_reward, achieved, desired)
        rule = getattr(self._env, "compute_terminated", None)
        terminated = self._apply(rule, achieved, desired) if rule else np.zeros(len(rewards))
        return Outcome(rewards.astype(np.float32), terminated.astype(bool))

    def _apply(self, rule: Rule, achieved: Array, desired: Array) -> np.ndarray:
        try:
            return over_rows(rule, achieved, desired)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self._spec.env_id}: {rule.__name__} needs more than the goals ({error!r}): "
                "its data cannot be relabelled, so leave replay.goals out"
            ) from error


def over_rows(rule: Rule, achieved: Array, desired: Array) -> np.ndarray:
    """rule(achieved, desired, {}) for all rows of goals [n, G]: at once, if that gives the same."""
    try:
        together = np.asarray(rule(achieved, desired, {}))
    except Exception:  # whatever a rule for one row makes of many, such as `if distance < limit`
        together = np.empty(0)
    pairs = list(zip(achieved, desired, strict=True))
    if together.shape == (len(pairs),):
        singly = [rule(a, d, {}) for a, d in pairs[:CHECKED_ROWS]]
        if np.allclose(together[:CHECKED_ROWS], singly):
            return together
    return np.array([rule(a, d, {}) for a, d in pairs])
