"""Files of episodes: what is written is what is read, and wrong input names its place."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import awac_dist
from awac_dist.data import experience, parquet, sources
from awac_dist.data.experience import ExperienceLog
from awac_dist.data.format import FileInfo, Format
from awac_dist.data.fragments import join_fragments
from awac_dist.data.parquet import read_episodes, read_info, write_episodes
from awac_dist.data.passed_over import PROMISING
from awac_dist.data.sources import Source, count_episodes, episodes, find, open_source, read_share
from awac_dist.errors import InputError
from awac_dist.files import beside, files_below, read_file, resolve, write_file, written_aside
from awac_dist.types import EnvSpec, Episode, Origin

SPEC = EnvSpec("Counting-v0", 3, 2, (-1.0, -1.0), (1.0, 1.0), 10)
WIDER = replace(SPEC, env_id="Wider-v0", observation_size=5)


def make_episode(steps: int = 4, *, seed: int = 0, **changes: Any) -> Episode:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "observations": rng.normal(size=(steps + 1, 3)).astype(np.float32),
        "actions": rng.normal(size=(steps, 2)).astype(np.float32),
        "rewards": rng.normal(size=steps).astype(np.float32),
        "terminated": False,
        "truncated": True,
        "origin": Origin("online", 30_000_000_000, 4, 2, 17, 250, 2**31 - 1),
        "successes": (rng.random(steps) < 0.5).astype(np.float32),
    }
    return Episode(**{**columns, **changes})


def assert_equal(found: Episode, wanted: Episode) -> None:
    for field in fields(Episode):
        ours, theirs = getattr(found, field.name), getattr(wanted, field.name)
        if isinstance(theirs, np.ndarray):
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)
        else:
            assert ours == theirs, field.name


def read_all(path: Path) -> list[Episode]:
    return [episode for _, episode in read_episodes(str(path))]


def cut(episode: Episode, steps: Sequence[int]) -> list[Episode]:
    """Cut an episode into fragments of these lengths, as a rollout worker does."""
    fragments, start = [], 0
    for length in steps:
        stop, last = start + length, start + length == len(episode)
        fragments.append(
            Episode(
                observations=episode.observations[start : stop + 1],
                actions=episode.actions[start:stop],
                rewards=episode.rewards[start:stop],
                terminated=episode.terminated and last,
                truncated=episode.truncated and last,
                origin=replace(episode.origin, start=start),
                successes=None if episode.successes is None else episode.successes[start:stop],
            )
        )
        start = stop
    return fragments


# Episodes.


@pytest.mark.parametrize(
    ("column", "rows", "wanted"),
    [
        ("observations", 4, "observations has 4 rows, 4 actions need 5"),
        ("rewards", 5, "rewards has 5 rows, 4 actions need 4"),
        ("successes", 3, "successes has 3 rows, 4 actions need 4"),
        ("desired_goals", 4, "desired_goals has 4 rows, 4 actions need 5"),
        ("achieved_goals", 6, "achieved_goals has 6 rows, 4 actions need 5"),
    ],
)
def test_columns_that_do_not_fit_together_are_refused(column: str, rows: int, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        make_episode(**{column: np.zeros((rows, 3), np.float32)})


def test_an_episode_without_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        make_episode(steps=0)


# Parquet.


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"successes": None},
        {"terminated": True, "truncated": False},
        {"terminated": False, "truncated": False},
        {"origin": Origin("demonstration")},
        {"rewards": np.float32([np.nan, np.inf, -0.0, 1e-42])},
    ],
)
def test_an_episode_is_read_as_it_was_written(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "episodes.parquet"
    wanted = [make_episode(seed=1, **changes), make_episode(steps=1, seed=2)]
    write_episodes(str(path), wanted, SPEC)
    found = read_all(path)
    assert len(found) == 2
    for ours, theirs in zip(found, wanted, strict=True):
        assert_equal(ours, theirs)


def test_many_episodes_keep_their_order_and_numbers(tmp_path: Path) -> None:
    count = 2 * parquet.EPISODES_PER_READ + 3
    path = tmp_path / "episodes.parquet"
    write_episodes(str(path), [make_episode(seed=n) for n in range(count)], SPEC)
    for expected, (number, episode) in enumerate(read_episodes(str(path))):
        assert number == expected
        assert_equal(episode, make_episode(seed=expected))
    assert number == count - 1


def test_a_file_says_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "episodes.parquet"
    write_episodes(str(path), [make_episode(), make_episode()], SPEC)
    assert read_info(str(path)) == FileInfo(
        "Counting-v0", 3, 2, 2, bounds=(SPEC.action_low, SPEC.action_high)
    )


def test_a_file_may_be_named_by_a_uri(tmp_path: Path) -> None:
    uri = (tmp_path / "episodes.parquet").as_uri()
    write_episodes(uri, [make_episode()], SPEC)
    assert paths(open_source(uri, SPEC)) == [uri]
    source = open_source(tmp_path.as_uri(), SPEC)
    assert paths(source) == [uri]
    assert_equal(next(read_share(source, SPEC, 0, 1))[1], make_episode())


class PowerCutError(Exception):
    """Stands for whatever stops a process at once."""


def tear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next write stop half-way."""

    @contextmanager
    def half(path: str) -> Iterator[tuple[Any, str]]:
        Path(beside(path)).write_bytes(b"PAR1 half of a file")
        raise PowerCutError
        yield

    monkeypatch.setattr(parquet, "written_aside", half)


def test_a_torn_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_episodes(str(tmp_path / "whole.parquet"), [make_episode()], SPEC)
    tear(monkeypatch)
    with pytest.raises(PowerCutError):
        write_episodes(str(tmp_path / "torn.parquet"), [make_episode()], SPEC)
    assert paths(open_source(str(tmp_path), SPEC)) == [str(tmp_path / "whole.parquet")]


def test_a_torn_write_leaves_the_older_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "episodes.parquet"
    write_episodes(str(path), [make_episode(seed=5)], SPEC)
    tear(monkeypatch)
    with pytest.raises(PowerCutError):
        write_episodes(str(path), [make_episode(seed=6)], SPEC)
    assert_equal(read_all(path)[0], make_episode(seed=5))


def test_two_who_write_one_file_at_once_do_not_meet(place: str) -> None:
    """Whoever ends last, the file is whole at any time, and nothing else is left."""
    folder, path = place, f"{place}/file"
    write_file(path, b"before")
    with ExitStack() as stack:
        inner = [stack.enter_context(written_aside(path)) for _ in range(2)]
        for (filesystem, aside), content in zip(inner, (b"1" * 9, b"2" * 4), strict=True):
            with filesystem.open_output_stream(aside) as file:
                file.write(content)
        assert read_file(path) == b"before"
    assert read_file(path) == b"1" * 9  # who began first ended last
    assert [info.path for info in files_below(*resolve(folder))] == [resolve(path)[1]]


@pytest.mark.parametrize("stop", [OSError, PowerCutError, KeyboardInterrupt])
def test_a_write_that_stops_leaves_its_room_to_others(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    writing = written_aside(str(tmp_path / "file"))
    _, aside = writing.__enter__()
    Path(aside).write_bytes(b"half")
    assert not writing.__exit__(stop, stop(), None)  # it goes on
    assert not list(tmp_path.iterdir())


def test_a_whole_file_that_nobody_renamed_any_more_is_not_read_beside_another(
    tmp_path: Path,
) -> None:
    """Its process died in between, and the next one wrote it again; a name that a person chose is
    read, whatever it ends on."""
    path, theirs = tmp_path / "whole.parquet", tmp_path / "mine.part"
    write_episodes(str(path), [make_episode()], SPEC)
    shutil.copy(path, beside(str(path)))
    shutil.copy(path, theirs)
    assert paths(open_source(str(tmp_path), SPEC)) == [str(theirs), str(path)]


# Sources and shares.


def write_folder(folder: Path, counts: Sequence[int]) -> None:
    """Write files with these numbers of episodes; seeds number the episodes over all files."""
    folder.mkdir(parents=True, exist_ok=True)
    first = 0
    for number, count in enumerate(counts):
        episodes = [make_episode(seed=n) for n in range(first, first + count)]
        write_episodes(str(folder / f"{number}.parquet"), episodes, SPEC)
        first += count


@pytest.mark.parametrize("num_shards", [1, 2, 3, 4])
def test_shares_partition_the_episodes_and_keep_their_numbers(
    tmp_path: Path, num_shards: int
) -> None:
    write_folder(tmp_path, [3, 0, 5, 1])
    source = open_source(str(tmp_path), SPEC)
    assert count_episodes(source) == 9
    found: dict[int, Episode] = {}
    for index in range(num_shards):
        for number, episode in read_share(source, SPEC, index, num_shards):
            assert number % num_shards == index
            assert number not in found
            found[number] = episode
    assert sorted(found) == list(range(9))
    for number, episode in found.items():
        assert_equal(episode, make_episode(seed=number))


def test_the_folder_of_a_run_means_its_experience(tmp_path: Path) -> None:
    write_folder(tmp_path / "experience", [1])
    write_folder(tmp_path, [1])
    source = open_source(str(tmp_path), SPEC)
    assert paths(source) == [str(tmp_path / "experience" / "0.parquet")]
    assert source.name == str(tmp_path)


def paths(source: Source) -> list[str]:
    return [file.path for file in source.files]


@pytest.mark.parametrize("stated", ["demonstration", "prior"])
def test_the_user_may_say_what_kind_of_data_it_is(tmp_path: Path, stated: str) -> None:
    path = tmp_path / "episodes.parquet"
    write_episodes(str(path), [make_episode(origin=Origin("online", episode=7))], SPEC)
    [(_, _, believed)] = episodes(open_source(str(path), SPEC))
    [(_, _, told)] = episodes(open_source(f"{path},kind={stated}", SPEC))
    assert believed.origin.kind == "online"
    assert (told.origin.kind, told.origin.episode) == (stated, 7)


def test_the_options_of_a_source_stand_behind_commas(tmp_path: Path) -> None:
    path = tmp_path / "episodes.parquet"
    write_episodes(str(path), [make_episode()], SPEC)
    source = open_source(f"{path},weight=0.5,kind=prior", SPEC)
    assert (source.name, source.weight, source.kind) == (str(path), 0.5, "prior")
    for wrong, problem in {
        "weight=0": "is not weight=NUMBER above 0",
        "weight=much": "is not weight=NUMBER",
        "kind=best": r"is not kind=demonstration\|prior\|online",
        "weight=2,kind=prior,weight=3": "weight= is given twice",
        "wieght=2": "no option wieght; did you mean weight",
        "speed=2": "no option speed; there are kind=",
        "": "no dataset",
    }.items():
        with pytest.raises(InputError, match=problem):
            open_source(f"{path},{wrong}", SPEC)


def test_the_user_may_choose_the_keys_of_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def describes(path: str, keys: Any) -> FileInfo:
        told.append(keys)
        return FileInfo(None, 3, 2, 1)

    def reads(path: str, share: tuple[int, int], keys: Any) -> Iterator[tuple[int, Episode]]:
        told.append(keys)
        yield 0, make_episode()

    chosen = {"observations": ("object", "robot0_eef_pos"), "actions": ("act",)}
    own = Format("own", lambda path: True, describes, reads, choices=("observations", "actions"))
    monkeypatch.setattr("awac_dist.data.sources.FORMATS", {"own": own})
    source = open_source("a,observations=object+robot0_eef_pos,actions=act,kind=prior", SPEC)
    assert len(list(read_share(source, SPEC, 0, 1))) == 1
    assert told == [chosen] * 3
    with pytest.raises(InputError, match=r"observations=a\+ is not observations=KEY\+KEY"):
        find("a,observations=a+")
    other = Format("other", lambda path: True, lambda path: FileInfo(None, 3, 2, 1), reads)
    with pytest.raises(InputError, match="f: other has no choice of actions: leave actions= out"):
        other.describe("f", {"actions": ("act",)})


@pytest.mark.parametrize("name", ["a,b", "lr=1,seed=2", "x[0-9]", "a[b", "it, says", "c:d", "e=f"])
def test_an_existing_path_may_hold_any_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / name, [1, 2])
    file = str(tmp_path / name / "1.parquet")
    uri = [] if set(name) & set("[ ") else [f"{tmp_path.as_uri()}/"]  # which URIs write otherwise
    for start in ("", "~/", f"{tmp_path}/", *uri):
        source = find(f"{start}{name}/1.parquet,kind=prior")
        assert (source.name, source.kind) == (f"{start}{name}/1.parquet", "prior")
        assert [path.removeprefix("file://") for path in paths(source)] == [file]
        assert count_episodes(find(f"{start}{name}")) == 3
        if "://" not in start and "[" not in name:
            assert count_episodes(find(f"{start}{name}/[1-9].parquet,weight=2")) == 2


QUERY = "?region=us-east-1"


@pytest.mark.parametrize("query", ["", QUERY])
@pytest.mark.parametrize("name", ["mine", "my data", "100% of #1?", "a%20b"])
def test_the_folder_of_a_uri_may_have_any_name(place: str, name: str, query: str) -> None:
    start = place if "://" in place else f"file://{place}"
    uri = f"{start}/{quote(name)}"
    write_file(f"{uri}/{quote(name)}.h5", b"damaged")
    for file in ("a", name):
        write_episodes(f"{uri}/{quote(file)}.parquet", [make_episode()], SPEC)
    source = open_source(f"{uri}{query}", SPEC)
    files = sorted(("a.parquet", f"{name}.parquet"))
    assert paths(source) == [f"{uri}/{quote(file)}{query}" for file in files]
    assert len(list(episodes(source))) == 2
    (said,) = source.remarks
    assert said.startswith(f"{uri}/{quote(name)}.h5{query}: is passed over")


@pytest.mark.parametrize("name", ["~/no", "c:d", "minari:", "minari:no", "minari:a:b-v0", "a,b"])
def test_what_is_not_there_is_one_line(name: str) -> None:
    with pytest.raises(InputError) as caught:
        open_source(name, SPEC)
    assert "\n" not in str(caught.value)
    assert name.removeprefix("minari:") in str(caught.value)


@pytest.mark.parametrize(
    ("named", "env_id", "same"),
    [
        ("HalfCheetah-v4", "HalfCheetah-v5", True),
        ("HalfCheetah-v5", "Walker2d-v5", False),
        ("Ant-v5", "awac_dist/AntPaper-v0", False),
        ("Hand-v0", "HandReach-v0", False),
        ("mine:Task-v0", "Task-v0", True),
        ("Lift", "RobosuiteLift-v0", True),
        ("lift", "mine/Lift-v0", True),
        ("Can", "mine/Lift-v0", False),
        ("", "Lift-v0", True),
    ],
)
def test_a_task_that_the_file_names_must_be_the_run_s(
    tmp_path: Path, named: str, env_id: str, same: bool
) -> None:
    path, spec = str(tmp_path / "a.parquet"), replace(SPEC, env_id=env_id)
    write_episodes(path, [make_episode()], replace(SPEC, env_id=named))
    remark = f"{path}: names {named}, and is taken for {env_id}"
    assert open_source(f"{path},task=any", spec).remarks == ((remark,) if named else ())
    if same:
        assert open_source(path, spec).remarks == ((remark,) if named else ())
        return
    with pytest.raises(InputError, match=f"{path}: is of {named}, not of {env_id}: .*,task=any"):
        open_source(path, spec)


def test_what_a_file_says_of_observations_and_environment_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"observation": "a[1], b[2]", "environment options": "{'x': 1}", "rewards": "sparse"}
    info = FileInfo(None, 3, 2, 1, facts)
    own = Format("own", lambda path: True, lambda path: info, lambda path, share: iter(()))
    monkeypatch.setattr("awac_dist.data.sources.FORMATS", {"own": own})
    source = open_source("a", SPEC)
    assert source.remarks == ("a: observation: a[1], b[2]", "a: environment options: {'x': 1}")


@pytest.mark.parametrize("num_shards", [1, 3])
@pytest.mark.parametrize("steps", [2, 4, 9, 10, 11, 12])
def test_the_user_may_say_where_the_clock_cut(tmp_path: Path, num_shards: int, steps: int) -> None:
    path = str(tmp_path / "a.parquet")
    ends = [{"terminated": True, "truncated": False}, {"truncated": False}, {}]
    whole = [make_episode(10 + n, seed=n, **end) for n, end in enumerate(ends)]
    write_episodes(path, whole, SPEC)
    source = open_source(f"{path},episode_steps={steps}", SPEC)
    found = [
        (number, part)
        for index in range(num_shards)
        for number, part in read_share(source, SPEC, index, num_shards)
    ]
    for number, episode in enumerate(whole):
        parts = [part for its, part in found if its == number]
        starts = list(range(0, len(episode), steps))
        assert [part.origin.start - 250 for part in parts] == starts
        for start, part in zip(starts, parts, strict=True):
            last = start + steps >= len(episode)
            assert len(part) == (len(episode) - start if last else steps - 1)
            assert part.terminated == (last and episode.terminated)
            assert part.truncated == (episode.truncated if last else True)
            its = slice(start, start + len(part) + 1)
            np.testing.assert_array_equal(part.observations, episode.observations[its])
            np.testing.assert_array_equal(part.rewards, episode.rewards[start : its.stop - 1])
    numbers = [number for _, number, _ in episodes(source)]
    assert numbers == list(range(len(found)))
    for wrong in ("0", "1", "-3", "all", "1.5"):
        with pytest.raises(InputError, match="is not episode_steps=STEPS, 2 or more"):
            find(f"{path},episode_steps={wrong}")


def test_folders_of_a_glob_come_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ba":
        (tmp_path / name).mkdir()
        write_episodes(str(tmp_path / name / "x.parquet"), [make_episode()], SPEC)
    backwards = [str(tmp_path / name) for name in "ba"]
    monkeypatch.setattr("awac_dist.data.arguments.glob.glob", lambda *_, **__: backwards)
    found = [Path(file.path).parent.name for file in find(f"{tmp_path}/[ab]").files]
    assert found == ["a", "b"]


def test_a_glob_means_what_it_matches(tmp_path: Path) -> None:
    write_folder(tmp_path, [1, 2])
    assert count_episodes(open_source(f"{tmp_path}/[1-9].parquet", SPEC)) == 2
    with pytest.raises(InputError, match="matches nothing"):
        open_source(f"{tmp_path}/*.hdf5", SPEC)


@pytest.mark.parametrize("suffix", PROMISING)
@pytest.mark.parametrize("by", ["", "/*"])
def test_what_looks_like_data_and_is_not_read_is_said(tmp_path: Path, suffix: str, by: str) -> None:
    write_folder(tmp_path, [1, 2])
    whole = (tmp_path / "0.parquet").read_bytes()
    damaged = tmp_path / f"damaged{suffix}"
    damaged.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("mine")
    argument = f"{tmp_path}{by}"
    (said,) = open_source(argument, SPEC).remarks
    assert said.startswith(f"{damaged}: is passed over")
    with pytest.warns(UserWarning, match="is passed over"):
        assert len(awac_dist.load_data(argument)) == 3
    with pytest.raises(InputError, match=str(damaged)):
        find(str(damaged))


def test_a_glob_reads_files_and_the_folders_among_them(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "more"):
        write_folder(folder, [1])
    (tmp_path / "none").mkdir()
    source = find(f"{tmp_path}/*")
    assert paths(source) == [str(tmp_path / name) for name in ("0.parquet", "more/0.parquet")]
    (said,) = source.remarks
    assert said.startswith(f"{tmp_path / 'none'}: is passed over")


def test_two_stars_of_a_glob_go_into_all_folders(tmp_path: Path) -> None:
    for folder in ("", "b/deep", "b.c", "whole.parquet"):
        write_folder(tmp_path / folder, [1])
    there = ("0.parquet", "b/deep/0.parquet", "b.c/0.parquet", "whole.parquet/0.parquet")
    wanted = sorted(str(tmp_path / its) for its in there)
    for pattern in ("**", "**/*", "**/*.parquet"):
        source = find(f"{tmp_path}/{pattern}")
        assert sorted(paths(source)) == wanted
        assert source.remarks == ()
    assert paths(find(f"{tmp_path}/b/**")) == [str(tmp_path / "b" / "deep" / "0.parquet")]


def test_a_glob_at_a_uri_is_told_what_to_give(place: str) -> None:
    uri = place if "://" in place else f"file://{place}"
    write_file(f"{uri}/notes.txt", b"")
    write_episodes(f"{uri}/0.parquet", [make_episode()], SPEC)
    with pytest.raises(InputError, match=r"/\*: globs are of paths .* name the folder"):
        find(f"{uri}/*")
    with pytest.raises(InputError, match="no dataset"):
        find(f"{uri}/gone{QUERY}")


def test_a_folder_in_a_folder_that_is_not_looked_into_is_said(place: str) -> None:
    for folder in ("", "/b", "/b/deep", "/c.parquet"):
        write_file(f"{place}{folder}/notes.txt", b"mine")  # which makes the folder
        write_episodes(f"{place}{folder}/0.parquet", [make_episode()], SPEC)
    write_file(f"{place}/papers/a.pdf", b"nobody's data")
    source = open_source(place, SPEC)
    assert paths(source) == [f"{place}/0.parquet"]
    said = "is passed over: folders in a folder are not looked into: give it as --data, too"
    assert source.remarks == tuple(f"{place}/{folder}: {said}" for folder in ("b", "c.parquet"))
    assert len(open_source(f"{place}/b", SPEC).remarks) == 1


def test_a_folder_of_folders_says_which_to_name(tmp_path: Path) -> None:
    for folder in ("2021", "2022"):
        write_folder(tmp_path / folder, [1])
    with pytest.raises(InputError, match=f"holds nothing that we read: .*: name {tmp_path}/2021$"):
        find(str(tmp_path))
    assert count_episodes(find(f"{tmp_path}/*")) == 2


def test_data_beside_the_experience_of_a_run_is_said(tmp_path: Path) -> None:
    write_folder(tmp_path / "experience", [1])
    write_folder(tmp_path, [1])
    np.savez(tmp_path / "policy.npz", spec="of a policy")
    (said,) = find(str(tmp_path)).remarks
    assert said.startswith(f"{tmp_path / '0.parquet'}: is passed over: of a run's folder only exp")


def write_nothing(_: Path) -> None:
    pass


def write_text(path: Path) -> None:
    path.write_text("not a table")


def write_empty_file(path: Path) -> None:
    path.write_bytes(b"")


def write_empty_folder(path: Path) -> None:
    path.mkdir()


def write_no_episodes(path: Path) -> None:
    write_episodes(str(path), [], SPEC)


def write_foreign(path: Path) -> None:
    pq.write_table(pa.table({"observations": [1, 2]}), path)


def write_wider(path: Path) -> None:
    observations = np.zeros((5, 5), np.float32)
    write_episodes(str(path), [make_episode(observations=observations)], WIDER)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_nothing, "no dataset .*neither a path nor one of halfcheetah-demonstrations"),
        (write_text, "cannot be read as Parquet"),
        (write_empty_file, "is empty"),
        (write_empty_folder, "holds nothing that we read"),
        (write_no_episodes, "holds no episodes"),
        (write_foreign, "was not written by awac_dist"),
        (
            write_wider,
            r"observations \[T\+1, 5\] and actions \[T, 2\] of Wider-v0 do not fit "
            "Counting-v0, which has 3 and 2",
        ),
    ],
)
def test_wrong_data_gets_one_line_that_names_it(tmp_path: Path, write: Any, message: str) -> None:
    path = tmp_path / "wrong.parquet"
    write(path)
    with pytest.raises(InputError, match=message) as caught:
        open_source(str(path), SPEC)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_that_holds_no_episode_is_named(tmp_path: Path) -> None:
    path = tmp_path / "episodes.parquet"
    table = parquet.to_table([make_episode(), make_episode()], SPEC)
    shorter = [table["rewards"][0].as_py(), [1.0]]
    place = table.schema.get_field_index("rewards")
    table = table.set_column(
        place, table.schema.field(place), pa.array([*shorter], table["rewards"].type)
    )
    pq.write_table(table, path)
    with pytest.raises(InputError, match=r"row 1: rewards has 1 rows, 4 actions need 4") as caught:
        read_all(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("column", ["observations", "actions", "rewards"])
def test_a_row_that_lacks_a_column_is_named(tmp_path: Path, column: str) -> None:
    path = tmp_path / "episodes.parquet"
    table = parquet.to_table([make_episode()], SPEC)
    place = table.schema.get_field_index(column)
    field = table.schema.field(place)
    table = table.set_column(place, field, pa.array([None], field.type))
    pq.write_table(table, path)
    with pytest.raises(InputError, match=f"row 0: {column} is missing"):
        read_all(path)


def test_a_row_whose_column_is_of_another_type_is_named(tmp_path: Path) -> None:
    path = tmp_path / "episodes.parquet"
    table = parquet.to_table([make_episode()], SPEC)
    place = table.schema.get_field_index("rewards")
    pq.write_table(table.set_column(place, "rewards", pa.array([1.0])), path)
    with pytest.raises(InputError, match=f"^{path}: row 0: "):
        read_all(path)


def test_a_damaged_embedded_dataset_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "halfcheetah-demonstrations.parquet").write_bytes(b"PAR1 and no more")
    monkeypatch.setattr("awac_dist.data.sources.resources.files", lambda _: tmp_path)
    with pytest.raises(InputError, match=r"demonstrations\.parquet: cannot be read as"):
        find("halfcheetah-demonstrations")


def test_a_share_checks_the_file_that_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "episodes.parquet"
    write_episodes(str(path), [make_episode()], SPEC)
    source = open_source(str(path), SPEC)
    write_wider(path)
    with pytest.raises(InputError, match="Wider-v0 do not fit Counting-v0"):
        list(read_share(source, SPEC, 0, 1))


def test_embedded_data_have_a_name() -> None:
    for name in sources.EMBEDDED:
        (file,) = find(name).files
        assert file.path.endswith(f"{name}.parquet")


# Fragments and the experience log.


def test_fragments_join_to_the_episode_that_was_cut() -> None:
    whole = make_episode(10, origin=Origin("online", worker=1, episode=3))
    (joined,) = join_fragments(cut(whole, [3, 1, 6]))
    assert_equal(joined, whole)


def test_fragments_join_whatever_their_order() -> None:
    first, second = (
        make_episode(6, seed=n, origin=Origin("online", worker=1, episode=n)) for n in range(2)
    )
    fragments = [*cut(second, [2, 4]), *cut(first, [1, 2, 3])]
    for found, wanted in zip(join_fragments(fragments[::-1]), [first, second], strict=True):
        assert_equal(found, wanted)


def test_fragments_with_a_gap_stay_apart() -> None:
    whole = make_episode(10, origin=Origin("online", worker=1, episode=3))
    first, _, last = cut(whole, [3, 1, 6])
    for found, wanted in zip(join_fragments([first, last]), [first, last], strict=True):
        assert_equal(found, wanted)


@pytest.mark.parametrize("name", ["worker", "incarnation", "episode"])
def test_fragments_of_different_streams_stay_apart(name: str) -> None:
    whole = make_episode(10, origin=Origin("online", worker=1, incarnation=0, episode=3))
    first, last = cut(whole, [4, 6])
    other = replace(last, origin=replace(last.origin, **{name: 7}))
    assert len(join_fragments([first, other])) == 2


def test_nothing_follows_the_end_of_an_episode() -> None:
    first, last = cut(make_episode(10, origin=Origin("online", worker=1, episode=3)), [4, 6])
    assert len(join_fragments([replace(first, truncated=True), last])) == 2


def test_a_fragment_that_says_nothing_of_success_is_unknown_in_the_whole() -> None:
    whole = make_episode(10, origin=Origin("online", worker=1, episode=3))
    first, last = cut(whole, [4, 6])
    assert first.successes is not None
    (joined,) = join_fragments([first, replace(last, successes=None)])
    np.testing.assert_array_equal(joined.successes, [*first.successes, *[np.nan] * 6])
    (silent,) = join_fragments([replace(part, successes=None) for part in (first, last)])
    assert silent.successes is None


def logged(folder: Path) -> list[Episode]:
    source = open_source(str(folder), SPEC)
    return [episode for _, episode in read_share(source, SPEC, 0, 1)]


def test_the_log_reads_back_as_what_was_appended(tmp_path: Path) -> None:
    episodes = [
        make_episode(6, seed=n, origin=Origin("online", worker=n % 2, episode=n)) for n in range(4)
    ]
    log = ExperienceLog(str(tmp_path / "experience"), 0, SPEC)
    for episode in episodes:
        for fragment in cut(episode, [2, 4]):
            log.insert(fragment, "online", row=-1)
    log.flush()
    found = sorted(logged(tmp_path), key=lambda episode: episode.origin.episode)
    for ours, theirs in zip(found, episodes, strict=True):
        assert_equal(ours, theirs)


def test_an_episode_cut_over_two_files_joins_again(tmp_path: Path) -> None:
    whole = make_episode(6, origin=Origin("online", worker=0, episode=0))
    log = ExperienceLog(str(tmp_path), 0, SPEC)
    for fragment in cut(whole, [2, 4]):
        log.insert(fragment, "online", row=-1)
        log.flush()
    found = logged(tmp_path)
    assert len(found) == 2
    assert_equal(join_fragments(found)[0], whole)


def test_the_log_writes_by_itself_when_it_holds_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experience, "STEPS_PER_FILE", 10)
    log = ExperienceLog(str(tmp_path), 0, SPEC)
    written = []
    for number in range(6):
        log.insert(make_episode(4, origin=Origin("online", worker=0, episode=number)), "online", -1)
        written.append(len(list(tmp_path.glob("*.parquet"))))
    assert written == [0, 0, 0, 1, 1, 1]


def test_an_empty_log_writes_no_file(tmp_path: Path) -> None:
    ExperienceLog(str(tmp_path), 0, SPEC).flush()
    assert list(tmp_path.iterdir()) == []


def test_shards_and_their_replacements_never_overwrite_each_other(tmp_path: Path) -> None:
    for number, shard in enumerate((0, 1, 0)):  # the second shard 0 replaces the first
        log = ExperienceLog(str(tmp_path), shard, SPEC)
        log.insert(make_episode(origin=Origin("online", worker=0, episode=number)), "online", -1)
        log.flush()
    assert sorted(episode.origin.episode for episode in logged(tmp_path)) == [0, 1, 2]


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_is_a_valid_dataset_or_a_clear_error(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "episodes.parquet"
        write_episodes(str(path), [make_episode(), make_episode(7)], SPEC)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        message, found = str(path), []
        try:
            source = open_source(str(path), SPEC)
            found = [episode for _, episode in read_share(source, SPEC, 0, 1)]
        except InputError as error:
            message = str(error)
        assert str(path) in message
        assert "\n" not in message
        assert all(len(episode.observations) == len(episode) + 1 for episode in found)
