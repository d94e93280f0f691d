"""What all tests share."""

from collections.abc import Iterator, Sequence

import environments
import pytest
import ray
import torch

torch.set_num_threads(1)
environments.register()


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Keep what needs Ray in one process, one after the other; all else runs beside it."""
    for item in items:
        if "ray_session" in getattr(item, "fixturenames", ()) or item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """The one Ray session of all tests."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
