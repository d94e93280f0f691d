"""What a shard acknowledged outlives its process."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import logging_fragments
import numpy as np
import pytest
import ray
from logging_fragments import SPEC, describe, first, fragments, insert, key, make_shard

from awac_dist.data import experience
from awac_dist.data.experience import ExperienceLog
from awac_dist.data.parquet import write_episodes
from awac_dist.data.sources import Source, open_source
from awac_dist.distributed.ray_runtime import RayRuntime
from awac_dist.errors import InputError
from awac_dist.messages import Placement, StreamState, shard_of
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.sampler import ONLINE
from awac_dist.replay.shard import ReplayShard
from awac_dist.types import Episode

NEWEST = 300  # rows


def prior_data(folder: Path, episodes: int = 6) -> Source:
    path = folder / "prior.parquet"
    found = [fragment for fragment, _ in first(episodes, seed=77)]
    write_episodes(str(path), found, SPEC)
    return open_source(str(path), SPEC)


def arguments(folder: Path, source: Source, *, logged: bool = True) -> dict[str, Any]:
    return {
        "discount": 0.9,
        "config": ReplayConfig(clip_prior_actions=True),
        "log": ExperienceLog(str(folder / "experience"), 0, SPEC) if logged else None,
        "sources": [source],
    }


def assert_held_alike(ours: ReplayShard, theirs: ReplayShard, placed: Sequence[Placement]) -> None:
    for place in placed:
        rows = place.row + np.arange(place.length)
        try:
            wanted = theirs.take(rows)
        except LookupError:
            with pytest.raises(LookupError):
                ours.take(rows)
        else:
            assert ours.take(rows).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("flush_every", [1000, 17])
def test_a_shard_built_anew_has_every_row_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flush_every: int
) -> None:
    monkeypatch.setattr(experience, "STEPS_PER_FILE", 60)
    source = prior_data(tmp_path)
    undisturbed = ReplayShard(0, 1, SPEC, **arguments(tmp_path, source, logged=False))
    shard = ReplayShard(0, 1, SPEC, **arguments(tmp_path, source))
    placed = shard.since(None).placements
    assert undisturbed.load() == shard.load()
    for number, (fragment, name) in enumerate(first(100)):
        place = insert(undisturbed, fragment, name)
        assert insert(shard, fragment, name) == place
        placed.append(place)
        if number % flush_every == flush_every - 1:
            shard.flush()
        if number % 11 == 10:
            shard = ReplayShard(0, 1, SPEC, **arguments(tmp_path, source))
            assert shard.load() is shard.load()
            assert_held_alike(shard, undisturbed, placed)
            assert shard.since(None).placements == placed


def test_what_was_recovered_is_not_accepted_twice(tmp_path: Path) -> None:
    folder = str(tmp_path)
    places = [insert(make_shard(folder), fragment, name) for fragment, name in first(1)]
    shard = make_shard(folder)
    shard.load()
    places += [insert(shard, fragment, name) for fragment, name in first(20)[1:]]
    again = make_shard(folder)
    again.load()
    assert [insert(again, fragment, name) for fragment, name in first(20)] == places
    assert len(list(ExperienceLog(folder, 0, SPEC).own())) == 20


def test_a_shard_announces_everything_once_and_all_of_it_again_after_its_death(
    tmp_path: Path,
) -> None:
    shard, cursor, told = make_shard(str(tmp_path)), None, []
    for number, (fragment, name) in enumerate(first(60)):
        shard.insert(fragment, name)
        if number % 7 == 0:
            news = shard.since(cursor)
            told, cursor = told + news.placements, news.cursor
    told += shard.since(cursor).placements
    assert [place.key for place in told] == [key(fragment) for fragment, _ in first(60)]
    again = make_shard(str(tmp_path)).since(cursor)
    assert again.placements == told
    assert again.cursor != cursor


def test_a_dead_worker_leaves_what_lies_beyond_its_last_report(tmp_path: Path) -> None:
    shard, mine = make_shard(str(tmp_path)), 1
    for fragment, name in first(60):
        shard.insert(fragment, name)
    sent = [fragment for fragment, _ in first(60) if fragment.origin.worker == mine]
    episode, reached = sent[7].origin.episode, sent[7].origin.start + len(sent[7])
    position = StreamState(mine, 0, episode + 1, ((episode, reached),))
    left = sum(map(len, sent[8:]))
    assert shard.close_stream(position) == (len(sent) - 8, left)
    assert shard.close_stream(StreamState(mine, 0)) == (len(sent), sum(map(len, sent)))
    assert shard.close_stream(StreamState(mine, 1)) == (0, 0)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("column", ["observations", "actions", "rewards", "length"])
def test_from_a_stream_that_does_not_repeat_itself_nothing_is_taken(
    column: str, again: bool, tmp_path: Path
) -> None:
    shard, (fragment, name) = make_shard(str(tmp_path)), first(1)[0]
    assert shard.insert(fragment, name)
    if again:
        shard = make_shard(str(tmp_path))
    assert shard.insert(fragment, name)
    other = next(other for other, _ in fragments(1) if len(other) > len(fragment))
    if column != "length":
        other = replace(fragment, **{column: getattr(fragment, column) + np.float32(1e-3)})
    assert not shard.insert(replace(other, origin=fragment.origin), name)
    following = replace(fragment.origin, start=fragment.origin.start + len(fragment))
    assert not shard.insert(replace(fragment, origin=following), name)
    assert not shard.insert(fragment, name)
    anew = replace(fragment.origin, incarnation=fragment.origin.incarnation + 1)
    assert shard.insert(replace(fragment, origin=anew), name)


def test_changed_prior_data_is_refused_instead_of_moving_rows(tmp_path: Path) -> None:
    shard = ReplayShard(0, 1, SPEC, **arguments(tmp_path, prior_data(tmp_path)))
    shard.load()
    for fragment, name in first(3):
        shard.insert(fragment, name)
    fewer = prior_data(tmp_path, episodes=5)
    again = ReplayShard(0, 1, SPEC, **arguments(tmp_path, fewer))
    with pytest.raises(InputError, match=r"row \d+ would now lie in row \d+: the prior data"):
        again.load()


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 2), (3, 2)])
def test_the_next_session_holds_everything_once_on_any_number_of_shards(
    tmp_path: Path, before: int, after: int
) -> None:
    sent: dict[tuple[int, ...], Episode] = {}
    for session, shards in enumerate((before, after, before)):
        running = [make_shard(str(tmp_path), i, shards, session) for i in range(shards)]
        found = [place for shard in running for place in shard.since(None).placements]
        assert sorted(place.key for place in found) == sorted(sent)
        for place in found:
            assert place.shard == shard_of(place.key[:3], shards)
            block = running[place.shard].take(place.row + np.arange(place.length))
            assert np.array_equal(block[:, :3], sent[place.key].observations[:-1])
        for fragment, name in first(30 * (session + 1)):
            running[shard_of(fragment.origin.stream, shards)].insert(fragment, name)
            sent[key(fragment)] = fragment


@pytest.mark.parametrize("session", [0, 1])
def test_a_copy_of_a_log_file_adds_nothing(tmp_path: Path, session: int) -> None:
    shard = make_shard(str(tmp_path))
    for fragment, name in first(30):
        shard.insert(fragment, name)
    shard.flush()
    [file] = tmp_path.glob("*.parquet")
    for name in ("shard-000-s000-000007.parquet", "shard-003-s000-000000.parquet", "copy.parquet"):
        shutil.copy(file, tmp_path / name)
    found = make_shard(str(tmp_path), session=session).since(None).placements
    assert sorted(place.key for place in found) == sorted(key(its) for its, _ in first(30))


def test_a_shard_does_not_load_what_is_forgotten_and_numbers_its_rows_as_if_it_did(
    tmp_path: Path,
) -> None:
    running = [make_shard(str(tmp_path), index, 3) for index in range(3)]
    for fragment, name in first(200):
        running[shard_of(fragment.origin.stream, 3)].insert(fragment, name)
    sent = [fragment for fragment, name in first(200) if name == ONLINE]
    every, one = make_shard(str(tmp_path), session=1), make_shard(str(tmp_path), session=1)
    one.load(forgotten={key(fragment) for fragment in sent[:100]})
    online = [place for place in one.since(None).placements if place.source == ONLINE]
    assert online == [p for p in every.since(None).placements if p.source == ONLINE]
    assert [place.key for place in online] == [key(fragment) for fragment in sent]
    assert one.since(None).held_from == online[100].row
    for place, fragment in zip(online[100:], sent[100:], strict=True):
        block = one.take(place.row + np.arange(place.length))
        assert np.array_equal(block[:, :3], fragment.observations[:-1])


def test_the_first_steps_of_an_episode_are_found_again(tmp_path: Path) -> None:
    shard = make_shard(str(tmp_path), session=0)
    for number, (fragment, name) in enumerate(first(40)):
        shard.insert(fragment, name)
        if number == 25:
            shard.flush()
    later = make_shard(str(tmp_path), session=1)
    for searched in (shard, later):
        by_stream: dict[tuple[int, int, int], list[Episode]] = {}
        for fragment, _ in first(40):
            so_far = by_stream.setdefault(fragment.origin.stream, [])
            so_far.append(fragment)
            found = searched.fragments_of(
                fragment.origin.stream, fragment.origin.start + len(fragment)
            )
            assert list(map(describe, found)) == list(map(describe, so_far))
            assert [p.origin for p in found] == [p.origin for p in so_far]
    assert later.fragments_of((0, 0, 0), 0) == []
    stream, known = next(iter(by_stream.items()))
    for steps in (sum(map(len, known)) + 1, len(known[0]) - 1 or 100):
        with pytest.raises(InputError, match=f"of the first {steps} steps"):
            later.fragments_of(stream, steps)


def test_a_gap_in_an_episode_is_told(tmp_path: Path) -> None:
    (fragment, name), shard = first(1)[0], make_shard(str(tmp_path))
    steps = len(fragment)
    shard.insert(fragment, name)
    shard.insert(replace(fragment, origin=replace(fragment.origin, start=steps + 1)), name)
    assert len(fragment) > 1
    with pytest.raises(InputError, match=f"holds {steps} that .* is missing: bring it back"):
        shard.fragments_of(fragment.origin.stream, 2 * steps)


# Killed.


def killed_while_logging(folder: Path, seed: int, acknowledged: int) -> list[tuple[int, ...]]:
    """Keys that a process acknowledged before it was killed in the midst of inserting."""
    command = [sys.executable, logging_fragments.__file__, str(folder), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = list(islice(process.stdout, acknowledged))
        process.send_signal(signal.SIGKILL)
        lines += process.stdout
    whole = [line for line in lines if line.endswith("\n")]
    return [tuple(map(int, line.split())) for line in whole]


def check_killed_processes(folder: Path, repetitions: int) -> None:
    for number in range(repetitions):
        run = folder / str(number)
        keys = killed_while_logging(run, number, acknowledged=1 + 37 * number)
        assert len(keys) > 37 * number
        again = make_shard(str(run))
        found = [place.key for place in again.since(None).placements]
        sent = [key(fragment) for fragment, _ in first(len(keys) + 1, seed=number)]
        assert sent[:-1] == keys
        assert found in (keys, sent)  # one may have been written and not acknowledged
        shutil.rmtree(run)


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    check_killed_processes(tmp_path, repetitions=2)


@pytest.mark.faults
def test_twenty_killed_processes_lose_nothing_that_they_acknowledged(tmp_path: Path) -> None:
    check_killed_processes(tmp_path, repetitions=20)


class KilledShard:
    """A shard on Ray that can be killed, and an undisturbed one that gets the same fragments.

    Calls that Ray repeats may come after later ones, so fragments may change places.
    """

    def __init__(self, folder: Path) -> None:
        source = prior_data(folder)
        self._folder = folder
        self._runtime = RayRuntime()
        named = arguments(folder, source)
        self._handle = self._runtime.start(ReplayShard, 0, 1, SPEC, **named)
        self._undisturbed = ReplayShard(0, 1, SPEC, **named | {"log": None})
        assert self.call("load") == self._undisturbed.load()
        there = self._undisturbed.since(None).placements
        self._placed = [(place, place) for place in there]  # ours, theirs
        self._fragments = fragments(seed=1)
        self.sent: list[tuple[int, ...]] = []

    def call(self, method: str, *its: Any) -> Any:
        return self._handle.post(method, *its).result()

    def process(self) -> int:
        """The id of its process."""
        run = self._handle.actor.__ray_call__
        return int(ray.get(run.remote(lambda _: os.getpid())))

    def exchange(self, inserts: int) -> None:
        """Insert fragments and take what is held, all posted at once; check the answers."""
        sent = list(islice(self._fragments, inserts))
        ours, theirs = self._held_rows()
        before = self._undisturbed.take(theirs)
        takes = [self._handle.post("take", ours) for _ in range(3)]
        inserted = [self._handle.post("insert", fragment, name) for fragment, name in sent]
        for answer in inserted:
            answer.result()
        ours = {place.key: place for place in self.call("since", None).placements}
        for fragment, name in sent:
            placed = insert(self._undisturbed, fragment, name)
            self._placed.append((ours[placed.key], placed))
            self.sent.append(key(fragment))
        for answer in takes:
            assert answer.result().tobytes() == before.tobytes()
        ours, theirs = self._held_rows()
        assert self.call("take", ours).tobytes() == self._undisturbed.take(theirs).tobytes()

    def _held_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of all prior transitions, and of the newer half of the online ones."""
        rows, online = [], 0
        for ours, theirs in reversed(self._placed):
            assert ours._replace(row=0) == theirs._replace(row=0)
            online += (ours.length + 1) * (ours.source == ONLINE)
            if ours.source != ONLINE or online <= NEWEST:
                steps = np.arange(ours.length)
                rows.append((ours.row + steps, theirs.row + steps))
        return np.concatenate([r for r, _ in rows]), np.concatenate([r for _, r in rows])

    def exchange_for_ever(self) -> None:
        while True:
            self.exchange(1)

    def check_log(self) -> None:
        """No insert lost or doubled."""
        log = ExperienceLog(str(self._folder / "experience"), 0, SPEC)
        keys = [key(fragment.episode) for fragment in log.own()]
        assert sorted(keys) == sorted(self.sent)

    def close(self) -> None:
        self._runtime.close()


@pytest.fixture
def killed_shard(tmp_path: Path, ray_session: None) -> Iterator[KilledShard]:
    shard = KilledShard(tmp_path)
    yield shard
    shard.close()


def kill_in(seconds: float, process: int) -> threading.Timer:
    timer = threading.Timer(seconds, os.kill, (process, signal.SIGKILL))
    timer.start()
    return timer


def check_deaths(shard: KilledShard, deaths: int) -> list[float]:
    """Kill a shard in the midst of calls; returns the seconds until it answered again."""
    rng, recovered = np.random.default_rng(0), []
    for number in range(deaths):
        shard.exchange(10)
        timer = kill_in(rng.uniform(0, 0.03), shard.process())
        longest, killed = 0.0, False
        while not killed:
            killed = not timer.is_alive()
            start = time.perf_counter()
            shard.exchange(10)
            longest = max(longest, time.perf_counter() - start)
        assert shard.call("restarts") == number + 1
        recovered.append(longest)
    shard.call("flush")
    shard.check_log()
    return recovered


@pytest.mark.ray
def test_a_killed_shard_comes_back_whole(killed_shard: KilledShard) -> None:
    check_deaths(killed_shard, deaths=1)


@pytest.mark.ray
@pytest.mark.faults
def test_a_shard_killed_twenty_times_comes_back_whole(
    killed_shard: KilledShard, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = check_deaths(killed_shard, deaths=20)
    with capsys.disabled():
        print(f"\n20 deaths of a shard: {np.median(seconds):.1f} s, worst {max(seconds):.1f} s")


@pytest.mark.ray
def test_a_shard_that_cannot_come_back_says_why(killed_shard: KilledShard, tmp_path: Path) -> None:
    (tmp_path / "prior.parquet").unlink()
    os.kill(killed_shard.process(), signal.SIGKILL)
    with pytest.raises(InputError, match=r"cannot start: /.*prior\.parquet"):
        killed_shard.exchange_for_ever()
