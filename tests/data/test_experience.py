import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from logging_fragments import SPEC, first, key, same

from awac_dist.data import experience, journal, parquet, sources
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
    finish_journals(list_files(str(tmp_path)), spec, pytest.fail)
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
    halves = [sources.read_share(source, SPEC, index, 2) for index in range(2)]
    assert sum(len(list(half)) for half in halves) == len(whole)


def test_a_journal_does_not_count_beside_its_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "shard-000-s000-000000.journal"
    write_journal(path, logged(9))
    content = path.read_bytes()
    finish_journals(list_files(str(tmp_path)), SPEC, pytest.fail)
    path.write_bytes(content)  # as if it had been killed before it removed the journal
    assert [file.format for file in sources.find(str(tmp_path)).files] == ["awac_dist Parquet"]
    assert [file.path for file in list_files(str(tmp_path))] == [str(path.with_suffix(".parquet"))]
    log = ExperienceLog(str(tmp_path), 0, SPEC)
    assert len(list(log.own())) == 9


@pytest.mark.parametrize("at", [0, 8, 100, 1500])
def test_a_journal_that_is_none_is_refused_in_one_line(tmp_path: Path, at: int) -> None:
    path = tmp_path / "shard-000-s000-000000.journal"
    path.write_bytes(os.urandom(at))
    assert not journal.FORMAT.recognises(str(path))
    with pytest.raises(InputError, match=r"no journal") as caught:
        journal.FORMAT.describe(str(path))
    assert "\n" not in str(caught.value)


def test_a_damaged_byte_drops_its_own_record_which_is_named(tmp_path: Path) -> None:
    fragments = logged(6)
    path = tmp_path / "shard-000-s000-000000.journal"
    sizes = write_journal(path, fragments)
    content = path.read_bytes()
    for at in range(0, len(content), 13):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        lost = [n for n, (begin, end) in enumerate(pairwise(sizes)) if begin <= at < end]
        found = journal.read(str(path))
        assert_same(found.fragments, [f for n, f in enumerate(fragments) if n not in lost])
        begin, end = next((sizes[n], sizes[n + 1]) for n in lost) if lost else (0, sizes[0])
        (words,) = found.damaged
        place = [int(word) for word in words.split() if word.isdigit()]
        assert begin <= place[0] <= at < place[1] <= end
        assert found.torn == 0


def test_a_damaged_journal_is_set_aside_and_all_else_of_it_goes_on(tmp_path: Path) -> None:
    fragments = logged(6)
    path = tmp_path / "shard-000-s000-000000.journal"
    sizes = write_journal(path, fragments)
    content = bytearray(path.read_bytes())
    content[sizes[2] + 100] ^= 1
    path.write_bytes(content)
    assert sources.describe(sources.find(str(path)))[0].facts == {
        "damaged": f"1 records: bytes {sizes[2]} to {sizes[3]}"
    }
    notes: list[str] = []
    finish_journals(list_files(str(tmp_path)), SPEC, notes.append)
    (line,) = notes
    assert line == (
        f"{path}: is damaged, and kept as {path.name}.damaged: lost are bytes {sizes[2]} to "
        f"{sizes[3]}; 5 fragments go on"
    )
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content
    log = ExperienceLog(str(tmp_path), 0, SPEC, session=1)
    assert_same(list(log.earlier(lambda _: True)), fragments[:2] + fragments[3:])


@pytest.mark.parametrize("schemas", [0, 1])
def test_a_journal_that_nobody_can_read_is_kept(tmp_path: Path, schemas: int) -> None:
    path = tmp_path / "shard-000-s000-000000.journal"
    write_journal(path, logged(2))
    content = bytearray(path.read_bytes())
    if schemas:  # both of them are damaged
        content[100] ^= 1
        content[content.index(journal.MAGIC, 1) + 100] ^= 1
    else:  # of an older version
        content = bytearray(parquet.schema(SPEC).serialize().to_pybytes())
    path.write_bytes(content)
    notes: list[str] = []
    finish_journals(list_files(str(tmp_path)), SPEC, notes.append)
    assert "0 fragments go on" in notes[0]
    assert [entry.name for entry in tmp_path.iterdir()] == [f"{path.name}.damaged"]
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content


def fill(log: ExperienceLog, count: int, skip: int = 0) -> list[LoggedFragment]:
    """Append the first fragments, each in ten times its number; returns them without their time."""
    found = []
    for number, (fragment, source) in list(enumerate(first(count)))[skip:]:
        log.insert(fragment, source, row=10 * number)
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

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(parquet, "write_episodes", full)
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
    with pytest.raises(InputError, match="file/experience: cannot be written: Not a directory"):
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
            log.insert(fragment, source, row=0)
            wanted.append((session, key(fragment)))
    newest = ExperienceLog(str(tmp_path), 0, SPEC, session=2)
    found = list(newest.earlier(lambda _: True))
    assert [key(fragment.episode) for fragment in found] == [key for _, key in wanted]
    assert not list(newest.own())
    of_worker_1 = newest.earlier(lambda stream: stream[0] == 1)
    wanted_of_1 = [key for _, key in wanted if key[0] == 1]
    assert [key(fragment.episode) for fragment in of_worker_1] == wanted_of_1


def test_no_flipped_bit_of_a_file_is_taken_for_numbers(tmp_path: Path) -> None:
    path = tmp_path / "shard-000-s000-000000.parquet"
    experience.write_fragments(str(path), logged(5), SPEC)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    fragments = read_fragments(str(path))
    noticed = 0
    for at in rng.permutation(len(content))[:500]:
        damaged = bytearray(content)
        damaged[at] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            assert_same(read_fragments(str(path)), fragments)
        except InputError:
            noticed += 1
            with pytest.raises(InputError, match=f"^{path}: "):
                list(parquet.read_episodes(str(path)))
    seal = content.index(parquet.SEAL)
    assert noticed >= 500 - len(parquet.SEAL) - 4 - 4  # all but the seal and the footer's length
    assert content[seal:].endswith(b"PAR1")


def test_files_that_were_written_by_others_or_before_are_read(tmp_path: Path) -> None:
    path = tmp_path / "shard-000-s000-000000.parquet"
    experience.write_fragments(str(path), logged(5), SPEC)
    fragments, table = read_fragments(str(path)), pq.read_table(path)
    pq.write_table(table, path)
    assert parquet.SEAL not in path.read_bytes()
    assert_same(read_fragments(str(path)), fragments)


@pytest.mark.parametrize(
    "starts", [[], None, [0, 0], [0, 4, 2], [1], [0, 99], [None]], ids=lambda starts: str(starts)
)
def test_marks_that_do_not_take_an_episode_apart_are_refused(
    tmp_path: Path, starts: list[int | None] | None
) -> None:
    path = tmp_path / "shard-000-s000-000000.parquet"
    experience.write_fragments(str(path), logged(5), SPEC)
    table = pq.read_table(path)
    place = table.schema.get_field_index("pieces")
    pieces = table["pieces"].to_pylist()
    like = pieces[1][0]
    pieces[1] = None if starts is None else [like | {"start": start} for start in starts]
    column = pa.array(pieces, table["pieces"].type)
    pq.write_table(table.set_column(place, table.schema.field(place), column), path)
    with pytest.raises(InputError, match=f"^{path}: row 1: its fragments") as caught:
        read_fragments(str(path))
    assert "\n" not in str(caught.value)


def test_a_journal_that_is_finished_before_it_is_read_is_read_as_parquet(tmp_path: Path) -> None:
    log = ExperienceLog(str(tmp_path), 0, SPEC)
    wanted = fill(log, 5)
    (file,) = list_files(str(tmp_path))
    log.flush()
    assert not Path(file.path).exists()
    assert_same(without_time(read_fragments(file.path)), wanted)


def test_a_journal_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = f"{tmp_path}/shard-000-s000-000000.journal"
    for read in (read_fragments, journal.FORMAT.describe):
        with pytest.raises(InputError, match=f"^{path}: cannot be read: "):
            read(path)
