import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logging_fragments import SPEC, first, key, same

from awac_dist.data import experience, journal, sources
from awac_dist.data.experience import ExperienceLog, finish_journals, list_files, read_fragments
from awac_dist.data.fragments import LoggedFragment, join_fragments
from awac_dist.data.journal import Journal
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec

GOALS = EnvSpec("Reaching-v0", 4, 2, (-1.0, -1.0), (1.0, 1.0), 20, goal_size=3)


def logged(count: int, spec: EnvSpec = SPEC) -> list[LoggedFragment]:
    return [
        LoggedFragment(fragment, source, 10 * number, 1000 + number)
        for number, (fragment, source) in enumerate(first(count, spec=spec))
    ]


def write_journal(
    path: Path, fragments: Sequence[LoggedFragment], spec: EnvSpec = SPEC
) -> list[int]:
    """Returns the size of the file after each fragment, and before the first."""
    written = Journal(str(path), spec)
    sizes = [path.stat().st_size]
    for fragment in fragments:
        written.append(fragment)
        sizes.append(path.stat().st_size)
    return sizes


def assert_same(ours: Sequence[LoggedFragment], theirs: Sequence[LoggedFragment]) -> None:
    assert len(ours) == len(theirs)
    assert all(map(same, ours, theirs))


@pytest.mark.parametrize("spec", [SPEC, GOALS], ids=["plain", "goals"])
def test_a_journal_and_its_parquet_file_give_every_fragment_back_to_the_byte(
    tmp_path: Path, spec: EnvSpec
) -> None:
    fragments = logged(60, spec)
    path = tmp_path / "shard-000-s000-000000.journal"
    write_journal(path, fragments, spec)
    assert_same(read_fragments(str(path)), fragments)
    finish_journals(str(tmp_path), spec)
    assert [file.name for file in tmp_path.iterdir()] == ["shard-000-s000-000000.parquet"]
    assert_same(read_fragments(str(path.with_suffix(".parquet"))), fragments)


@pytest.mark.parametrize(("count", "stride"), [(1, 1), (4, 41)])
def test_a_journal_torn_at_any_byte_keeps_its_whole_fragments(
    tmp_path: Path, count: int, stride: int
) -> None:
    fragments = logged(count)
    path = tmp_path / "shard-000-s000-000000.journal"
    sizes = write_journal(path, fragments)
    content = path.read_bytes()
    for end in range(0, len(content), stride):
        path.write_bytes(content[:end])
        found = read_fragments(str(path))
        assert len(found) == sum(size <= end for size in sizes[1:]), end
    assert_same(found, fragments[:-1])


def test_a_torn_journal_says_so_and_is_read_as_a_dataset(tmp_path: Path) -> None:
    fragments = logged(20)
    path = tmp_path / "experience" / "shard-000-s000-000000.journal"
    path.parent.mkdir()
    sizes = write_journal(path, fragments)
    os.truncate(path, sizes[-1] - 5)
    source = sources.find(str(tmp_path))
    assert [file.format for file in source.files] == [journal.FORMAT.name]
    (info,) = sources.describe(source)
    assert (info.env_id, info.observation_size, info.action_size) == ("Counting-v0", 3, 2)
    assert info.facts == {
        "cut short": f"{sizes[-1] - 5 - sizes[-2]} bytes of a fragment that was never acknowledged"
    }
    whole = join_fragments([fragment.episode for fragment in fragments[:12]])
    whole += join_fragments([fragment.episode for fragment in fragments[12:-1]])
    found = [episode for _, _, episode in sources.episodes(source)]
    assert info.episodes == len(found) == len(whole)
    for ours, theirs in zip(found, whole, strict=True):
        assert ours.origin == theirs.origin
        assert np.array_equal(ours.observations, theirs.observations)
    halves = [sources.episodes(source, (index, 2)) for index in range(2)]
    assert sum(len(list(half)) for half in halves) == len(whole)


def test_a_journal_does_not_count_beside_its_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "shard-000-s000-000000.journal"
    write_journal(path, logged(9))
    content = path.read_bytes()
    finish_journals(str(tmp_path), SPEC)
    path.write_bytes(content)  # as if it had been killed before it removed the journal
    assert [file.format for file in sources.find(str(tmp_path)).files] == ["awac_dist Parquet"]
    assert [file.path for file in list_files(str(tmp_path))] == [str(path.with_suffix(".parquet"))]
    log = ExperienceLog(str(tmp_path), 0, SPEC)
    assert len(list(log.own())) == 9


@pytest.mark.parametrize("at", [0, 8, 100, 1500])
def test_a_journal_that_is_none_is_refused_in_one_line(tmp_path: Path, at: int) -> None:
    path = tmp_path / "shard-000-s000-000000.journal"
    path.write_bytes(os.urandom(at))
    assert not journal.recognises(str(path))
    with pytest.raises(InputError, match=r"no journal") as caught:
        journal.describe(str(path))
    assert "\n" not in str(caught.value)


def test_damage_within_a_journal_is_fragments_or_one_line(tmp_path: Path) -> None:
    path = tmp_path / "shard-000-s000-000000.journal"
    write_journal(path, logged(5))
    content, rng = path.read_bytes(), np.random.default_rng(0)
    refused = []
    for _ in range(100):
        damaged = bytearray(content)
        for place in rng.integers(len(content), size=rng.integers(1, 6)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert len(read_fragments(str(path))) <= 5
        except InputError as error:
            refused.append(str(error))
    assert 0 < len(refused) < 100
    assert all(str(path) in line and "\n" not in line for line in refused)


def fill(log: ExperienceLog, count: int, skip: int = 0) -> list[LoggedFragment]:
    """Append the first fragments, each in ten times its number; returns them without their time."""
    found = []
    for number, (fragment, source) in list(enumerate(first(count)))[skip:]:
        log.append(fragment, source, row=10 * number)
        found.append(LoggedFragment(fragment, source, 10 * number, 0))
    return found


def without_time(fragments: Sequence[LoggedFragment]) -> list[LoggedFragment]:
    assert all(a.time < b.time for a, b in pairwise(fragments))
    return [fragment._replace(time=0) for fragment in fragments]


@pytest.mark.parametrize("flushed", [[], [10, 30], [59], [60]])
def test_a_log_opened_anew_holds_what_was_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flushed: list[int]
) -> None:
    monkeypatch.setattr(experience, "STEPS_PER_FILE", 50)
    log = ExperienceLog(str(tmp_path), 0, SPEC)
    wanted = []
    for begin, end in zip([0, *flushed], [*flushed, 60], strict=True):
        wanted += fill(log, end, begin)
        if end in flushed:
            log.flush()
    for _ in range(2):
        again = ExperienceLog(str(tmp_path), 0, SPEC)
        assert_same(without_time(list(again.own())), wanted)
    assert not list(tmp_path.glob("*.journal"))
    wanted += fill(again, 80, 60)
    assert_same(without_time(list(ExperienceLog(str(tmp_path), 0, SPEC).own())), wanted)


def test_a_full_disk_is_one_line_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ExperienceLog(str(tmp_path), 0, SPEC)
    wanted = fill(log, 7)
    write = os.write

    def half(file: int, content: Any) -> int:
        if len(content) < 1000:
            raise OSError(28, "No space left on device")
        return write(file, content[: len(content) - 900])

    monkeypatch.setattr(journal.os, "write", half)
    with pytest.raises(InputError, match=r"journal: cannot be written: No space left on device"):
        fill(log, 8, 7)
    monkeypatch.setattr(journal.os, "write", write)
    wanted += fill(log, 9, 7)
    assert_same(without_time(list(ExperienceLog(str(tmp_path), 0, SPEC).own())), wanted)


def test_a_journal_that_cannot_be_finished_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ExperienceLog(str(tmp_path), 0, SPEC)
    wanted = fill(log, 7)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(experience, "write_table", full)
        with pytest.raises(InputError, match="No space left"):
            log.flush()
    wanted += fill(log, 9, 7)
    assert_same(without_time(list(ExperienceLog(str(tmp_path), 0, SPEC).own())), wanted)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    log = ExperienceLog(str(tmp_path / "experience"), 0, SPEC)
    (tmp_path / "experience").rmdir()  # as on another machine
    with pytest.raises(InputError, match=r"experience: is not on .* all of them share"):
        list(log.own())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/experience: cannot be made"):
        ExperienceLog(str(tmp_path / "file" / "experience"), 0, SPEC)


def test_where_files_cannot_grow_every_fragment_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experience, "_can_grow", lambda _: False)
    log = ExperienceLog(str(tmp_path), 2, SPEC, session=1)
    wanted = fill(log, 5)
    names = [f"shard-002-s001-{number:06d}.parquet" for number in range(5)]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    again = ExperienceLog(str(tmp_path), 2, SPEC, session=1)
    assert_same(without_time(list(again.own())), wanted)
    wanted += fill(again, 6, 5)
    assert_same(without_time(list(again.own())), wanted)
    found = again.fragments_of(wanted[0].episode.origin.stream)
    assert [key(fragment) for fragment in found] == sorted(
        key(p.episode) for p in wanted if key(p.episode)[:3] == key(wanted[0].episode)[:3]
    )


def test_earlier_sessions_are_read_oldest_first_over_all_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experience, "STEPS_PER_FILE", 30)
    wanted = []
    for session, shards in enumerate((3, 2)):
        logs = [ExperienceLog(str(tmp_path), shard, SPEC, session) for shard in range(shards)]
        for fragment, source in first(60, seed=session):
            log = logs[sum(fragment.origin.stream) % shards]
            log.append(fragment, source, row=0)
            wanted.append((session, key(fragment)))
    newest = ExperienceLog(str(tmp_path), 0, SPEC, session=2)
    found = list(newest.earlier(lambda _: True))
    assert [key(fragment.episode) for fragment in found] == [key for _, key in wanted]
    assert not list(newest.own())
    of_worker_1 = newest.earlier(lambda stream: stream[0] == 1)
    wanted_of_1 = [key for _, key in wanted if key[0] == 1]
    assert [key(fragment.episode) for fragment in of_worker_1] == wanted_of_1
