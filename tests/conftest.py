"""What all tests share."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import environments
import pytest
import ray
import torch
from fsspec.implementations.memory import MemoryFileSystem
from moto.server import ThreadedMotoServer
from pyarrow import fs

from awac_dist import files

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


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without their learning curve, which takes as long to draw as they do."""
    monkeypatch.setattr("awac_dist.cli.launch.plot_learning_curve", lambda *_: None)


@pytest.fixture(scope="session")
def _object_store() -> Iterator[None]:
    """An object store that lives in this process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    yield
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    server.stop()


@pytest.fixture
def bucket(_object_store: None) -> str:
    """URI of a bucket, which is made anew where another test's `mock_aws` has emptied all."""
    store, _ = fs.FileSystem.from_uri("s3://runs?allow_bucket_creation=true")
    store.create_dir("runs")
    return "s3://runs"


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Path or URI at which there is nothing yet: every law of storage holds for both."""
    if request.param == "folder":
        return str(tmp_path / "there")
    return f"{request.getfixturevalue('bucket')}/{uuid4().hex}"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an object store in memory: quick, where no other process has to see it."""
    memory = fs.PyFileSystem(fs.FSSpecHandler(MemoryFileSystem()))

    class Known:
        @staticmethod
        def from_uri(uri: str) -> tuple[fs.FileSystem, str]:
            return memory, uri.removeprefix("memory:/")

    known = SimpleNamespace(**vars(fs) | {"FileSystem": Known})
    monkeypatch.setattr(files, "fs", known)
    return f"memory://{uuid4().hex}"
