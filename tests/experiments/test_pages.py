"""The pages of the methods: they are what code, presets, metrics and results say."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from awac_dist.algorithms import METHODS
from awac_dist.cli.main import main
from awac_dist.experiments import pages
from awac_dist.experiments.catalogue import EXPERIMENTS, experiment
from awac_dist.experiments.experiment import DOCS
from awac_dist.experiments.figure6 import FIGURE_6
from awac_dist.experiments.results import read_results

FOLDER = DOCS / "methods"
AGAIN = "run `awac-dist experiments pages` and commit docs/methods"


def test_every_method_has_its_row_of_figure_6() -> None:
    assert METHODS.keys() <= FIGURE_6.keys(), "awac_dist/experiments/figure6.py"
    assert all(cell for row in FIGURE_6.values() for cell in row)
    assert list(FIGURE_6) == sorted(FIGURE_6)


def test_the_pages_are_what_the_command_writes() -> None:
    made = pages.pages()
    assert {path.name for path in FOLDER.glob("*.md")} == made.keys(), AGAIN
    for name, text in made.items():
        assert (FOLDER / name).read_text() == text, AGAIN


def test_results_are_told_as_their_csv_say(tmp_path: Path) -> None:
    results, again = DOCS / "results", "run `awac-dist experiments redraw` and commit docs/results"
    for path in results.glob("*.csv"):
        shutil.copy(path, tmp_path)
    assert main(["experiments", "redraw", "--results", str(tmp_path)]) == 0
    for ending in ("*.md", "*.png"):
        made = {path.name for path in tmp_path.glob(ending)}
        assert {path.name for path in results.glob(ending)} == made, again
    for path in tmp_path.glob("*.md"):
        assert (results / path.name).read_text() == path.read_text(), again


def test_results_are_of_an_experiment_or_a_page_names_them() -> None:
    said = "".join(path.read_text() for path in DOCS.glob("*.md"))
    families = {experiment(name).family for name in EXPERIMENTS}
    for path in (DOCS / "results").glob("*.csv"):
        assert path.stem in families or f"docs/results/{path.name}" in said, path.name


def test_a_method_with_results_has_its_picture_and_no_other() -> None:
    rows = read_results(pages.RESULTS)
    with_results = {method for method in METHODS if pages.own_results(method, rows)[1]}
    assert {path.stem for path in FOLDER.glob("*.png")} == with_results, AGAIN


def test_every_link_of_a_page_leads_somewhere() -> None:
    for path in FOLDER.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
            assert (path.parent / target).resolve().exists(), f"{path.name}: {target}"


def test_lines_that_are_indented_keep_their_structure() -> None:
    text = "Prose\nof two lines.\n    x = 1\n    y = 2\nand on:\n\n    z = 3\n\nEnd\n"
    wanted = "Prose\nof two lines.\n\n    x = 1\n    y = 2\n\nand on:\n\n    z = 3\n\nEnd"
    assert pages.blocks(text) == wanted


def test_rows_of_metrics_are_told_as_far_as_they_are_a_method_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        "| `a`, `b` | the first; the second | small |",
        "| `c`, `d` | of both | large |",
        "| `d` (`iql`) | its own | 1 |",
        "| `e` (`awac`) | another's | 2 |",
        "| `e` | common | 3 |",
    ]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "metrics.md").write_text("\n".join(rows))
    monkeypatch.setattr(pages, "METRICS", tmp_path / "docs" / "metrics.md")
    monkeypatch.setattr(pages, "emitted", lambda method: {"b", "c", "d", "e"})
    assert list(pages.metrics("iql"))[2:] == [
        "| `d` | its own | 1 |",
        "| `b` | the second | small |",
        "| `c` | of both | large |",
        "| `e` | common | 3 |",
    ]
    monkeypatch.setattr(pages, "emitted", lambda method: {"f"})
    with pytest.raises(AssertionError, match="has no row of"):
        list(pages.metrics("iql"))


def test_a_page_names_what_is_a_method_s_own() -> None:
    told = "\n".join(pages.options("rlpd"))
    assert "| `--algorithm.critic_batches` | 20 |" in told
    assert "`--algorithm.critic.members` | 10 |" in told
    assert "weight_decay" not in told  # as for all
    listed = "\n".join(pages.metrics("bc"))
    assert "`actor/loss`" in listed
    assert "critic" not in listed


def test_a_preset_that_differs_from_the_defaults_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = pages.preset_of("iql")
    object.__setattr__(preset.algorithm, "expectile", 0.9)
    monkeypatch.setattr(pages, "preset_of", lambda method: preset)
    assert "| `--algorithm.expectile` | 0.7 | 0.9 |" in "\n".join(pages.options("iql"))


def made(phase: str, steps: float, mean: float, seed: int) -> dict[str, Any]:
    its = {"budget": "small", "task": "HalfCheetah-v5", "variant": "iql", "method": "iql"}
    counters = {"phase": phase, "env_steps": steps, "grad_steps": 10.0 + steps, "wall_s": 9.0}
    values = {
        "return": mean,
        "return_std": 10.0,
        "episodes": 40.0,
        "cpu_s": 9.0,
        "memory_mb": 1_000.0,
        "machine": "this",
    }
    return its | {"seed": str(seed)} | counters | values


def test_a_page_tells_of_the_runs_in_the_results() -> None:
    rows = [made("offline", 0.0, 3_000.0 + seed, seed) for seed in range(3)]
    rows += [made("online", 100.0, 5_000.0, seed) for seed in range(3)]
    told = "\n".join(pages.results("iql", rows))
    assert "![iql](iql.png)" in told
    assert "| iql | 3,001 (3,000 to 3,002) | 5,000 (5,000 to 5,000) | -1,999 " in told
    assert "No run of it" in "\n".join(pages.results("awac", rows))


def test_pages_and_pictures_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [made("online", 100.0 * at, 5_000.0, 0) for at in range(3)]
    monkeypatch.setattr(pages, "pages", lambda: {"one.md": "text"})
    monkeypatch.setattr(pages, "read_results", lambda path: rows)
    assert list(pages.write_pages(tmp_path)) == [tmp_path / "one.md"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iql.png", "one.md"]
