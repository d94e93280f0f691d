"""Whole runs on the late runtime, and what must be true of each: log = books = counters."""

import os
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import psutil
from environments import VARIES, register
from latency import Blow, Clock, LateRuntime, Vanished, instead_of_time
from on_policy import check_rounds, updates_of_rounds
from running import Witness, small

from awac_dist.algorithms.awac import AWACConfig
from awac_dist.algorithms.bc import BCConfig
from awac_dist.config import CLONE, CloneConfig, OfflineConfig, OnlineConfig, RunConfig
from awac_dist.data.experience import finish_journals, list_files, read_fragments
from awac_dist.data.journal import SUFFIX
from awac_dist.data.parquet import write_episodes
from awac_dist.data.sources import EXPERIENCE, open_source
from awac_dist.envs.make import env_spec
from awac_dist.errors import RunFailed
from awac_dist.evaluation.config import EvaluationConfig
from awac_dist.files import sealed
from awac_dist.learner.checkpoint import load_checkpoint, load_progress, newest_whole
from awac_dist.learner.config import LearnerConfig
from awac_dist.messages import UpdateReport
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.sampler import ONLINE
from awac_dist.rollout.config import RolloutConfig
from awac_dist.runs.components import Components
from awac_dist.runs.driver import Driver
from awac_dist.runs.evaluating import ATTEMPTS
from awac_dist.runs.plan import make_plan
from awac_dist.types import Array, Episode, Origin

EPISODES, ENV_STEPS, WARMUP_STEPS, RATIO = 5, 40, 10, 0.5
PAUSE_STEPS, PAUSE_UPDATES = 9, 4
ROUND_STEPS = 8
Mode = Literal["sync", "async"]
Key = tuple[int, ...]
Fragments = dict[str, dict[Key, int]]  # source -> key -> steps

register()
SPEC = env_spec(VARIES)


@dataclass(frozen=True)
class Session:
    """One start of a run."""

    blows: tuple[Blow, ...] = ()
    shards: int = 2
    workers: int | None = None  # None: as the case has it
    mode: Mode | None = None


@dataclass(frozen=True)
class Case:
    """A run of several sessions, and how long everything takes in it."""

    seed: int
    sessions: tuple[Session, ...]  # one more follows, which nothing befalls
    paces: tuple[tuple[str, float], ...]
    mode: Mode = "sync"
    workers: int = 2
    envs: int = 1
    clone: bool = True
    capacity: int = 1_000_000
    awac: bool = False  # else BC, which is quicker and reads the batches, too
    offline: bool = True
    warmup: bool = False
    pauses: bool = False
    rounds: bool = False
    repeatable: bool = True


@dataclass
class Outcome:
    """What a case left behind."""

    learner: Any = None
    struck: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)


@cache
def data() -> tuple[TemporaryDirectory[str], str]:
    """Two demonstrations; the folder is gone once nobody holds it."""
    folder = TemporaryDirectory(prefix="latency-data-")
    path = f"{folder.name}/demonstrations.parquet"
    rng, episodes = np.random.default_rng(0), []
    for number in range(2):
        columns = [rng.normal(size=shape).astype(np.float32) for shape in ((6, 4), (5, 2), 5)]
        origin = Origin("demonstration", episode=number)
        episodes.append(Episode(*columns, terminated=True, truncated=False, origin=origin))
    write_episodes(path, episodes, SPEC)
    return folder, path


def config_of(case: Case, session: Session) -> RunConfig:
    seconds = [blow.after for blow in session.blows if blow.what == "time"]
    return RunConfig(
        env=VARIES,
        data=(data()[1],),
        workers=session.workers or case.workers,
        shards=session.shards,
        mode=session.mode or case.mode,
        clone=CloneConfig(updates=4 * case.clone, batch_size=4, episodes=EPISODES * case.clone),
        offline=OfflineConfig(updates=4 * case.offline, batch_size=4),
        online=OnlineConfig(
            env_steps=ENV_STEPS,
            warmup_steps=WARMUP_STEPS * case.warmup,
            updates_per_step=RATIO,
            pause_steps=PAUSE_STEPS if case.pauses else None,
            pause_updates=PAUSE_UPDATES,
            round_steps=ROUND_STEPS if case.rounds else None,
            max_minutes=seconds[0] / 60 if seconds else None,
        ),
        algorithm=small(AWACConfig() if case.awac else BCConfig(), width=4),
        replay=ReplayConfig(capacity=case.capacity),
        rollout=RolloutConfig(fragment_steps=4, envs_per_worker=case.envs),
        learner=LearnerConfig(batch_size=4, threads=1, updates_per_call=3, batches_per_request=2),
        evaluation=EvaluationConfig(episodes=1, curve_episodes=1, every_updates=7),
    )


class Inspector(Witness):
    """Tells the runtime of phases, and looks at a run once it is loaded."""

    def __init__(self, folder: Path, runtime: LateRuntime, online: OnlineConfig) -> None:
        super().__init__()
        self._folder, self._runtime, self._online = folder, runtime, online
        self.driver: Any = None

    def phase(self, name: str, total: int, unit: str, done: int = 0) -> None:
        super().phase(name, total, unit, done)
        self._runtime.enter(name)
        if name != "load" and set(self.phases[:-1]) == {"load"}:
            self.inspect()

    def updated(self, report: UpdateReport) -> None:
        super().updated(report)
        progress = self.driver.progress
        if progress.phase == "online":
            done = progress.grad_steps - progress.phase_from
            steps = progress.env_steps - self._online.warmup_steps
            pauses = steps // PAUSE_STEPS if self._online.pause_steps else 0
            assert done <= RATIO * steps + pauses * PAUSE_UPDATES, "more updates than steps allow"

    def inspect(self, *, ended: bool = False) -> None:
        """Log = books = counters, and every fragment once."""
        logged = log_of(self._folder)
        learner = self._runtime.newest("Learner")
        if learner is None:  # it has just died, and nobody heard of it yet
            return
        progress = self.driver.progress
        for source in (CLONE, ONLINE):
            mine = logged.get(source, {})
            known, waiting, steps = books_of(learner, source)
            assert sorted([*known, *waiting]) == sorted(mine), f"log and books differ: {source}"
            assert steps == sum(mine[key] for key in known), source
            assert not (ended and waiting), f"never learned from: {source}"
            assert source == CLONE or steps == progress.env_steps, "counted otherwise than known"
        if ended:
            assert progress.env_steps == ENV_STEPS
            each = int(ROUND_STEPS * RATIO) if self._online.round_steps and progress.let_off else 0
            more = progress.updates - self._online.updates  # those of a round that was only begun
            assert more in (0, each)


def books_of(learner: Any, source: str) -> tuple[list[Key], list[Key], int]:
    """Keys of what was ever registered and of what waits to be; steps of the first."""
    known, waiting = (
        [key for its, key in names if its == source]
        for names in (learner._books._known, learner._books._waiting)
    )
    return known, waiting, learner._books.holdings().steps(source)


def log_of(folder: Path) -> Fragments:
    """Every fragment in the log, none of them twice."""
    found: Fragments = {}
    for file in list_files(f"{folder}/{EXPERIENCE}"):
        for fragment in read_fragments(file.path):
            origin = fragment.episode.origin
            key, known = (*origin.stream, origin.start), found.setdefault(fragment.source, {})
            assert key not in known, f"{fragment.source}: {key} is in the log twice"
            known[key] = len(fragment.episode)
    return found


def run_session(
    case: Case, number: int, session: Session, folder: Path, runtime: LateRuntime
) -> str:
    """Start or resume a run; returns how that ended, once everything is checked."""
    config = config_of(case, session)
    plan = make_plan(runtime.resources, workers=config.workers, shards=config.shards, gpus=0)
    newest = newest_whole(f"{folder}/checkpoints") if number else None
    inspector = Inspector(folder, runtime, config.online)
    finish_journals(list_files(f"{folder}/{EXPERIENCE}"), SPEC, inspector.note)
    sources = [open_source(argument, SPEC) for argument in config.data]
    try:
        spec = replace(SPEC, repeatable=case.repeatable)
        started = Components(runtime, config, spec, plan, str(folder), sources, number)
        driver = Driver(started, inspector, lambda: runtime.stop_asked, newest)
        inspector.driver = driver
        if driver.run() is not None:
            return "stopped"
    except Vanished:
        return "vanished"
    except RunFailed:  # promised, where an evaluator dies so often in a row
        if [blow.what for blow in runtime.struck].count("Evaluator") < ATTEMPTS:
            raise
        return "failed"
    inspector.inspect(ended=True)
    return "ended"


def run_case(case: Case) -> Outcome:
    """Go through all sessions, and one more that nothing befalls, until the run has ended."""
    outcome, clock, acknowledged = Outcome(), Clock(), set[tuple[str, Key]]()

    def answered(method: str, arguments: tuple[Any, ...], answer: Any) -> None:
        if method == "insert" and answer:
            fragment, source = arguments
            origin = fragment.origin
            acknowledged.add((source, (*origin.stream, origin.start)))

    with (
        TemporaryDirectory(prefix="latency-") as name,
        instead_of_time(clock),
        updates_of_rounds() as learned,
    ):
        for number, session in enumerate((*case.sessions, Session())):
            runtime = LateRuntime(case.seed + number, clock, dict(case.paces), session.blows)
            runtime.answered = answered
            try:
                outcome.ends.append(run_session(case, number, session, Path(name), runtime))
                if outcome.ends[-1] == "ended":
                    outcome.learner = runtime.newest("Learner")
            finally:
                runtime.close()
                close_journals(name)
            outcome.struck += [blow.what for blow in runtime.struck]
            logged = check_left(Path(name), acknowledged)
            if "WeightStore" not in outcome.struck:  # else workers act with what they have
                check_rounds(learned, name, int(ROUND_STEPS * RATIO))
            if outcome.learner:
                break
    episodes = {key[:3] for key in logged.get(CLONE, {})}
    assert len(episodes) == EPISODES * case.clone, "collected otherwise than asked for"
    return outcome


def check_left(folder: Path, acknowledged: set[tuple[str, Key]]) -> Fragments:
    """What a session leaves: all that was acknowledged, and a checkpoint that agrees with it."""
    logged = log_of(folder)
    lost = [key for source, key in acknowledged if key not in logged.get(source, {})]
    assert not lost, "acknowledged, and not in the log"
    for path in sealed(f"{folder}/checkpoints")[-1:]:
        books = load_checkpoint(path)["books"]
        in_play = books["in_play"].get(ONLINE)
        known = [] if in_play is None else in_play.tolist()
        keys = list(map(tuple, [*known, *books["forgotten"].tolist()]))
        assert len(keys) == len(set(keys)), "registered twice"
        steps = sum(logged[ONLINE][key] for key in keys)
        assert steps == books["steps"].get(ONLINE, 0) == load_progress(path)["env_steps"], path
    return logged


def close_journals(folder: str) -> None:
    """Close what dead shards were writing, as the death of a process does."""
    for file in psutil.Process().open_files():
        if file.path.startswith(folder) and file.path.endswith(SUFFIX):
            os.close(file.fd)


def policy_of(outcome: Outcome) -> Array:
    """Parameters [P] of the policy at the end."""
    vector: Array = outcome.learner.policy_vector()
    return vector.copy()


def undisturbed(case: Case) -> Array:
    """The policy of the same run, if it is a sync one, when nothing befalls it."""
    paces = dict.fromkeys(dict(case.paces), 0.1)
    return _undisturbed(replace(case, seed=0, sessions=(), paces=tuple(paces.items())))


@cache
def _undisturbed(case: Case) -> Array:
    return policy_of(run_case(case))
