"""Which steps each update was drawn from, and what must be true of rounds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from awac_dist.data.experience import list_files, read_fragments
from awac_dist.data.sources import EXPERIENCE
from awac_dist.learner.learner import Learner
from awac_dist.replay.sampler import ONLINE, Draw, Sampler

Key = tuple[int, ...]


class Learned(NamedTuple):
    """An update of a round."""

    before: int  # grad_steps
    keys: set[Key]  # of the fragments that it drew


def keys_of(sampler: Any, draw: Draw) -> set[Key]:
    """The online fragments that rows lie in."""
    shard, shift, first, end, *keys = sampler._tables[ONLINE]._in_play[:, :, None]
    rows = draw.rows - shift
    found = ((shard == draw.shards) & (first <= rows) & (rows < end)).any(axis=1)
    return set(map(tuple, np.array(keys)[:, found, 0].T.tolist()))


@contextmanager
def updates_of_rounds() -> Iterator[list[Learned]]:
    """Note each update of rounds that is made meanwhile."""
    learned: list[Learned] = []
    drawn: dict[tuple[Any, int], set[Key]] = {}  # what is drawn ahead may be drawn anew
    draw, update = Sampler.draw, Learner.update

    def note_draw(sampler: Any, first: int, size: int, count: int = 1) -> Draw:
        for number in range(first, first + count) if sampler._newest else ():
            drawn[sampler, number] = keys_of(sampler, draw(sampler, number, size))
        return draw(sampler, first, size, count)

    def note_update(learner: Any, *arguments: Any) -> Any:
        before = learner.grad_steps
        report = update(learner, *arguments)
        if learner._sampler._newest:
            numbers = range(before, learner.grad_steps)
            learned.extend(Learned(n, drawn[learner._sampler, n]) for n in numbers)
        return report

    with patch.object(Sampler, "draw", note_draw), patch.object(Learner, "update", note_update):
        yield learned


def check_rounds(learned: list[Learned], folder: str, each: int) -> None:
    """Updates are of steps of one policy, which has taken fewer than `each` of them since."""
    versions = {
        (*(origin := fragment.episode.origin).stream, origin.start): origin.policy_version
        for file in list_files(f"{folder}/{EXPERIENCE}")
        for fragment in read_fragments(file.path)
        if fragment.source == ONLINE
    }
    for before, keys in learned:
        (version,) = policies = {versions[key] for key in keys}
        assert version <= before < version + each, f"update {before} is of policies {policies}"
