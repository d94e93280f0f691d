"""A module that a file names is never imported; one that a person typed is."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from running import ENV, SMALL, write_demonstrations

from awac_dist.cli.main import main
from awac_dist.data.parquet import read_episodes, write_episodes
from awac_dist.envs.make import env_spec

NAME = "imported_by_name:Evil-v0"
REMEDY = f"what a file names is not imported: if you trust it, type --env {NAME}"
MODULE = f"""
import gymnasium
from pathlib import Path
Path(__file__).with_suffix(".imported").touch()
gymnasium.register("Evil-v0", lambda **o: gymnasium.make({ENV!r}, **o), max_episode_steps=200)
"""


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether the module that the name names was imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "imported_by_name", raising=False)
    Path("imported_by_name.py").write_text(MODULE)
    return Path("imported_by_name.imported").exists


@pytest.fixture(scope="module")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a plain task."""
    folder = tmp_path_factory.mktemp("good")
    data = write_demonstrations(folder / "demonstrations.parquet") + ",task=any"
    words = [*SMALL, "--runtime", "inline", "--data", data, "--run-dir", str(folder / "run")]
    assert main(["launch", *words, "--offline.updates", "5", "--online.env_steps", "30"]) == 0
    return folder / "run"


@pytest.fixture
def hostile(good_run: Path, tmp_path: Path) -> Path:
    """The same, whose config names a module."""
    folder = tmp_path / "run"
    folder.mkdir()
    for entry in good_run.iterdir():
        (folder / entry.name).symlink_to(entry)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").unlink()
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "env": NAME}))
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "RUN"],
        ["launch", "--resume", "RUN"],
        ["launch", "--resume", "RUN", "--dry-run"],
        ["launch", "--config", "RUN/config.yaml", "--dry-run"],
    ],
)
def test_a_folder_that_names_a_module_is_refused(
    hostile: Path,
    imported: Callable[[], bool],
    capfd: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    assert main([word.replace("RUN", str(hostile)) for word in words]) == 2
    assert REMEDY in capfd.readouterr().err
    assert not imported()


def test_what_was_typed_is_imported(hostile: Path, imported: Callable[[], bool]) -> None:
    assert main(["evaluate", str(hostile), "--env", NAME, "--episodes", "1"]) == 0
    assert imported()
    assert main(["launch", "--resume", str(hostile), "--env", NAME, "--dry-run"]) == 0


def test_a_run_that_is_resumed_keeps_its_task(
    hostile: Path, imported: Callable[[], bool], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["launch", "--resume", str(hostile), "--env", ENV]) == 2
    assert f"--env: the run is of {NAME}, and keeps its options" in capfd.readouterr().err


@pytest.mark.parametrize("to", ["minari:evil/converted-v0", "converted.parquet"])
def test_a_dataset_that_names_a_module_is_refused(
    imported: Callable[[], bool],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    to: str,
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(Path("minari").absolute()))
    recorded = [e for _, e in read_episodes(write_demonstrations(Path("good.parquet"), 1))]
    write_episodes("evil.parquet", recorded, replace(env_spec(ENV), env_id=NAME))
    assert main(["data", "convert", "evil.parquet", "--to", to]) == 2
    assert REMEDY in capfd.readouterr().err
    assert main(["data", "inspect", "evil.parquet"]) == 0
    assert not imported()
