"""A run's numbers beside those of its cluster."""

import time
import urllib.request

import pytest
import ray

from awac_dist.distributed.ray_runtime import RayRuntime

SOON_S = 60.0


def exported(wanted: str) -> list[str]:
    """Lines of the node's metrics that hold a word, once there are some."""
    node = ray.nodes()[0]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(address) as answer:
            lines = [line for line in answer.read().decode().splitlines() if wanted in line]
        if lines:
            return lines
        time.sleep(0.5)
    return []


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_metrics_are_exported_under_their_own_names() -> None:
    runtime = RayRuntime()
    show = runtime.gauges("a-run")
    show({"learner/wait_share": 0.5, "eval/return": 7.0})
    show({"learner/wait_share": 0.25})
    lines = exported("ray_awac_dist_learner_wait_share")
    (line,) = [line for line in lines if 'run="a-run"' in line]  # others ran in this session
    assert float(line.split()[-1]) == 0.25
    assert any(line.endswith(" 7.0") for line in exported("ray_awac_dist_eval_return"))
    runtime.close()
