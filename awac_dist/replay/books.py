"""The one owner of what is known: which fragments there are, and which are learned from.

Shards announce what they hold; the books register it with the sampler, in an order that no
timing changes, and a checkpoint is written from them. So steps in the log, steps that the sampler
knows and steps that are counted agree after every resume.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from awac_dist.errors import InputError
from awac_dist.messages import (
    Cursor,
    Handle,
    Holdings,
    Placement,
    Rounds,
    StreamState,
    Tally,
    shard_of,
)
from awac_dist.replay.sampler import ONLINE, Sampler

Name = tuple[str, tuple[int, ...]]  # source and key of a fragment


class Books:
    """Registers what the shards announce, each fragment once.

    Of one round, online fragments come in the order of their keys (worker, incarnation, episode,
    start); where there are no rounds, about in the order in which the shards accepted them.
    Prior data, of the sources that `prior` names, is registered at once.
    """

    def __init__(self, sampler: Sampler, shards: Sequence[Handle], prior: Iterable[str]) -> None:
        self._sampler, self._shards, self._prior = sampler, shards, frozenset(prior)
        self._known: set[Name] = set()
        self._waiting: dict[Name, Placement] = {}
        self._fragments, self._steps = Counter[str](), Counter[str]()
        self._positions: dict[int, StreamState] = {}  # the newest, by worker
        self._cursors: list[Cursor | None] = [None] * len(shards)
        self._held_from = [0] * len(shards)  # online row of each shard, the lowest that it holds

    def register(self, rounds: Rounds | None = None) -> Holdings:
        """Ask the shards, and register what is new: everything, or by rounds.

        Args:
            rounds: Positions of the workers' streams, round after round: only what came before
                them is registered, all of one round before all of the next.
        """
        self._listen()
        waiting = list(self._waiting.values())
        self._admit([place for place in waiting if rounds is None or place.source in self._prior])
        for streams in rounds or ():
            self._positions = {stream.worker: stream for stream in streams}
            past = filter(self._is_past, self._waiting.values())
            self._admit(sorted(past, key=lambda place: place.key))
        return self.holdings()

    def holdings(self) -> Holdings:
        """Totals of what is registered, and of what strayed."""
        registered = {
            source: Tally(count, self._steps[source]) for source, count in self._fragments.items()
        }
        strays = [place for place in self._waiting.values() if not self._goes_on(place)]
        return Holdings(registered, Tally(len(strays), sum(place.length for place in strays)))

    def state(self) -> dict[str, Any]:
        """Enough to draw as before: names of fragments, in order, and totals."""
        in_play = self._sampler.keys()
        drawn = set(map(tuple, in_play.get(ONLINE, np.empty((0, 4))).tolist()))
        gone = [key for source, key in self._known if source == ONLINE and key not in drawn]
        return {
            "in_play": in_play,
            "forgotten": np.array(sorted(gone), np.int64).reshape(-1, 4),
            "fragments": dict(self._fragments),
            "steps": dict(self._steps),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put the fragments of a `state` in play again, wherever they lie by now.

        Shards that have not loaded do so, and leave out what is forgotten of theirs.

        Raises:
            InputError: A fragment lies nowhere.
        """
        forgotten = list(map(tuple, state["forgotten"].tolist()))
        shares: list[set[tuple[int, ...]]] = [set() for _ in self._shards]
        for key in forgotten:
            shares[shard_of(key[:3], len(shares))].add(key)
        for answer in [s.post("load", its) for s, its in zip(self._shards, shares, strict=True)]:
            answer.result()
        self._known = {(ONLINE, key) for key in forgotten}
        self._listen()
        in_play = [
            (source, tuple(key))
            for source, keys in state["in_play"].items()
            for key in keys.tolist()
        ]
        for source, key in in_play:
            if (source, key) not in self._waiting:
                raise InputError(
                    f"fragment {key} of {source} is in no shard any more: a file of the run's "
                    "experience/, or of its data, is missing: bring it back"
                )
        self._enter([self._waiting[name] for name in in_play])
        self._known.update(in_play)
        self._fragments, self._steps = Counter(state["fragments"]), Counter(state["steps"])

    def _listen(self) -> None:
        """Hear what the shards hold, and tell them what is never asked for again."""
        oldest = self._sampler.oldest_rows(len(self._shards))
        for place in self._waiting.values():
            if place.source == ONLINE:
                oldest[place.shard] = min(oldest[place.shard], place.row)
        answers = [
            shard.post("since", cursor, row)
            for shard, cursor, row in zip(self._shards, self._cursors, oldest, strict=True)
        ]
        news: list[tuple[float, Placement]] = []  # with its place among its shard's, from 0 to 1
        for number, answer in enumerate(answers):
            told = answer.result()
            self._cursors[number], self._held_from[number] = told.cursor, told.held_from
            news += [(n / len(told.placements), its) for n, its in enumerate(told.placements)]
        for _, place in sorted(news, key=itemgetter(0)):
            if _name(place) not in self._known:
                self._waiting[_name(place)] = place

    def _is_past(self, place: Placement) -> bool:
        """Whether a fragment came before the position of its worker's stream.

        One without a position is of an earlier session, of more workers.
        """
        position = self._positions.get(place.key[0])
        return position is None or position.covers(place.key, place.length)

    def _goes_on(self, place: Placement) -> bool:
        """Whether a fragment is of a stream that will come to it."""
        worker, incarnation = place.key[:2]
        return incarnation == self._positions.get(worker, StreamState(worker, 0)).incarnation

    def _admit(self, places: Sequence[Placement]) -> None:
        self._enter(places)
        for place in places:
            self._fragments[place.source] += 1
            self._steps[place.source] += place.length

    def _enter(self, places: Sequence[Placement]) -> None:
        """Have fragments drawn from; those that a shard has released are only known."""
        for place in places:
            del self._waiting[_name(place)]
            self._known.add(_name(place))
        self._sampler.add(
            place
            for place in places
            if place.source != ONLINE or place.row >= self._held_from[place.shard]
        )


def _name(place: Placement) -> Name:
    return place.source, place.key
