"""The site is built without a warning, from README, docs and the code; its quick start runs."""

import re
import runpy
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import gymnasium
import pages
import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from pages import ROOT

import awac_dist
from awac_dist.cli.main import main
from awac_dist.cli.parser import walk
from awac_dist.config import RunConfig

QUICKSTART = ROOT / "docs" / "quickstart.md"
SMALLER = {
    "--clone.updates 500": "--clone.updates 5",
    "--clone.episodes 20": "--clone.episodes 1",
    "--offline.updates 2000": "--offline.updates 5",
    "--online.env_steps 4000": "--online.env_steps 50",
    "--evaluation.every_updates 500": "--runtime inline --workers 1 --evaluation.episodes 1 "
    "--evaluation.curve_episodes 1 --learner.batch_size 8 --learner.threads 1",
    "--episodes 100": "--episodes 1",
}


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    build(load_config(str(ROOT / "docs/site/mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    home = (tmp_path / "index.html").read_text()
    assert 'href="source/awac_dist/' not in home or (tmp_path / "source").is_dir()
    options = unescape((tmp_path / "options" / "index.html").read_text())
    for field in walk(RunConfig()):
        assert field.path.startswith("algorithm.") or f"<code>{field.option}</code>" in options
    reference = (tmp_path / "api" / "index.html").read_text()
    for name in ("train", "Run", "evaluate", "load_policy", "load_data", "write_episodes"):
        assert f'id="awac_dist.{name}"' in reference or f'id="awac_dist.api.{name}"' in reference
    assert (tmp_path / "source/awac_dist/algorithms/awac.py/index.html").exists()


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("my_robot", None)
    gymnasium.registry.pop("Reach-v0", None)


def test_the_quick_start_runs(empty_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = QUICKSTART.read_text()
    assert all(page.count(wanted) == 1 for wanted in SMALLER)
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for name, text in zip(("my_robot.py", "record.py", "act.py"), blocks, strict=True):
        (empty_folder / name).write_text(text)
    done = [run(words, empty_folder) for words in pages.commands(QUICKSTART)]
    assert done.count(True) == 10
    shown = capsys.readouterr().out
    assert "nothing wrong in demonstrations.hdf5\n" in shown
    assert len(re.findall(r"^return -\d+\.\d\d, (?:not )?there$", shown, re.MULTILINE)) == 5
    assert awac_dist.load_policy("policy.npz").action_size == 2


def run(words: list[str], folder: Path) -> bool:
    """Run a command with smaller numbers, if it needs no network."""
    if words[0] == "awac-dist":
        line = " ".join(words[1:])
        for wanted, smaller in SMALLER.items():
            line = line.replace(wanted, smaller)
        line = line.replace("runs/*", "runs/reach")
        assert main(line.split()) == 0
    elif words[0] == "python":
        runpy.run_path(words[1])
    return words[0] in ("awac-dist", "python")
