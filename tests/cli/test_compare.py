"""`awac-dist compare`: what it says, and the page that it writes."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from awac_dist.cli.main import main as awac_dist


def write_run(folder: Path, seed: int, method: str = "awac", **more: Any) -> str:
    """A run of two evaluations offline and two online, better by its seed."""
    folder.mkdir()
    algorithm = {"name": method, "odd": "<b>&"}
    config = {"env": "A-v0", "seed": seed, "algorithm": algorithm, "online": {"env_steps": 100}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    places = [("offline", 10, 0), ("offline", 20, 0), ("online", 70, 50), ("online", 120, 100)]
    rows = [
        {"phase": phase, "grad_steps": grads, "env_steps": steps, "elapsed_s": grads / 2}
        | {"eval/return": 100.0 * number + seed, "critic/loss": 1.0, **more}
        for number, (phase, grads, steps) in enumerate(places)
    ]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(folder)


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    seeds = [write_run(tmp_path / f"awac-{seed}", seed) for seed in (0, 2)]
    return [*seeds, write_run(tmp_path / "iql", 5, "iql", **{"eval/success_final": 0.5})]


def test_the_table_has_a_line_for_each_group(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert awac_dist(["compare", *runs, runs[0] + "/"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "A-v0  runs  offline  online  95 % interval  solved  steps  updates  time",
        "awac     2      101     301     300 to 302       -    100      120  1:00",
        "iql      1      105     305        unknown    50 %    100      120  1:00",
        "",
        "returns of the mean action at the end of each phase, interquartile means over runs",
    ]


def test_an_interval_that_no_group_has_takes_no_room(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert awac_dist(["compare", *runs[1:]]) == 0
    head = capsys.readouterr().out.splitlines()[0]
    assert head == "A-v0  runs  offline  online  solved  steps  updates  time"


def test_names_of_groups_go_on_below_where_the_terminal_is_narrow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("first", "second"):
        run = tmp_path / name
        write_run(run, 0)
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["data"] = [f"demonstrations-{name}.hdf5", "all-that-was-logged-before.hdf5"]
        (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert awac_dist(["compare", f"{tmp_path}/first", f"{tmp_path}/second"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[1].split()[-6:] == ["1", "100", "300", "100", "120", "1:00"]
    table = "".join(line.split("  1  ")[0].strip() for line in lines[1 : lines.index("")])
    for name in ("first", "second"):
        assert f'data ["demonstrations-{name}.hdf5","all-that-was-' in table.replace(", ", ",")


class Reader(HTMLParser):
    """What a page fetches, runs and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_one_file_that_fetches_and_runs_nothing(
    runs: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    assert awac_dist(["compare", *runs, "--metrics", "critic/loss", "--html", str(path)]) == 0
    page = Reader(text := path.read_text())
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not [link for link in page.fetched if not link.startswith("#")]
    assert "url(http" not in text
    assert "@import" not in text
    assert page.tags.count("svg") == 3 * 3  # success, return, loss; by three counters
    assert "<b>&amp;" not in text
    for part in ("A-v0, 3 runs", "300 to 302", "algorithm.name", *runs):
        assert part in page.text
    for part in ("prefers-color-scheme: dark", "width=device-width", ".g1 { display: none; }"):
        assert part in text


def test_a_picture_is_written(runs: list[str], tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    assert awac_dist(["compare", *runs, "--plot", str(path)]) == 0
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_what_is_odd_about_a_run_is_told(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (Path(runs[0]) / "metrics.jsonl").read_text().splitlines(keepends=True)
    (Path(runs[0]) / "metrics.jsonl").write_text("".join(lines[:3]) + "{\n")
    (Path(runs[1]) / "metrics.jsonl").write_text("")
    assert awac_dist(["compare", *runs]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"{runs[0]}: 1 line of metrics.jsonl left out: damaged",
        f"{runs[0]}: is at 50 of 100 env steps",
        f"{runs[1]}: left out, since nothing has been evaluated yet",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{0}/checkpoints"], "{0}/checkpoints: has no config.yaml: give the folder of a run"),
        (["{0}", "--metrics", "no/such"], "--metrics: no run has no/such"),
        (["{0}", "--plot", "{0}/a.odd"], "--plot {0}/a.odd: "),
        (["{0}", "--html", "{0}/no/a.html"], "--html {0}/no/a.html: cannot be written"),
        ([], "the following arguments are required: RUNS"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    words: list[str], told: str, runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert awac_dist(["compare", *(word.format(runs[0]) for word in words)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"awac_dist: {told.format(runs[0])}")
    assert said.count("\n") == 1


def test_nothing_evaluated_is_nothing_to_compare(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(runs[0]) / "metrics.jsonl").write_text("")
    assert awac_dist(["compare", runs[0]]) == 2
    assert capsys.readouterr().err.endswith("evaluated yet: there is nothing to compare\n")
