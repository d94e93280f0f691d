"""Runs whose folder is a URI."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from running import ALL_UPDATES, SMALL, write_demonstrations

from awac_dist.cli import launch
from awac_dist.cli.main import main as awac_dist
from awac_dist.config import RunConfig
from awac_dist.data.sources import episodes, find
from awac_dist.errors import InputError, RunFailed
from awac_dist.files import create_exclusively, read_file, sealed, write_file
from awac_dist.learner.checkpoint import load_progress, newest_whole
from awac_dist.reporting import run_place
from awac_dist.reporting.run_place import RunPlace, only_one_at_a_time


def main(words: list[str]) -> int:
    return awac_dist(["launch", *words])


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_folder_is_all_in_one_place(tmp_path: Path) -> None:
    place = RunPlace.at("runs/a")
    assert (place.local, place.shared) == (tmp_path / "runs/a", str(tmp_path / "runs/a"))
    assert not place.is_remote


def test_a_uri_has_a_local_folder_of_its_own(tmp_path: Path) -> None:
    place = RunPlace.at("s3://bucket/team/a/")
    assert place.shared == "s3://bucket/team/a"
    assert place.local.parent == tmp_path / "runs"
    assert place.local.name.startswith("a-")
    uris = ["s3://bucket/team/a", "s3://bucket/other/a", "s3://tub/team/a", "gs://bucket/team/a"]
    assert len({RunPlace.at(uri).local for uri in uris}) == len(uris)
    assert RunPlace.at("s3://bucket/..").local.parent == tmp_path / "runs"


def test_what_changed_is_kept_and_comes_back(tmp_path: Path) -> None:
    place = RunPlace.at(f"file://{tmp_path}/there/a")
    place.create()
    (place.local / "events").mkdir()
    (place.local / "events" / "one").write_bytes(b"1")
    (place.local / "metrics.jsonl").write_text("a\n")
    (place.local / "debug.log").symlink_to("gone.log")  # as trackers leave it
    place.keep()
    kept = tmp_path / "there/a"
    untouched = (kept / "events/one").stat().st_mtime_ns
    (place.local / "metrics.jsonl").write_text("a\nb\n")
    place.keep()
    assert (kept / "metrics.jsonl").read_text() == "a\nb\n"
    assert (kept / "events/one").stat().st_mtime_ns == untouched
    (kept / "checkpoints").mkdir()
    (kept / "checkpoints" / "large").write_bytes(b"large")
    shutil.rmtree(place.local)
    RunPlace.at(place.shared).fetch()
    assert (place.local / "metrics.jsonl").read_text() == "a\nb\n"
    assert (place.local / "events/one").read_bytes() == b"1"
    assert not (place.local / "checkpoints").exists()


def test_a_uri_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("")
    with pytest.raises(InputError, match=r"file://.*there exists already and is not empty"):
        RunPlace.at(f"file://{tmp_path}/there").create()


@pytest.mark.parametrize("uri", ["nosuch://bucket/a", "file:///proc/nowhere/a"])
def test_a_uri_that_cannot_be_reached_is_one_line(uri: str) -> None:
    with pytest.raises(InputError, match=f"the folder {uri} cannot be reached: [^\\n]+$"):
        RunPlace.at(uri).create()


@pytest.mark.parametrize("key", ["../escaped", "a/../../escaped", "/escaped", "a//escaped"])
def test_no_object_leaves_the_local_folder(bucket: str, tmp_path: Path, key: str) -> None:
    place = RunPlace.at(f"{bucket}/{tmp_path.name}")
    place.create()
    store = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    store.put_object(Bucket="runs", Key=f"{tmp_path.name}/{key}", Body=b"evil")
    with pytest.raises(InputError, match=r"holds '.*escaped', which is no name of a file below it"):
        place.fetch()
    assert not list(tmp_path.rglob("escaped"))


def test_sessions_are_numbered_by_what_is_stored(place: str, tmp_path: Path) -> None:
    first = RunPlace.at(place)
    first.create()
    first.begin_session(new=True)
    again = [RunPlace.at(place) for _ in range(3)]
    for number, one in enumerate(again, 1):
        one.local = tmp_path / f"machine-{number}"  # lost before anything but the number is stored
        one.begin_session(new=False)
    assert [one.session for one in (first, *again)] == [0, 1, 2, 3]
    write_file(f"{place}/experience/shard-000-s006-000000.parquet", b"")
    again[0].begin_session(new=False)
    assert again[0].session == 7


def test_only_one_of_many_gets_a_number(place: str) -> None:
    def take(path: str) -> bool:
        return create_exclusively(path, b"me")

    with ThreadPoolExecutor(8) as pool:
        for number in range(5):
            won = list(pool.map(take, [f"{place}/sessions/{number:03d}"] * 8))
            assert sum(won) <= 1
            assert any(won) or "://" in place  # in a bucket all may give up, and try again


def test_whoever_lists_before_and_writes_after_another_gives_up(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one takes the number between our look at what is stored and our own attempt."""
    uri = f"{bucket}/{tmp_path.name}"
    ours, theirs = RunPlace.at(uri), RunPlace.at(uri)
    create = run_place.create_exclusively

    def after_them(path: str, content: bytes) -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(run_place, "create_exclusively", create)
            theirs.begin_session(new=False)
        return create(path, content)

    monkeypatch.setattr(run_place, "create_exclusively", after_them)
    with pytest.raises(InputError, match="another process begins or resumes this run just now"):
        ours.begin_session(new=False)
    assert (theirs.session, ours.session) == (0, -1)


def test_a_process_that_was_overtaken_writes_no_more(bucket: str, tmp_path: Path) -> None:
    slow = RunPlace.at(f"{bucket}/{tmp_path.name}")
    slow.create()
    slow.begin_session(new=True)
    (slow.local / "metrics.jsonl").write_text("slow\n")
    slow.keep()
    RunPlace.at(slow.shared).begin_session(new=False)
    (slow.local / "metrics.jsonl").write_text("slow, and late\n")
    with pytest.raises(RunFailed, match="another process goes on with this run: this one stops"):
        slow.keep()
    assert read_file(f"{slow.shared}/metrics.jsonl") == b"slow\n"


@pytest.mark.parametrize("existed", [False, True])
def test_what_never_ran_leaves_its_name_free(place: str, existed: bool) -> None:
    mine = RunPlace.at(place)
    if existed:
        mine.local.mkdir(parents=True)
    mine.create()
    theirs = RunPlace.at(place)
    theirs.discard()  # owns nothing
    with only_one_at_a_time(mine.local):
        mine.begin_session(new=True)
        (mine.local / "log.txt").write_text("")
        theirs.discard()
        assert (mine.local / "log.txt").exists()
        mine.discard()
    assert mine.local.exists() == existed
    RunPlace.at(place).create()


def test_runs_that_begin_in_one_second_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWAC_DIST_RUNS", str(tmp_path))
    monkeypatch.setattr(launch, "default_run_name", lambda *_: "name")
    places = [launch._new_place(RunConfig()) for _ in range(3)]
    assert [place.local.name for place in places] == ["name", "name-2", "name-3"]
    for place in places:
        place.begin_session(new=True)
        place.discard()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "does", [RunPlace.create, lambda place: place.read("config.yaml"), RunPlace.fetch]
)
def test_options_behind_a_uri_are_refused_for_all_that_is_written_below_it(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    place = RunPlace.at(f"{bucket}/queried?region=us-east-1")
    with pytest.raises(InputError, match=r"\?region=us-east-1 has options .*: leave them"):
        does(place)


def test_an_empty_variable_names_no_place_for_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWAC_DIST_RUNS", "")
    monkeypatch.setattr(launch, "default_run_name", lambda *_: "name")
    monkeypatch.setattr(RunPlace, "create", lambda _: None)
    monkeypatch.setattr(RunPlace, "claim", lambda _: True)
    assert launch._new_place(RunConfig()).local == tmp_path / "runs" / "name"


SMALLEST = (*SMALL, "--runtime", "inline", "--online.env_steps", "0", "--offline.updates", "10")
STEPS = ("only_one_at_a_time", "write_provenance", "open_display", "start_runtime", "Driver")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("at_a_uri", [False, True])
def test_of_two_launches_at_one_moment_the_refused_one_leaves_the_other_alone(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, at_a_uri: bool
) -> None:
    """The second one looked while the place was free, and goes on at some step of the first."""
    folder, codes = tmp_path / "one", []
    name = f"file://{folder}" if at_a_uri else str(folder)
    words = [*SMALLEST, "--data", data, "--run-dir", name]
    take = getattr(launch, step)

    def both(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(launch, step, take)
        with monkeypatch.context() as patch:
            patch.setattr(RunPlace, "create", lambda place: None)
            codes.append(main(words))
        return take(*arguments, **named)

    monkeypatch.setattr(launch, step, both)
    codes.append(main(words))
    assert sorted(codes) == [0, 2]
    newest = newest_whole(f"{folder}/checkpoints")
    assert newest is not None
    assert load_progress(newest)["grad_steps"] == 20
    assert (folder / "metrics.jsonl").stat().st_size
    assert (folder / "config.yaml").exists()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_demonstrations(tmp_path_factory.mktemp("data") / "demonstrations.parquet")


@pytest.mark.parametrize("damaged", [False, True])
def test_a_run_at_a_uri_goes_on_on_another_machine(
    data: str,
    bucket: str,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    damaged: bool,
) -> None:
    """Also where its newest checkpoint was damaged meanwhile."""
    uri = f"{bucket}/goes-on-{damaged}"
    short = [word if word != "120" else "60" for word in SMALL]
    assert main([*short, "--runtime", "inline", "--data", data, "--run-dir", uri]) == 0
    assert not list((tmp_path / "runs").glob("*/checkpoints"))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    newest = sealed(f"{uri}/checkpoints")[-1]
    if damaged:
        state = bytearray(read_file(f"{newest}/state.pt"))
        state[1000] ^= 1
        write_file(f"{newest}/state.pt", bytes(state))
    assert main(["--resume", uri, "--override", "online.env_steps=120"]) == 0
    assert (f"{newest}/state.pt: is damaged" in capfd.readouterr().out) == damaged
    rows = [json.loads(line) for line in read_file(f"{uri}/metrics.jsonl").splitlines()]
    counts = [row["grad_steps"] for row in rows if "critic/loss" in row]
    assert counts == sorted(set(counts))
    assert counts[-1] == ALL_UPDATES
    assert load_progress(sealed(f"{uri}/checkpoints")[-1])["grad_steps"] == ALL_UPDATES
    logged = (episode for _, _, episode in episodes(find(f"{uri}/experience")))
    collected = [episode for episode in logged if episode.origin.kind == "online"]
    assert sum(map(len, collected)) == 120
    assert all(RunPlace.at(uri).holds(name) for name in ("config.yaml", "learning_curve.png"))
