"""Whenever components answer, and wherever a run is stopped or killed: log = books = counters."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from commit import SEED, commit_number
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from late_runs import Case, Session, policy_of, run_case, undisturbed
from latency import Blow

COMPONENTS = ("RolloutWorker", "ReplayShard", "Learner", "Evaluator", "WeightStore")
BLOWS = ("vanish", "stop", "time", *COMPONENTS)  # time: seconds are over, not messages
MESSAGES = {"load": 8, "clone": 12, "collect": 20, "offline": 25, "online": 100}  # of a phase
HARMLESS = {"vanish", "stop", "ReplayShard", "Evaluator"}  # no update is lost, no stream ends
CASES = 14  # of each kind of blow in each mode


@st.composite
def blows(draw: st.DrawFn, phases: Sequence[str], whats: Sequence[str]) -> Blow:
    phase = draw(st.sampled_from([*phases, "online"]))
    after, what = draw(st.integers(1, MESSAGES[phase])), draw(st.sampled_from(whats))
    linger = draw(st.sampled_from((0.0, 0.0, 0.01, 0.1, 1.0)))
    return Blow(phase, after, what, linger, aimed=what in COMPONENTS and draw(st.booleans()))


@st.composite
def cases(draw: st.DrawFn, mode: Literal["sync", "async"], what: str) -> Case:
    """One to three sessions that something befalls; in the first it is `what`, at least."""
    clone = draw(st.booleans())
    phases = [phase for phase in MESSAGES if clone or phase not in ("clone", "collect")]
    others = st.lists(blows(phases, BLOWS), max_size=2).map(tuple)
    arrangement = (
        st.integers(1, 3),  # shards
        st.sampled_from((None, None, None, 2)),  # workers
        st.just(None),
    )
    first = (draw(blows(phases, [what])), *draw(others))
    later = draw(st.lists(st.builds(Session, others, *arrangement), max_size=2))
    pace = st.sampled_from((0.01, 0.1, 1.0))
    return Case(
        draw(st.integers(0, 2**32)),
        (draw(st.builds(Session, st.just(first), *arrangement)), *later),
        tuple((name, draw(pace)) for name in ("message", "driver", *COMPONENTS)),
        mode,
        workers=draw(st.integers(1, 3)),
        envs=draw(st.integers(1, 2)),
        clone=clone,
        capacity=draw(st.sampled_from((1_000_000, 22))),
        awac=draw(st.sampled_from((False, False, False, True))),
    )


def repeats(case: Case, struck: Sequence[str]) -> bool:
    """Whether the run ends as if nothing had befallen it."""
    same = all(s.mode in (None, "sync") for s in case.sessions) and case.mode == "sync"
    same = same and all(s.workers in (None, case.workers) for s in case.sessions)
    return same and HARMLESS.issuperset(struck)


@pytest.mark.parametrize("what", BLOWS)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_log_books_and_counters_agree(mode: Literal["sync", "async"], what: str) -> None:
    @seed(commit_number())
    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(mode, what))
    def holds(case: Case) -> None:
        note(f"{SEED}={commit_number()} repeats this")
        outcome = run_case(case)
        if repeats(case, outcome.struck):
            np.testing.assert_array_equal(policy_of(outcome), undisturbed(case))

    holds()
