"""What the books register, beside plain lists of what was inserted."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logging_fragments import SPEC, first, key, make_shard

from awac_dist.data import experience
from awac_dist.errors import InputError
from awac_dist.messages import Announced, Cursor, StreamState, shard_of
from awac_dist.replay.books import Books
from awac_dist.replay.layout import Layout, Wishes
from awac_dist.replay.memory import ONLINE_ROWS
from awac_dist.replay.sampler import ONLINE, Sampler
from awac_dist.replay.shard import ReplayShard
from awac_dist.runs.runtime import InlineHandle
from awac_dist.types import Array, Episode

CAPACITY, FILE = 150, 60
WISHES = Wishes(frozenset({"returns", "next_actions", "initial_observations"}), n_steps=5)


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

    def held(self) -> list[int]:
        """Online rows that each shard holds."""
        rings = [shard.online.ring for shard in self.shards]
        return [ring.next_row - ring.oldest_row for ring in rings]

    def batch(self) -> Array:
        """Transitions with what follows from their episodes, drawn from all that is in play."""
        drawn, layout = self.sampler.draw(0, 500), Layout.of(SPEC, WISHES)
        block = np.full((500, layout.width), np.nan, np.float32)
        for index, shard in enumerate(self.shards):
            mine = drawn.shards == index
            known = self.sampler.known(index)
            block[mine] = shard.take(drawn.rows[mine], None, WISHES, known)
        return block

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


@pytest.mark.parametrize("shards", [1, 3])
def test_a_shard_that_starts_again_holds_what_it_held_and_at_most_a_file_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    monkeypatch.setattr(experience, "STEPS_PER_FILE", FILE)
    replay, seen = Replay(tmp_path, shards, CAPACITY), 0
    for number, (fragment, source) in enumerate(first(240)):
        replay.insert(fragment, source)
        replay.books.register()
        if number == 170:
            state = replay.books.state()
            replay.begin(shards + 1)
            replay.books.restore(state)
            replay.books.register()
        if number in (90, 171, 239):
            replay.books.register()
            held, batch = replay.held(), replay.batch()
            for index in range(len(replay.shards)):
                replay.restart(index)
                replay.shards[index].load()
            for ours, before in zip(replay.held(), held, strict=True):
                assert before <= ours < before + FILE
            seen = sum(shard.online.ring.next_row - ONLINE_ROWS for shard in replay.shards)
            np.testing.assert_array_equal(replay.batch(), batch)
            replay.books.register()
            assert replay.held() == held
            np.testing.assert_array_equal(replay.batch(), batch)
    assert seen > 6 * CAPACITY


def test_what_is_released_is_noted_seldom_and_a_damaged_note_loads_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experience, "STEPS_PER_FILE", FILE)
    replay, notes = Replay(tmp_path, 1, CAPACITY), set()
    note = tmp_path / "shard-000-s000.released"
    for fragment in online(150):
        replay.insert(fragment, ONLINE)
        replay.books.register()
        if note.exists():
            notes.add(int(note.read_text()))
    replay.books.register()
    ring = replay.shards[0].online.ring
    rows = ring.next_row - ring.first_row
    assert 5 < len(notes) <= rows / FILE
    note.write_bytes(b"12\xff")
    replay.restart(0)
    replay.shards[0].load()
    assert replay.held() == [rows]
    replay.books.register()
    assert replay.held() == [ring.next_row - ring.oldest_row]
    assert int(note.read_text()) == ring.oldest_row - ring.first_row


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
