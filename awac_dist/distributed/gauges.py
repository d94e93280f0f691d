"""A run's newest numbers, where those of its Ray cluster are looked at: Prometheus, Grafana."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Gauge

PREFIX = "awac_dist_"  # before which Ray puts `ray_`


class Gauges:
    """Exports metrics under their TensorBoard names, `replay/size` as `ray_awac_dist_replay_size`.

    Args:
        run: Tells runs of one cluster apart, as the tag `run`.
    """

    def __init__(self, run: str) -> None:
        self._tags = {"run": run}
        self._gauges: dict[str, Gauge] = {}

    def show(self, values: Mapping[str, float]) -> None:
        """Replace what was shown of these metrics."""
        for name, value in values.items():
            if name not in self._gauges:
                exported = PREFIX + name.replace("/", "_")
                self._gauges[name] = Gauge(exported, name, tag_keys=("run",))
            self._gauges[name].set(value, self._tags)
