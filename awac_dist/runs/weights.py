"""Keeps the newest policy for whoever asks."""

from __future__ import annotations

import time

from awac_dist.messages import Weights
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array


class WeightStore:
    """Newest publication of the policy. A plain object.

    Serial numbers are clock times, so that they are others than those of a store that died.
    """

    def __init__(self) -> None:
        self._newest: Weights | None = None

    def publish(self, version: int, spec: PolicySpec, vector: Array) -> int:
        """Replace the policy; returns the serial number of the publication."""
        serial = time.time_ns()
        if self._newest is not None:
            serial = max(serial, self._newest.serial + 1)
        self._newest = Weights(serial, version, spec, vector)
        return serial

    def pull(self, known: int) -> Weights | None:
        """Newest publication, or None if it is the one with a serial that is known."""
        if self._newest is None or self._newest.serial == known:
            return None
        return self._newest
