"""What acts: one policy, whether it is broadcast or kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from methods import ENV
from running import small

from awac_dist.algorithms.awac import AWAC, AWACConfig
from awac_dist.algorithms.base import Method
from awac_dist.algorithms.world import Acting
from awac_dist.learner.config import LearnerConfig
from awac_dist.learner.learner import Learner
from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.npz import find_policy, read_policy
from awac_dist.runs.runtime import InlineHandle
from awac_dist.types import Array


class Store:
    """Keeps the newest policy."""

    vector: Array

    def publish(self, version: int, spec: object, vector: Array) -> None:
        self.vector = vector


def test_a_method_says_itself_what_acts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def averaged(self: Method) -> Acting:
        arrays = {name: value.detach() / 2 for name, value in self.actor.arrays().items()}
        return Acting(self.actor.spec, arrays)

    monkeypatch.setattr(AWAC, "acting", averaged)
    store = Store()
    learner = Learner(
        ENV,
        LearnerConfig(),
        [],
        InlineHandle(store),
        online_capacity=1_000,
        seed=0,
        device="cpu",
    )
    learner.begin(small(AWACConfig()), 32)
    kept = learner.save(str(tmp_path), {})
    halved = torch.cat([value.flatten() / 2 for value in learner.method.actor.arrays().values()])
    np.testing.assert_array_equal(store.vector, halved.detach().numpy())
    policy = read_policy(find_policy(kept))
    assert isinstance(policy, NetworkPolicy)
    np.testing.assert_array_equal(policy.spec.flatten(policy.arrays), store.vector)
