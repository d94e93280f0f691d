"""Runs whose folder is a URI."""

import json
import shutil
from pathlib import Path

import pytest
from running import ALL_UPDATES, SMALL, write_demonstrations

from awac_dist.cli.launch import main
from awac_dist.data.sources import episodes, find
from awac_dist.errors import InputError
from awac_dist.learner.checkpoint import list_checkpoints, load_checkpoint
from awac_dist.reporting.run_place import RunPlace


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_folder_is_all_in_one_place(tmp_path: Path) -> None:
    place = RunPlace.at("runs/a")
    assert (place.local, place.shared) == (tmp_path / "runs/a", str(tmp_path / "runs/a"))
    assert not place.is_remote


def test_a_uri_has_a_local_folder_of_its_name(tmp_path: Path) -> None:
    place = RunPlace.at("s3://bucket/team/a/")
    assert (place.local, place.shared) == (tmp_path / "runs/a", "s3://bucket/team/a")


def test_what_changed_is_kept_and_comes_back(tmp_path: Path) -> None:
    place = RunPlace.at(f"file://{tmp_path}/there/a")
    place.create()
    (place.local / "events").mkdir()
    (place.local / "events" / "one").write_bytes(b"1")
    (place.local / "metrics.jsonl").write_text("a\n")
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
    with pytest.raises(InputError, match=f"the run folder {uri} cannot be reached: [^\\n]+$"):
        RunPlace.at(uri).create()


def test_a_run_at_a_uri_goes_on_on_another_machine(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = write_demonstrations(tmp_path_factory.mktemp("data") / "demonstrations.parquet")
    there = tmp_path_factory.mktemp("there") / "run"
    uri = f"file://{there}"
    short = [word if word != "120" else "60" for word in SMALL]
    assert main([*short, "--runtime", "inline", "--data", data, "--run-dir", uri]) == 0
    assert not (tmp_path / "runs/run/checkpoints").exists()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert main(["--resume", uri, "--override", "online.env_steps=120"]) == 0
    rows = [json.loads(line) for line in (there / "metrics.jsonl").read_text().splitlines()]
    counts = [row["grad_steps"] for row in rows if "critic/loss" in row]
    assert counts == sorted(set(counts))
    assert counts[-1] == ALL_UPDATES
    assert load_checkpoint(list_checkpoints(f"{uri}/checkpoints")[-1])["grad_steps"] == ALL_UPDATES
    logged = (episode for _, _, episode in episodes(find(f"{uri}/experience")))
    collected = [episode for episode in logged if episode.origin.kind == "online"]
    assert sum(map(len, collected)) == 120
    assert {"config.yaml", "log.txt", "learning_curve.png"} <= {
        path.name for path in there.iterdir()
    }
