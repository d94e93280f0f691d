"""Whenever components answer, and wherever a run is stopped or killed: log = books = counters."""

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from commit import SEED, commit_number
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from late_runs import Case, Mode, Session, policy_of, run_case, undisturbed
from latency import Blow

COMPONENTS = ("RolloutWorker", "ReplayShard", "Learner", "Evaluator", "WeightStore")
BLOWS = ("vanish", "stop", "time", *COMPONENTS)  # time: seconds are over, not messages
HARMLESS = {"vanish", "stop", "ReplayShard", "Evaluator"}  # no update is lost, no stream ends
MESSAGES = {"load": 8, "clone": 12, "collect": 20, "offline": 25, "warm-up": 30, "online": 100}
EACH = 13  # cases of each kind of blow in each mode


def draw_blow(rng: Random, phases: Sequence[str], whats: Sequence[str]) -> Blow:
    """A moment of a phase, and what befalls the run then."""
    phase, what = rng.choice(phases), rng.choice(whats)
    after, linger = rng.randint(1, MESSAGES[phase]), rng.choice((0.0, 0.0, 0.01, 0.1, 1.0))
    return Blow(phase, after, what, linger, aimed=what in COMPONENTS and rng.random() < 0.5)


def draw_session(rng: Random, blows: Sequence[Blow]) -> Session:
    """A session with so many shards, and now and then another arrangement than before."""
    workers, mode = rng.choice((None, None, None, 1, 2, 3)), None
    if rng.random() < 0.3:
        mode = rng.choice(("sync", "async"))
    return Session(tuple(blows), rng.randint(1, 3), workers, mode)


def draw_case(rng: Random, mode: Mode, what: str) -> Case:
    """One to three sessions that something befalls; in the first it is `what`, at least."""
    clone, offline, warmup = (rng.random() < 0.5 for _ in range(3))
    there = {"clone": clone, "collect": clone, "offline": offline, "warm-up": warmup}
    phases = [phase for phase in MESSAGES if there.get(phase, True)] + ["online"]

    def more() -> list[Blow]:
        return [draw_blow(rng, phases, BLOWS) for _ in range(rng.randint(0, 2))]

    first = [draw_blow(rng, phases, [what]), *more()]
    blows = [first, *(more() for _ in range(rng.randint(0, 2)))]
    stretches = rng.choice(("", "pauses", "rounds"))
    paces = {name: rng.choice((0.01, 0.1, 1.0)) for name in ("message", "driver", *COMPONENTS)}
    return Case(
        rng.getrandbits(32),
        tuple(draw_session(rng, its) for its in blows),
        tuple(paces.items()),
        mode,
        workers=rng.randint(1, 3),
        envs=rng.randint(1, 2),
        clone=clone,
        offline=offline,
        warmup=warmup,
        pauses=stretches == "pauses",
        rounds=stretches == "rounds",
        capacity=rng.choice((1_000_000, 22)),
        repeatable=rng.random() < 0.8,
        awac=rng.random() < 0.2,
    )


def repeats(case: Case, struck: Sequence[str]) -> bool:
    """Whether the run ends as if nothing had befallen it."""
    modes = {case.mode, *(session.mode or case.mode for session in case.sessions)}
    crews = {case.workers, *(session.workers or case.workers for session in case.sessions)}
    same = case.repeatable and modes == {"sync"} and len(crews) == 1
    return same and HARMLESS.issuperset(struck)


@pytest.mark.parametrize("what", BLOWS)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_log_books_and_counters_agree(mode: Mode, what: str) -> None:
    @seed(commit_number())
    @settings(
        max_examples=EACH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=True))  # piece by piece, cases would be much alike
    def holds(rng: Random) -> None:
        case = draw_case(rng, mode, what)
        note(f"{case}\n{SEED}={commit_number()} repeats this")
        outcome = run_case(case)
        if repeats(case, outcome.struck):
            np.testing.assert_array_equal(policy_of(outcome), undisturbed(case))

    holds()
