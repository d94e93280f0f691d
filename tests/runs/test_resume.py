"""Runs whose learner dies, and runs that are taken up again: what is learned stays the same."""

import io
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from methods import slow_unless
from running import make_driver, run, small, small_config, write_demonstrations

from awac_dist.algorithms.bc import BCConfig
from awac_dist.config import RunConfig
from awac_dist.data.experience import list_files, read_fragments
from awac_dist.data.sources import episodes, find
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.errors import ComponentDied, InputError, RunFailed
from awac_dist.evaluation.evaluator import Evaluator
from awac_dist.files import seal, sealed, write_file
from awac_dist.learner.checkpoint import STATE, load_checkpoint, load_progress, save_checkpoint
from awac_dist.learner.learner import Learner
from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.npz import POLICY, read_policy
from awac_dist.replay.shard import ReplayShard
from awac_dist.reporting.display import PlainDisplay
from awac_dist.reporting.metrics import MetricsLog
from awac_dist.reporting.recorder import Recorder
from awac_dist.rollout.slot import Slot
from awac_dist.rollout.worker import RolloutWorker
from awac_dist.runs.loading import Resumption
from awac_dist.runs.pool import WorkerPool
from awac_dist.runs.progress import Progress
from awac_dist.runs.runtime import InlineHandle, InlineRuntime, Resources
from awac_dist.runs.weights import WeightStore
from awac_dist.types import Array

RESOURCES = Resources((2.0,), gpus=0)


class Gone:
    """The answer of a process that is no more."""

    def result(self) -> Any:
        raise ComponentDied("killed by the test")


class MortalHandle(InlineHandle):
    """Dies when it is called for the n-th time, before or after it does what was asked."""

    def __init__(self, component: Any, calls: int, *, after: bool) -> None:
        super().__init__(component)
        self._calls, self._after = calls, after

    def post(self, method: str, *arguments: Any, **named: Any) -> Any:
        self._calls -= 1
        if self._calls < 0 or (self._calls == 0 and not self._after):
            return Gone()
        answer = super().post(method, *arguments, **named)
        return Gone() if self._calls == 0 else answer


class MortalRuntime(InlineRuntime):
    """Kills components of one kind, one after the other, after given numbers of calls."""

    def __init__(self, kind: type, lives: Sequence[int], *, after: bool = False) -> None:
        super().__init__(RESOURCES)
        self._kind, self._lives, self._after = kind, list(lives), after
        self.living: list[type] = []

    def start(
        self, component: type, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0, **named: Any
    ) -> InlineHandle:
        handle = super().start(component, *arguments, **named)
        self.living.append(component)
        if component is self._kind and self._lives:
            return MortalHandle(handle.component, self._lives.pop(0), after=self._after)
        return handle

    def end(self, handle: InlineHandle) -> None:
        super().end(handle)
        self.living.remove(type(handle.component))


PLACES = ("folder", "store")


@pytest.fixture(params=PLACES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a run: a local one, or the URI of one in an object store. Every law holds for both."""
    if request.param == "folder":
        return str(tmp_path)
    uri: str = request.getfixturevalue("store")
    return uri


def everywhere(name: str, values: Sequence[Any], more: Sequence[Any] = ()) -> pytest.MarkDecorator:
    """Each value once, in a local folder and on an object store in turn.

    Those of `more` are slow: tests/laws/test_latency.py holds the same at moments that are drawn
    anew for each commit, of smaller runs.
    """
    cases = [
        slow_unless(value in values, value, PLACES[number % 2])
        for number, value in enumerate([*values, *more])
    ]
    return pytest.mark.parametrize((name, "folder"), cases, indirect=["folder"])


@pytest.fixture(scope="module")
def awac(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    path = tmp_path_factory.mktemp("data") / "demonstrations.parquet"
    return small_config(write_demonstrations(path, episodes=5))


@pytest.fixture(scope="module")
def config(awac: RunConfig) -> RunConfig:
    """The same of BC, which is quicker and reads the batches, too."""
    return replace(awac, algorithm=small(BCConfig()))


@pytest.fixture(scope="module")
def undisturbed(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Array:
    folder = tmp_path_factory.mktemp("undisturbed")
    return run(config, InlineRuntime(RESOURCES), folder)[0]


@pytest.fixture(scope="module")
def undisturbed_awac(awac: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Array:
    folder = tmp_path_factory.mktemp("undisturbed-awac")
    return run(awac, InlineRuntime(RESOURCES), folder)[0]


@pytest.mark.parametrize("after", [False, True])
@everywhere("call", [6, 9, 13], more=[1, 8])
def test_a_learner_that_dies_before_the_online_phase_changes_nothing(
    config: RunConfig, undisturbed: Array, folder: str, call: int, after: bool
) -> None:
    vector, witness, driver = run(config, MortalRuntime(Learner, [call], after=after), folder)
    assert [component for component, _ in witness.deaths] == ["learner"]
    np.testing.assert_array_equal(vector, undisturbed)
    assert driver.progress.grad_steps == 10 + 13 + 150


@everywhere("lives", [[22], [30, 12], [25, 12, 9]])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_learner_that_dies_online_loses_updates_and_no_experience(
    config: RunConfig, folder: str, lives: list[int], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, publish = replace(config, mode=mode, shards=2), WeightStore.publish
    published = list[int]()

    def recorded(store: WeightStore, version: int, *policy: Any) -> int:
        published.append(version)
        return publish(store, version, *policy)

    monkeypatch.setattr(WeightStore, "publish", recorded)
    runtime = MortalRuntime(Learner, lives)
    _, witness, driver = run(changed, runtime, folder)
    assert len(witness.deaths) == len(lives)
    counts = [report.grad_steps for report in witness.updates]
    assert counts == sorted(set(counts))
    progress = driver.progress
    assert (progress.env_steps, progress.grad_steps) == (300, 10 + 13 + 150)
    assert driver.learner.register().steps("online") == 300
    online = published[next(i for i, version in enumerate(published) if version > 10 + 13) :]
    assert min(online) >= 10 + 13, "workers act as what the new learner was before its checkpoint"


def test_a_learner_that_dies_again_and_again_ends_the_run(config: RunConfig, folder: str) -> None:
    with pytest.raises(RunFailed, match="the learner died 4 times in a row: killed by the test"):
        run(config, MortalRuntime(Learner, [8, 1, 2, 1]), folder)


@everywhere("call", [1, 3], more=[2, 5])
def test_an_evaluator_that_dies_does_its_work_again(
    config: RunConfig, undisturbed: Array, folder: str, call: int
) -> None:
    vector, witness, _ = run(config, MortalRuntime(Evaluator, [call]), folder)
    assert [component for component, _ in witness.deaths] == ["evaluator"]
    assert [e.label for e in witness.evaluations if len(e.returns) == 2] == [
        "clone",
        "offline",
        "online",
    ]
    np.testing.assert_array_equal(vector, undisturbed)


def test_without_evaluations_nobody_makes_an_environment_for_them(
    config: RunConfig, undisturbed: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluator, "__init__", lambda *_, **__: pytest.fail("an evaluator"))
    blind = replace(config, evaluation=replace(config.evaluation, episodes=0))
    vector, witness, _ = run(blind, InlineRuntime(RESOURCES), tmp_path)
    assert witness.evaluations == []
    np.testing.assert_array_equal(vector, undisturbed)


def test_an_evaluator_that_cannot_be_built_ends_the_run_before_it_learns(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(evaluator: Evaluator) -> None:
        raise InputError("no environment 'Mine-v0'")

    monkeypatch.setattr(Evaluator, "ready", unknown)
    witness, driver = make_driver(config, InlineRuntime(RESOURCES), tmp_path)
    with pytest.raises(InputError, match="Mine-v0"):
        driver.run()
    assert witness.phases == ["load"]


def test_an_evaluator_that_dies_again_and_again_ends_the_run(
    config: RunConfig, folder: str
) -> None:
    told = "evaluator died 3 times in a row: .* the last good checkpoint is"
    with pytest.raises(RunFailed, match=told):
        run(config, MortalRuntime(Evaluator, [1, 1, 1]), folder)


def test_damaged_checkpoints_do_not_hide_why_a_run_ends(config: RunConfig, tmp_path: Path) -> None:
    def damage(driver: Any) -> None:
        for path in sealed(f"{tmp_path}/checkpoints"):
            write_file(f"{path}/{STATE}", b"")

    told = "the evaluator died 3 times in a row: .*; there is no good checkpoint: .* is damaged"
    with pytest.raises(RunFailed, match=told):
        run(config, MortalRuntime(Evaluator, [1, 1, 1]), tmp_path, look=damage)


def test_shards_that_cannot_write_at_the_end_do_not_hide_why_a_run_ends(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(shard: ReplayShard) -> None:
        raise RunFailed("a.parquet: cannot be written")

    monkeypatch.setattr(ReplayShard, "flush", full)
    told = "evaluator died 3 times in a row: .* the last good checkpoint is"
    with pytest.raises(RunFailed, match=told):
        run(config, MortalRuntime(Evaluator, [1, 1, 1]), tmp_path)


class Killed(Exception):  # noqa: N818 - says what happened
    """The whole run was killed."""


def killed_at(updates: int) -> Callable[[Any], None]:
    """A look at a run that kills it once its learner has taken so many updates."""

    def look(driver: Any) -> None:
        if driver.progress.grad_steps >= updates:
            raise Killed

    return look


@everywhere(
    "killed",
    [(0, 1), (10, 3), (18, 1), (23, 2), (100, 3)],
    more=[(5, 1), (75, 1), (170, 1)],
)
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    awac: RunConfig, undisturbed_awac: Array, folder: str, killed: tuple[int, int]
) -> None:
    updates, shards = killed  # shards of the resumed run
    with pytest.raises(Killed):
        run(awac, InlineRuntime(RESOURCES), folder, look=killed_at(updates))
    resumed = replace(awac, shards=shards)
    vector, _, driver = run(resumed, InlineRuntime(RESOURCES), folder, session=1)
    np.testing.assert_array_equal(vector, undisturbed_awac)
    assert (driver.progress.env_steps, driver.progress.grad_steps) == (300, 173)
    assert driver.learner.register().steps("online") == 300
    assert logged_steps(folder) == 3 * 200 + 300


@everywhere("steps", [60, 100], more=[160])
def test_a_run_that_was_killed_in_its_warm_up_ends_as_if_it_had_not_been(
    config: RunConfig, folder: str, steps: int
) -> None:
    config = replace(config, online=replace(config.online, warmup_steps=100))
    whole = run(config, InlineRuntime(RESOURCES), f"{folder}/whole")[0]

    def look(driver: Any) -> None:
        if driver.progress.env_steps >= steps:
            raise Killed

    with pytest.raises(Killed):
        run(config, InlineRuntime(RESOURCES), f"{folder}/killed", look=look)
    vector, _, _ = run(config, InlineRuntime(RESOURCES), f"{folder}/killed", session=1)
    np.testing.assert_array_equal(vector, whole)
    assert logged_steps(f"{folder}/killed") == 3 * 200 + 300


def test_nothing_is_done_again_where_the_task_does_not_repeat(
    config: RunConfig, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("recorded actions were done again")

    monkeypatch.setattr(Slot, "go_on", refuse)
    registered = gymnasium.registry[config.env.id]
    monkeypatch.setattr(registered, "nondeterministic", True)
    with pytest.raises(Killed):
        run(config, InlineRuntime(RESOURCES), folder, look=killed_at(100))
    kept = logged_steps(folder)
    _, _, driver = run(config, InlineRuntime(RESOURCES), folder, session=1)
    known = driver.learner.register()
    assert logged_steps(folder) == known.steps("clone") + known.steps("online") >= kept
    assert driver.progress.env_steps == known.steps("online") == 300
    assert {place.incarnation for place in driver.progress.streams} == {1_000_000}


@pytest.mark.parametrize("mode", ["sync", "async"])
@everywhere("looks", [9, 22, 70], more=[3, 14, 24, 33, 45, 110])
def test_a_run_that_was_stopped_anywhere_goes_on_and_repeats_nothing(
    config: RunConfig, undisturbed: Array, folder: str, mode: str, looks: int
) -> None:
    """Stopped in order (Ctrl-C) at the n-th message: what was collected counts, and once."""
    config = replace(config, mode=mode, shards=2)
    left = [looks]

    def stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    _, before, _ = run(config, InlineRuntime(RESOURCES), folder, stop=stop)
    kept = logged_steps(folder)
    vector, witness, driver = run(config, InlineRuntime(RESOURCES), folder, session=1)
    told = sum(report.updates for report in [*before.updates, *witness.updates])
    assert told == 10 + 13 + 150  # those that the stop came upon, too
    known = driver.learner.register()
    assert known.steps("clone") == 600
    assert known.steps("online") == driver.progress.env_steps == 300
    assert logged_steps(folder) == 900
    assert driver.progress.grad_steps == 10 + 13 + 150
    collected = sum(report.env_steps for report, _ in witness.rollouts)
    if mode == "sync":
        np.testing.assert_array_equal(vector, undisturbed)
    else:
        assert collected == 900 - kept  # nothing is collected again


@pytest.mark.parametrize(
    "changes", [{"mode": "async"}, {"workers": 3}, {"mode": "async", "workers": 5, "shards": 2}]
)
@everywhere("updates", [13, 100])
def test_a_run_goes_on_with_other_workers_and_loses_nothing(
    config: RunConfig, folder: str, changes: dict[str, Any], updates: int
) -> None:
    before = replace(config, mode=changes.get("mode", "sync"))
    with pytest.raises(Killed):
        run(before, InlineRuntime(RESOURCES), folder, look=killed_at(updates))
    kept = logged_steps(folder)
    _, _, driver = run(replace(config, **changes), InlineRuntime(RESOURCES), folder, session=1)
    known = driver.learner.register()
    clone, online = known.steps("clone"), known.steps("online")
    assert logged_steps(folder) == clone + online >= kept
    assert (clone, online) == (600, driver.progress.env_steps) == (600, 300)


def test_a_stop_before_a_resumed_learner_has_its_checkpoint_writes_none(
    awac: RunConfig, killed_online: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(killed_online, tmp_path, dirs_exist_ok=True)
    before, begun = sealed(f"{tmp_path}/checkpoints"), []
    begin = Learner.begin
    monkeypatch.setattr(Learner, "begin", lambda *a, **n: begun.append(begin(*a, **n)))
    options = {"session": 1, "stop": lambda: bool(begun)}
    run(awac, InlineRuntime(RESOURCES), tmp_path, **options)
    assert begun
    assert sealed(f"{tmp_path}/checkpoints") == before


@pytest.mark.parametrize("lost", ["phase", "streams", "observer", "evaluations"])
def test_progress_of_another_version_is_one_line(lost: str, tmp_path: Path) -> None:
    observer = {"elapsed_s": 1.0, "steps_ever": 0, "left": {}, "env_steps": 0, "grad_steps": 7}
    observer |= {"faults": {}, "evaluations": {"clone": {"label": "clone"}}}  # less than it has
    told = {**Progress(grad_steps=7).state(), "observer": observer}
    told.pop(lost, None)
    seal(str(tmp_path / "7"), {"progress.json": json.dumps(told).encode()})
    log = MetricsLog(tmp_path)
    recorder = Recorder(PlainDisplay(io.StringIO(), "title"), log, {}, "Pendulum-v1")
    resumption = Resumption(SimpleNamespace(workers=()), None, None, recorder)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"7/progress.json: does not say how far the run was"):
        resumption.load(str(tmp_path / "7"))
    log.close()


def test_an_evaluation_that_a_stop_keeps_from_beginning_is_done_later(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, load = [], Evaluator.load
    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "load", lambda it: loads.append(0) or load(it))
        run(config, InlineRuntime(RESOURCES), tmp_path, stop=lambda: len(loads) == 3)
    due = load_progress(sealed(f"{tmp_path}/checkpoints")[-1])["evaluated_at"]
    assert due > 23  # of the online phase, after the results of two phases
    _, witness, _ = run(config, InlineRuntime(RESOURCES), tmp_path, session=1)
    assert due in [e.policy_version for e in witness.evaluations]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_worker_that_dies_over_what_it_did_already_costs_nothing(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    """Its run was resumed, and may be stopped and resumed while the others get new streams."""
    with pytest.raises(Killed):
        run(config, InlineRuntime(RESOURCES), tmp_path, look=killed_at(100))
    fresh, asked = WorkerPool.fresh_streams, []
    with monkeypatch.context() as patch:
        patch.setattr(WorkerPool, "fresh_streams", lambda it: asked.append(0) or fresh(it))
        runtime = MortalRuntime(RolloutWorker, [3])
        stop = (lambda: bool(asked)) if stopped else (lambda: False)
        _, witness, driver = run(config, runtime, tmp_path, session=1, stop=stop)
    assert asked
    assert witness.deaths == [("rollout worker 0", "killed by the test")]
    if stopped:
        _, _, driver = run(config, InlineRuntime(RESOURCES), tmp_path, session=2)
    known = driver.learner.register()
    assert known.steps("online") == driver.progress.env_steps == 300
    assert logged_steps(str(tmp_path)) == 900


@pytest.mark.parametrize("kind", [Learner, Evaluator, RolloutWorker])
def test_whoever_is_replaced_is_ended(config: RunConfig, tmp_path: Path, kind: type) -> None:
    """It may live: what it asked has died, or it could not be reached for a while."""
    runtime = MortalRuntime(kind, [2, 2])
    _, _, driver = run(config, runtime, tmp_path)
    assert driver.progress.env_steps == 300
    assert not runtime._lives
    assert sorted(its.__name__ for its in runtime.living) == [
        "Evaluator",
        "Learner",
        "ReplayShard",
        "RolloutWorker",
        "RolloutWorker",
        "WeightStore",
    ]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_workers_that_do_not_repeat_themselves_leave_room_for_others(
    awac: RunConfig, tmp_path: Path
) -> None:
    """On as many cores as there are workers."""
    with pytest.raises(Killed):
        run(awac, InlineRuntime(RESOURCES), tmp_path, look=killed_at(60))
    other = replace(awac, learner=replace(awac.learner, batch_size=31))
    deadline, runtime = time.monotonic() + 60, RayRuntime()
    assert runtime.resources == RESOURCES
    _, witness, driver = run(
        other, runtime, tmp_path, session=1, stop=lambda: time.monotonic() > deadline
    )
    assert time.monotonic() < deadline
    assert driver.progress.env_steps >= 300
    assert {who for who, _ in witness.deaths} == {"rollout worker 0", "rollout worker 1"}
    assert all("does not do again" in reason for _, reason in witness.deaths)


@pytest.mark.parametrize("updates", [25, 60, 100, 135])
@pytest.mark.parametrize("shards", [1, 2])
def test_what_a_worker_does_otherwise_is_not_joined_to_what_it_did(
    awac: RunConfig, tmp_path: Path, updates: int, shards: int
) -> None:
    """Other weights than before: of another learner, number of threads, kind of processor."""
    before = replace(awac, shards=shards)
    with pytest.raises(Killed):
        run(before, InlineRuntime(RESOURCES), tmp_path, look=killed_at(updates))
    other = replace(before, learner=replace(before.learner, batch_size=31))
    _, witness, driver = run(other, InlineRuntime(RESOURCES), tmp_path, session=1)
    known = driver.learner.register()
    assert known.steps("online") == driver.progress.env_steps >= 300
    assert all("does not do again" in reason for _, reason in witness.deaths)
    assert logged_steps(str(tmp_path)) == known.steps("clone") + known.steps("online")
    assert not torn(tmp_path)


def torn(folder: Path) -> list[tuple[int, ...]]:
    """Where the log joins two steps of an episode that do not follow each other."""
    files = list_files(f"{folder}/experience")
    fragments = [its.episode for file in files for its in read_fragments(file.path)]
    fragments.sort(key=lambda its: (*its.origin.stream, its.origin.start))
    return [
        (*later.origin.stream, later.origin.start)
        for its, later in pairwise(fragments)
        if its.origin.stream == later.origin.stream
        and not np.array_equal(its.observations[-1], later.observations[0])
    ]


def logged_steps(folder: str) -> int:
    """Steps in the experience log, every fragment of which may be there only once."""
    if not list_files(f"{folder}/experience"):
        return 0
    source = find(folder)
    fragments = [episode for _, _, episode in episodes(source)]
    keys = {(e.origin.stream, e.origin.start) for e in fragments}
    assert len(keys) == len(fragments)
    return sum(map(len, fragments))


@pytest.fixture(scope="module")
def killed_online(awac: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed in the midst of its online phase."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.raises(Killed):
        run(awac, InlineRuntime(RESOURCES), folder, look=killed_at(75))
    return folder


def zeros(tensors: dict[str, torch.Tensor]) -> None:
    for tensor in tensors.values():
        tensor.zero_()


def forget_moments(state: dict[str, Any], optimizer: str, moment: str) -> None:
    for of_parameter in state["method"]["optimizers"][optimizer]["state"].values():
        of_parameter[moment] = torch.zeros_like(of_parameter[moment])


LEFT_OUT: dict[str, Callable[[dict[str, Any]], None]] = {
    "actor": lambda s: zeros(s["method"]["networks"]["actor"]),
    "critic": lambda s: zeros(s["method"]["networks"]["critic"]),
    "target critic": lambda s: zeros(s["method"]["targets"]["critic"]),
    "temperature": lambda s: zeros(s["method"]["duals"]),
    "actor's first moments": lambda s: forget_moments(s, "actor", "exp_avg"),
    "critic's second moments": lambda s: forget_moments(s, "critic", "exp_avg_sq"),
    "step counts": lambda s: forget_moments(s, "critic", "step"),
    "random state": lambda s: s["method"].update(generator=torch.Generator().get_state()),
    "batch number": lambda s: s.update(grad_steps=s["grad_steps"] + 1),
    "order of online fragments": lambda s: s["books"]["in_play"].update(
        online=s["books"]["in_play"]["online"].flip(0)
    ),
    "totals": lambda s: s["books"]["steps"].update(online=0),
    "start of the phase": lambda s: s["progress"].update(phase_from=0),
    "phase": lambda s: s["progress"].update(phase="offline"),
    "streams of the workers": lambda s: s["progress"].update(streams=[]),
}


@pytest.mark.parametrize("part", ["nothing", *LEFT_OUT])
def test_every_part_of_a_checkpoint_is_needed(
    awac: RunConfig, undisturbed_awac: Array, killed_online: Path, tmp_path: Path, part: str
) -> None:
    shutil.copytree(killed_online, tmp_path, dirs_exist_ok=True)
    folder = str(tmp_path / "checkpoints")
    newest = sealed(folder)[-1]
    progress = load_progress(newest)
    state = {**load_checkpoint(newest), "progress": progress}
    LEFT_OUT.get(part, lambda s: None)(state)
    del state["progress"]
    policy = read_policy(f"{newest}/{POLICY}")
    assert isinstance(policy, NetworkPolicy)
    acting = policy.spec, policy.arrays
    save_checkpoint(folder, progress["grad_steps"], state, progress, acting, keep=1)
    try:
        vector = run(awac, InlineRuntime(RESOURCES), tmp_path, session=1)[0]
    except (InputError, ValueError, KeyError, RunFailed):
        assert part != "nothing"
    else:
        assert np.array_equal(vector, undisturbed_awac) == (part == "nothing")
