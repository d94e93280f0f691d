"""Every component as a process of a Ray cluster."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import ray

from awac_dist.distributed.actors import ACTORS
from awac_dist.distributed.handles import RayFuture, RayHandle, SharedWeightsReader
from awac_dist.distributed.runtime import Resources
from awac_dist.errors import InputError
from awac_dist.types import Future, Handle


class RayRuntime:
    """Starts Ray on this machine, or joins a cluster, and ends what it started.

    Args:
        address: Address of a running cluster; None starts Ray here, unless this process
            has a session already, which is then used and left running.

    Raises:
        InputError: There is no cluster at the address, or Ray does not start here.
    """

    def __init__(self, address: str | None = None) -> None:
        self._owns_session = not ray.is_initialized()
        if self._owns_session:
            _connect(address)
        self._actors: list[Any] = []

    @property
    def resources(self) -> Resources:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return Resources(
            tuple(node["CPU"] for node in nodes if node.get("CPU")),
            sum(node.get("GPU", 0.0) for node in nodes),
        )

    def start(
        self, component: type, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0, **named: Any
    ) -> RayHandle:
        actor = ACTORS[component].options(num_cpus=cpus, num_gpus=gpus).remote(*arguments, **named)
        self._actors.append(actor)
        return RayHandle(actor)

    def weights_reader(self, store: Handle) -> SharedWeightsReader:
        assert isinstance(store, RayHandle)
        return SharedWeightsReader(store)

    def wait(self, futures: Sequence[Future], timeout_s: float) -> list[Future]:
        posted = [future for future in futures if isinstance(future, RayFuture)]
        if not posted:
            return []
        done, _ = ray.wait(
            [future.reference for future in posted],
            num_returns=1,
            timeout=timeout_s,
            fetch_local=False,
        )
        if done:
            done, _ = ray.wait(
                [future.reference for future in posted],
                num_returns=len(posted),
                timeout=0,
                fetch_local=False,
            )
        ready = set(done)
        return [future for future in posted if future.reference in ready]

    def close(self) -> None:
        if self._owns_session:
            ray.shutdown()
            return
        for actor in self._actors:
            ray.kill(actor)


def _connect(address: str | None) -> None:
    try:
        ray.init(
            address=address or "local",
            include_dashboard=False if address is None else None,
            logging_level=logging.WARNING,
        )
    except Exception as error:  # Ray raises this very class where it does not start in time
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if address is not None:
            raise InputError(f"no Ray cluster at {address}: {reason}") from error
        raise InputError(
            f"Ray does not start on this machine: {reason} Its logs are below /tmp/ray unless "
            "RAY_TMPDIR names another folder; --runtime inline goes without Ray"
        ) from error
