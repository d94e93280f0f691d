"""What all tests share."""

from collections.abc import Iterator

import environments
import pytest
import ray
import torch

torch.set_num_threads(1)
environments.register()


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """The one Ray session of all tests."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
