"""What the books register, beside plain lists of what was inserted."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logging_fragments import first, key, make_shard

from awac_dist.errors import InputError
from awac_dist.messages import Announced, Cursor, StreamState, shard_of
from awac_dist.replay.books import Books
from awac_dist.replay.sampler import ONLINE, Sampler
from awac_dist.replay.shard import ReplayShard
from awac_dist.runs.runtime import InlineHandle
from awac_dist.types import Episode

CAPACITY = 150


class Replay:
    """Shards with a log, and books; either can be lost."""

    def __init__(self, folder: Path, shards: int, capacity: int = 10**6) -> None:
        self._folder, self._capacity, self.session = str(folder), capacity, 0
        self.shards: list[ReplayShard] = []
        self.begin(shards)

    def begin(self, shards: int) -> None:
        """Another session, which knows nothing."""
        for shard in self.shards:
            shard.flush()
        self.shards = [
            make_shard(self._folder, index, shards, self.session) for index in range(shards)
        ]
        self.session += 1
        self.forget()

    def forget(self) -> None:
        """The learner dies."""
        self.sampler = Sampler(0, self._capacity)
        self.books = Books(self.sampler, [InlineHandle(shard) for shard in self.shards], ())

    def restart(self, index: int) -> None:
        """A shard dies, and comes back."""
        shards = len(self.shards)
        self.shards[index] = make_shard(self._folder, index, shards, self.session - 1)
        self.books._shards = [InlineHandle(shard) for shard in self.shards]

    def insert(self, fragment: Episode, source: str) -> None:
        home = shard_of(fragment.origin.stream, len(self.shards))
        self.shards[home].insert(fragment, source)

    def drawn(self) -> list[tuple[int, ...]]:
        return [tuple(name) for name in self.sampler.keys().get(ONLINE, np.empty(0)).tolist()]


def online(count: int) -> list[Episode]:
    return [fragment for fragment, source in first(3 * count) if source == ONLINE][:count]


@pytest.mark.parametrize("shards", [1, 3])
def test_each_fragment_is_registered_once_whoever_dies_in_between(
    tmp_path: Path, shards: int
) -> None:
    rng, replay, state, sent = np.random.default_rng(shards), Replay(tmp_path, shards), None, []
    for fragment, source in first(300):
        replay.insert(fragment, source)
        sent.append((source, len(fragment)))
        event = rng.integers(12)
        if event == 0:
            replay.books.register()
        elif event == 1:
            replay.books.register()
            state = replay.books.state()
        elif event == 2:
            replay.forget()
        elif event == 3:
            replay.restart(int(rng.integers(len(replay.shards))))
        elif event == 4 and rng.random() < 0.3:
            replay.begin(1 + int(rng.integers(3)))
        if event in (2, 4) and state is not None and not replay.books.holdings().registered:
            replay.books.restore(state)
    known = replay.books.register()
    for source in (ONLINE, "clone"):
        steps = [length for its, length in sent if its == source]
        assert known.registered[source] == (len(steps), sum(steps))
        assert replay.sampler.sizes()[source] == sum(steps)


def test_online_fragments_of_a_round_come_in_the_order_of_their_keys(
    tmp_path: Path,
) -> None:
    replay, wanted = Replay(tmp_path, 3), []
    for start in range(0, 60, 20):
        some = online(60)[start : start + 20]
        for fragment in some[::-1]:
            replay.insert(fragment, ONLINE)
        replay.books.register([[StreamState(worker, 1) for worker in range(3)]])
        wanted += sorted(map(key, some))
    assert replay.drawn() == wanted


def test_sources_that_stay_lie_in_the_order_of_their_keys_whenever_they_came(
    tmp_path: Path,
) -> None:
    early, late = Replay(tmp_path / "a", 2), Replay(tmp_path / "b", 3)
    some = online(40)
    for fragment in some:
        early.insert(fragment, "clone")
        early.books.register()
    for fragment in some[::-1]:
        late.insert(fragment, "clone")
    late.books.register()
    assert early.sampler.keys()["clone"].tolist() == late.sampler.keys()["clone"].tolist()
    assert early.sampler.keys()["clone"].tolist() == sorted(list(key(f)) for f in some)


def positions_after(fragments: list[Episode]) -> list[StreamState]:
    """Where the streams of three workers are after some fragments of theirs."""
    reached: dict[int, dict[int, int]] = {worker: {} for worker in range(3)}
    for fragment in fragments:
        origin = fragment.origin
        reached[origin.worker][origin.episode] = origin.start + len(fragment)
    return [
        StreamState(worker, 0, max(its, default=-1) + 1, tuple(its.items()))
        for worker, its in reached.items()
    ]


def test_what_lies_beyond_the_positions_waits_and_rounds_keep_their_order(tmp_path: Path) -> None:
    """Shards that hold a whole log tell the same, round by round, as shards that get it anew."""
    some, anew, resumed = online(60), Replay(tmp_path / "a", 2), Replay(tmp_path / "b", 3)
    for fragment in some:
        resumed.insert(fragment, ONLINE)
    rounds = [some[start : start + 6] for start in range(0, 60, 6)]
    for number, mine in enumerate(rounds):
        for fragment in mine:
            anew.insert(fragment, ONLINE)
        positions = positions_after([f for its in rounds[: number + 1] for f in its])
        ours, theirs = (replay.books.register([positions]) for replay in (anew, resumed))
        assert anew.drawn() == resumed.drawn()
        assert ours.registered == theirs.registered
        assert ours.fragments(ONLINE) == 6 * (number + 1)
        assert theirs.strays == (0, 0)
    two = Replay(tmp_path / "c", 1)
    for fragment in some:
        two.insert(fragment, ONLINE)
    halves = [positions_after(some[:30]), positions_after(some)]
    two.books.register(halves)
    assert two.drawn() == sorted(map(key, some[:30])) + sorted(map(key, some[30:]))


def test_fragments_of_a_stream_that_does_not_go_on_are_told(tmp_path: Path) -> None:
    replay, some = Replay(tmp_path, 2), online(30)
    for fragment in some:
        replay.insert(fragment, ONLINE)
    left = [fragment for fragment in some if fragment.origin.worker == 1]
    positions = [StreamState(worker, 0) for worker in (0, 2)] + [StreamState(1, -1)]
    known = replay.books.register([positions])
    assert known.strays == (len(left), sum(map(len, left)))
    assert not known.registered


@pytest.mark.parametrize("shards", [1, 3])
def test_a_state_draws_as_before_and_what_was_forgotten_stays_so(
    tmp_path: Path, shards: int
) -> None:
    replay = Replay(tmp_path, 2, CAPACITY)
    for fragment in online(100):
        replay.insert(fragment, ONLINE)
        replay.books.register()
    before, state = replay.drawn(), replay.books.state()
    assert len(before) < 50
    replay.begin(shards)
    replay.books.restore(state)
    assert replay.books.register().registered == {ONLINE: (100, sum(map(len, online(100))))}
    assert replay.drawn() == before
    assert replay.books.state()["forgotten"].tolist() == state["forgotten"].tolist()


def test_a_shard_is_told_which_of_its_own_fragments_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = Replay(tmp_path, 2, CAPACITY)
    for fragment in online(100):
        replay.insert(fragment, ONLINE)
    replay.books.register()
    state = replay.books.state()
    replay.begin(3)
    told: dict[int, Any] = {}
    for index, shard in enumerate(replay.shards):
        monkeypatch.setattr(shard, "load", partial(told.setdefault, index))
        monkeypatch.setattr(shard, "since", lambda *_: Announced([], Cursor(0, 0), 0))
    replay.books.restore(state | {"in_play": {}})
    gone = sorted(map(tuple, state["forgotten"].tolist()))
    assert len(gone) > 50
    assert sorted(key for its in told.values() for key in its) == gone
    assert all(shard_of(key[:3], 3) == index for index, its in told.items() for key in its)


@pytest.mark.parametrize("source", ["clone", ONLINE])
def test_a_fragment_that_is_missing_is_an_error(source: str, tmp_path: Path) -> None:
    replay = Replay(tmp_path / "a", 1)
    for fragment, its in islice(first(30), 30):
        if its == source:
            replay.insert(fragment, its)
    replay.books.register()
    other = Replay(tmp_path / "b", 1)
    with pytest.raises(InputError, match=rf"of {source} is in no shard any more: .*experience/"):
        other.books.restore(replay.books.state())
