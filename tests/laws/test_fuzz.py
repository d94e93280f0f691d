"""Damaged files of every kind, through every reader: data or one line, soon, in little memory."""

from pathlib import Path

import pytest
from commit import commit_number
from fuzz import KINDS, Tally, fuzz, mutants, try_all

SAMPLE = 8
MUTANTS = 2_000


@pytest.mark.parametrize("name", KINDS)
def test_some_mutants_are_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    tally = Tally()
    try_all(KINDS[name], mutants(KINDS[name], SAMPLE, commit_number(), tmp_path), tally)
    assert tally.mutants == SAMPLE
    assert tally.clean, tally


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_many_mutants_are_read_or_refused_in_one_line(name: str) -> None:
    tally = fuzz(name, MUTANTS)
    assert tally.mutants == MUTANTS
    assert tally.clean, tally
