"""Evaluates what the learner published: the mean action, on the same seeds every time."""

from __future__ import annotations

from awac_dist.evaluation.episodes import EpisodePlayer
from awac_dist.evaluation.result import Evaluation, evaluation_of
from awac_dist.messages import WeightsReader
from awac_dist.policies import make_policy
from awac_dist.policies.policy import Policy
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import EnvSpec


class Evaluator:
    """A plain object; `distributed.actors` gives it a process of its own.

    Args:
        spec: The task.
        policy: Shape of the policy.
        weights: Where policies come from.
        seed: The run's seed; episode i always starts from the same state.
    """

    def __init__(
        self, spec: EnvSpec, policy: PolicySpec, weights: WeightsReader, *, seed: int
    ) -> None:
        self._env_id, self._policy_spec, self._weights = spec.env_id, policy, weights
        self._player = EpisodePlayer(spec, seed=seed)
        self._policy: Policy | None = None

    def load(self) -> int | None:
        """Take the newest policy and return its version: what `run` will evaluate.

        None where nobody keeps one, because nothing was published or the weight store died.
        """
        newest = self._weights.pull(-1)
        if newest is None:
            return None
        self._policy = make_policy(self._policy_spec, newest.vector, newest.version)
        return newest.version

    def run(self, label: str, episodes: int) -> Evaluation:
        """Evaluate the loaded policy over `episodes` whole episodes."""
        assert self._policy is not None, "load comes first"
        played = self._player.play(self._policy, range(episodes))
        return evaluation_of(label, self._policy.version, self._env_id, played)
