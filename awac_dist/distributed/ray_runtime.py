"""Every component as a process of a Ray cluster."""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import ray
from ray.util.metrics import Gauge

from awac_dist.distributed.actors import ACTORS
from awac_dist.distributed.handles import RayFuture, RayHandle, SharedWeightsReader
from awac_dist.distributed.places import Places
from awac_dist.errors import InputError
from awac_dist.messages import Future
from awac_dist.runs.plan import named_address
from awac_dist.runs.runtime import Runtime

GAUGE_PREFIX = "awac_dist_"  # before which Ray puts `ray_`


class RayRuntime(Runtime):
    """Starts Ray on this machine, or joins a cluster, and ends what it started.

    Args:
        address: Address of a running cluster; None joins the one that RAY_ADDRESS names, as it
            does in a job, else starts Ray here, unless this process has a session already, which
            is then used and left running.

    Raises:
        InputError: There is no cluster at the address, or Ray does not start here.
    """

    def __init__(self, address: str | None = None) -> None:
        self._owns_session = not ray.is_initialized()
        if self._owns_session:
            _connect(address or named_address())
        self._places = Places()
        self.resources = self._places.resources
        self._actors: list[Any] = []
        self._unplaced: dict[Any, str] = {}  # what it is, by the reference that comes once it runs

    def reserve(self, gpus: int) -> str:
        where = self._places.reserve(gpus)
        return where if len(ray.nodes()) > 1 or self._places.has_roles else ""

    def start(
        self, component: type, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0, **named: Any
    ) -> RayHandle:
        place = self._places.worker(cpus) if cpus else self._places.beside_learner(gpus)
        actor = ACTORS[component].options(**place).remote(*arguments, **named)
        self._actors.append(actor)
        needs = f" ({cpus:g} CPU)" if cpus else f" ({gpus:g} GPU)" if gpus else ""
        self._unplaced[actor.__ray_ready__.remote()] = f"{component.__name__}{needs}"
        return RayHandle(actor)

    def waits_for(self) -> str:
        for reference in _done(list(self._unplaced), 0):
            del self._unplaced[reference]
        if not self._unplaced:
            return ""
        counts = Counter(self._unplaced.values())
        words = ", ".join(f"{count} x {name}" for name, count in counts.items())
        there = ray.cluster_resources()
        return f"{words}; all nodes have {there.get('CPU', 0):g} CPU, {there.get('GPU', 0):g} GPU"

    def weights_reader(self, store: RayHandle) -> SharedWeightsReader:
        return SharedWeightsReader(store)

    def wait(self, futures: Sequence[Future], timeout_s: float) -> list[Future]:
        posted = {future.reference: future for future in futures if isinstance(future, RayFuture)}
        return [posted[reference] for reference in _done(list(posted), timeout_s)]

    def gauges(self, run: str) -> Callable[[Mapping[str, float]], None]:
        """Metrics under their TensorBoard names: `replay/size` as `ray_awac_dist_replay_size`."""
        gauges: dict[str, Gauge] = {}

        def show(values: Mapping[str, float]) -> None:
            for name, value in values.items():
                if name not in gauges:
                    exported = GAUGE_PREFIX + name.replace("/", "_")
                    gauges[name] = Gauge(exported, name, tag_keys=("run",))
                gauges[name].set(value, {"run": run})

        return show

    def close(self) -> None:
        self._places.free()
        if self._owns_session:
            ray.shutdown()
            return
        for actor in self._actors:
            ray.kill(actor)


def _done(references: list[Any], timeout_s: float) -> list[Any]:
    """All that are there, as soon as one is."""
    if not references:
        return []
    done, waiting = ray.wait(references, timeout=timeout_s, fetch_local=False)
    if done and waiting:
        more, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        done += more
    return list(done)


def keep_token_private() -> None:
    """Make the token of this user's local sessions before Ray does, which lets everybody read it.

    One that is there already becomes private. A token that the environment names is left alone.
    """
    if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        return
    token = Path.home() / ".ray" / "auth_token"
    with suppress(OSError):  # Ray says what is wrong with the folder
        token.parent.mkdir(exist_ok=True)
        descriptor, made = mkstemp(dir=token.parent)  # readable by nobody else
        with open(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        with suppress(FileExistsError):
            os.link(made, token)  # whole, and never over another process's
        os.unlink(made)
        if stat.S_IMODE(token.stat().st_mode) & 0o077:
            token.chmod(0o600)


def _connect(address: str | None) -> None:
    if address is None and os.environ.get("RAY_AUTH_MODE", "token").lower() == "token":
        keep_token_private()
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
