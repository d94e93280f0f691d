"""Every component as a process of a Ray cluster."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import ray
from ray.util.metrics import Gauge

from awac_dist.distributed.actors import ACTORS
from awac_dist.distributed.handles import RayFuture, RayHandle, SharedWeightsReader
from awac_dist.distributed.places import Places
from awac_dist.distributed.process import Process, whereabouts
from awac_dist.distributed.session import Session
from awac_dist.messages import Future
from awac_dist.replay.shard import ReplayShard
from awac_dist.runs.runtime import Runtime

GAUGE_PREFIX = "awac_dist_"  # before which Ray puts `ray_`


class RayRuntime(Runtime):
    """Starts Ray on this machine, or joins a cluster, and ends what it started.

    Args:
        address: Address of a running cluster; None joins the one that RAY_ADDRESS names, as it
            does in a job, else starts Ray here, unless this process has a session already, which
            is then used and left running; one that another run of it began is shared.
        last_word: See `Session`.

    Raises:
        InputError: There is no cluster at the address, or Ray does not start here.
    """

    def __init__(
        self, address: str | None = None, last_word: Callable[[str], object] | None = None
    ) -> None:
        self._session = Session(address, last_word)
        try:
            self._places, self._home = Places(), _where()
        except BaseException:  # Ctrl-C, too
            self._session.close()
            raise
        self.resources = self._places.resources
        self._processes: list[Process] = []
        self._asked: dict[Any, Process] = {}  # by the reference that comes once it runs

    def reserve(self, gpus: int) -> str:
        return self._places.reserve(gpus)

    def start(
        self, component: type, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0, **named: Any
    ) -> RayHandle:
        self._session.check(at_once=True)  # it may be what the one before died of
        place = self._places.worker(cpus) if cpus else self._places.beside_learner(gpus)
        actor = ACTORS[component].options(**place).remote(*arguments, **named)
        needs = f" ({cpus:g} CPU)" if cpus else f" ({gpus:g} GPU)" if gpus else ""
        number = named.get("worker", arguments[0] if component is ReplayShard else "")
        words = re.sub(r"(?<=.)(?=[A-Z])", " ", component.__name__).lower()
        name = f"{words} {number}".strip()
        self._processes.append(Process(name, needs=f"{component.__name__}{needs}", actor=actor))
        self._ask(self._processes[-1])
        return RayHandle(actor, name)

    def end(self, handle: RayHandle) -> None:
        self._session.check(at_once=True)
        ray.kill(handle.actor)
        self._processes = [its for its in self._processes if its.actor is not handle.actor]
        self._asked = {ref: its for ref, its in self._asked.items() if its in self._processes}

    def waits_for(self) -> str:
        self._hear()
        counts = Counter(its.needs for its in self._asked.values() if its.pid is None)
        if not counts:
            return ""
        words = ", ".join(f"{count} x {name}" for name, count in counts.items())
        there = ray.cluster_resources()
        return f"{words}; all nodes have {there.get('CPU', 0):g} CPU, {there.get('GPU', 0):g} GPU"

    def end_stopped(self) -> list[str]:
        ended = [its for its in [*self._session.parts, *self._processes] if its.end_if_stopped()]
        for process in self._processes:
            if process.has_left and process not in self._asked.values():
                self._ask(process)
        return [f"{process} was stopped all the time of late, and is ended" for process in ended]

    def who(self, future: Future) -> str:
        name = future.name if isinstance(future, RayFuture) else ""
        return next((str(its) for its in reversed(self._processes) if its.name == name), name)

    def _ask(self, process: Process) -> None:
        self._asked[process.actor.__ray_call__.remote(whereabouts)] = process

    def _hear(self) -> None:
        """Take note of who has found a place, or will never have one again."""
        own = ray.get_runtime_context().get_node_id()
        for reference in _done(list(self._asked), 0):
            process = self._asked.pop(reference)
            try:
                pid, node = ray.get(reference)
            except ray.exceptions.RayError:
                self._processes.remove(process)
            else:
                process.is_at(pid, here=node == own)

    def weights_reader(self, store: RayHandle) -> SharedWeightsReader:
        return SharedWeightsReader(store)

    def wait(self, futures: Sequence[Future], timeout_s: float) -> list[Future]:
        posted = {future.reference: future for future in futures if isinstance(future, RayFuture)}
        done = _done(list(posted), timeout_s)
        self._session.check()  # first: who dies with it is not replaced
        return [posted[reference] for reference in done]

    def gauges(self, run: str) -> Callable[[Mapping[str, float]], None]:
        """Metrics under their TensorBoard names: `replay/size` as `ray_awac_dist_replay_size`."""

        @cache
        def gauge(name: str) -> Gauge:
            return Gauge(GAUGE_PREFIX + name.replace("/", "_"), name, tag_keys=("run",))

        def show(values: Mapping[str, float]) -> None:
            for name, value in values.items():
                gauge(name).set(value, {"run": run})

        return show

    def close(self) -> None:
        self._session.close(self._give_back)
        for process in self._processes if self._session.is_lost else ():
            process.end()  # a stopped one would go on one day

    def _give_back(self) -> None:
        if _where() == self._home:  # the program may have ended that Ray, and begun another one
            self._places.free()
            for process in self._processes:
                ray.kill(process.actor)


def _where() -> tuple[str, str]:
    """This process in its cluster: the node, and the job."""
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()


def _done(references: list[Any], timeout_s: float) -> list[Any]:
    """All that are there, as soon as one is."""
    if not references:
        return []
    done, waiting = ray.wait(references, timeout=timeout_s, fetch_local=False)
    if done and waiting:
        done += ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)[0]
    return list(done)
