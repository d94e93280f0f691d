"""`awac-dist compare`: what it says, and the page that it writes."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from awac_dist.cli.main import main as awac_dist
from awac_dist.files import seal

LAST = "returns of the mean action at the end of each phase, interquartile means over runs"
FINISHED = json.dumps({"finished": True, "env_steps": 100}).encode()


def change_config(folder: str, change: Callable[[dict[str, Any]], object]) -> None:
    file = Path(folder) / "config.yaml"
    config = yaml.safe_load(file.read_text())
    change(config)
    file.write_text(yaml.safe_dump(config, sort_keys=False))


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


def test_a_value_that_not_all_runs_have_says_how_many_do(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    third = write_run(tmp_path / "awac-4", 4)
    lines = (tmp_path / "awac-4/metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "awac-4/metrics.jsonl").write_text("".join(lines[:2]))
    page = str(tmp_path / "page.html")
    assert awac_dist(["compare", *runs, third, "--html", page]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "A-v0  runs  offline   online  95 % interval  solved  steps  updates  time",
        "awac     3      102  301 (2)     300 to 302       -     67       87  0:43",
        "iql      1      105      305        unknown    50 %    100      120  1:00",
    ]
    assert said[5] == (
        note := "in brackets: how many of the runs a value is of, where not all have one"
    )
    assert note in Path(page).read_text()
    assert awac_dist(["compare", *runs]) == 0
    assert "in brackets" not in capsys.readouterr().out


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


def test_a_metric_has_one_panel_however_often_it_is_asked_for(
    runs: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    asked = ["eval/return", "critic/loss", "eval/success_final", "critic/loss"]
    assert awac_dist(["compare", *runs, "--metrics", *asked, "--html", str(path)]) == 0
    assert Reader(path.read_text()).tags.count("svg") == 3 * 3  # success, return, loss


def test_a_picture_is_written(runs: list[str], tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    assert awac_dist(["compare", *runs, "--plot", str(path)]) == 0
    assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("name", ["$a$", "a $ b $", r"$\frac$", "$", "{$x^"])
def test_names_are_no_formulas(name: str, tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"run-{seed}", seed) for seed in range(2)]
    for run, data in zip(runs, (name, "other"), strict=True):
        change_config(run, lambda its, data=data: its.update(env=name, data=[data]))
    picture, page = str(tmp_path / "picture.svg"), str(tmp_path / "page.html")
    assert awac_dist(["compare", *runs, "--plot", picture, "--html", page]) == 0
    drawings = Reader(Path(page).read_text().partition("<table>")[0]).text
    assert f"{name}: return of an episode" in drawings


def test_a_row_that_does_not_say_when_stands_in_the_other_curves(
    runs: list[str], tmp_path: Path
) -> None:
    file = Path(runs[0]) / "metrics.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0].pop("elapsed_s")
    rows[1]["elapsed_s"] = None
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert awac_dist(["compare", *runs, "--html", str(tmp_path / "page.html")]) == 0


def test_what_is_odd_about_a_run_is_told(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (Path(runs[0]) / "metrics.jsonl").read_text().splitlines(keepends=True)
    (Path(runs[0]) / "metrics.jsonl").write_text("".join(lines[:3]) + "{\n")
    (Path(runs[1]) / "metrics.jsonl").write_text("")
    assert awac_dist(["compare", *runs]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"{runs[0]}: 1 line of metrics.jsonl left out: damaged",
        f"{runs[0]}: is at 50 of 100 env steps, 70 of 100 updates",
        f"{runs[1]}: nothing has been evaluated yet: left out",
    ]


@pytest.mark.parametrize(
    ("said", "lacks"),
    [
        ({"offline.updates": 20}, ""),  # 120 is that and one for each of 100 steps
        ({"offline.updates": 21}, "120 of 121 updates"),
        ({"offline.updates": 100_000, "online.env_steps": 0}, "120 of 100,000 updates"),
        ({"online.updates_per_step": 2.0}, "120 of 200 updates"),
        ({"online.env_steps": 101}, "100 of 101 env steps"),
        ({"clone.updates": 50}, ""),  # there was nothing to clone
    ],
)
def test_a_run_that_has_not_come_to_its_end_is_told_of(
    runs: list[str], said: dict[str, Any], lacks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(config: dict[str, Any]) -> None:
        for path, value in said.items():
            part, name = path.split(".")
            config.setdefault(part, {})[name] = value

    change_config(runs[2], say)
    assert awac_dist(["compare", *runs]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last == (f"{runs[2]}: is at {lacks}" if lacks else LAST)
    seal(f"{runs[2]}/checkpoints/000000120", {"progress.json": FINISHED})
    assert awac_dist(["compare", *runs]) == 0
    assert ("is at" in capsys.readouterr().out) == ("env steps" in lacks)  # it says itself


def test_the_updates_of_a_clone_count_where_there_is_one(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    change_config(runs[2], lambda config: config.update(clone={"updates": 50}))
    with (Path(runs[2]) / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"phase": "clone", "grad_steps": 50, "env_steps": 0}) + "\n")
    assert awac_dist(["compare", *runs]) == 0
    assert f"{runs[2]}: is at 120 of 150 updates" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["1e6", None, "many", -1, [1], {"a": 1}])
@pytest.mark.parametrize("path", ["online.env_steps", "online.round_steps", "offline.updates"])
def test_a_length_that_is_none_is_told_of(
    runs: list[str], path: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    part, name = path.split(".")
    change_config(runs[2], lambda config: config.update({part: {name: value}}))
    assert awac_dist(["compare", *runs]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    legal = isinstance(value, dict) or (path == "online.round_steps" and value is None)
    told = last.startswith(f"{runs[2]}/config.yaml: {path}: ") and last.endswith("is not known")
    assert told != legal


def test_what_is_no_run_is_left_out_and_named(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [*"abcdef", "nothing"]
    for name in names[:-1]:
        write_run(tmp_path / name, 0)
    (tmp_path / "a/config.yaml").unlink()
    (tmp_path / "b/config.yaml").write_text("env: [")
    (tmp_path / "c/config.yaml").write_text("words")
    (tmp_path / "d/config.yaml").unlink()
    (tmp_path / "d/config.yaml").mkdir()
    (tmp_path / "e/metrics.jsonl").unlink()
    (tmp_path / "f/metrics.jsonl").write_text("")
    odd = [str(tmp_path / name) for name in names]
    assert awac_dist(["compare", runs[0], *odd, *runs[1:]]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].split()[:2] == ["awac", "2"]
    parts = [
        "a: has no config.yaml",
        "b/config.yaml, line 1: not YAML",
        "c/config.yaml: is damaged",
        "d/config.yaml: cannot be read",
        "cannot read .*e/metrics.jsonl: No such file",
        "f: nothing has been evaluated yet",
        "nothing: has no config.yaml",
    ]
    for note, part in zip(said[-len(parts) :], parts, strict=True):
        assert re.search(f"{part}.*: left out$", note)
    assert awac_dist(["compare", *odd]) == 2
    told = capsys.readouterr().err
    assert told.endswith(
        "nothing: has no config.yaml: there is nothing to compare: give folders of runs\n"
    )


def test_a_run_is_one_seed_however_it_is_named(
    runs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(Path(runs[0]).parent)
    Path("link").symlink_to(runs[0])
    ways = ["awac-0", "./awac-0", "awac-0/", "awac-2/../awac-0", "link", f"file://{runs[0]}"]
    assert awac_dist(["compare", *ways, *runs]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said[1:3]] == [["awac", "2"], ["iql", "1"]]


def test_the_order_of_a_config_makes_no_other_group(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert awac_dist(["compare", *runs]) == 0
    before = capsys.readouterr().out

    def turn_round(part: dict[str, Any]) -> None:
        for name in [*part][::-1]:
            part[name] = part.pop(name)
            if isinstance(part[name], dict):
                turn_round(part[name])

    change_config(runs[1], turn_round)
    assert awac_dist(["compare", *runs]) == 0
    assert capsys.readouterr().out == before


def test_a_run_from_before_an_option_is_as_it_is_without_it(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_config(runs[1], lambda its: its.update(rollout={"cpus": None}, replay={"mixture": None}))
    change_config(runs[1], lambda its: its["algorithm"].update(temperature=10.0))
    assert awac_dist(["compare", *runs]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said[1:3]] == [["awac", "2"], ["iql", "1"]]
    third = write_run(tmp_path / "own", 4, "a-method-of-mine")
    change_config(runs[1], lambda its: its.update(replay={"mixture": {"online": 1.0}}))
    assert awac_dist(["compare", *runs, third]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line[:20].strip() for line in said[1:5]] == [
        "awac, mixture None",
        "awac, mixture -",
        "iql",
        "a-method-of-mine",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{0}/checkpoints"], "{0}/checkpoints: has no config.yaml: there is nothing to compare"),
        (
            ["{0}", "--metrics", "a/b"],
            "--metrics: has no effect without --plot FILE or --html FILE",
        ),
        (["{0}", "--html", "{0}/a.html", "--metrics", "no/such"], "--metrics: no run has no/such"),
        (["{0}", "--html", "{0}/a.html", "--metrics", "phase"], "--metrics: no run has phase"),
        (["{0}", "--plot", "{0}/a.odd"], "--plot {0}/a.odd: its ending tells no format: name it"),
        (["{0}", "--plot", "{0}/noend"], "--plot {0}/noend: its ending tells no format: name it"),
        (["{0}", "--plot", "{0}/no/a.png"], "--plot: there is no folder {0}/no: make it first"),
        (["{0}", "--html", "{0}/no/a.html"], "--html: there is no folder {0}/no: make it first"),
        (["{0}", "--html", "/dev/full"], "--html /dev/full: cannot be written: No space left"),
        (["{0}", "--html", "{0}"], "--html {0}: cannot be written"),
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
    told = "evaluated yet: there is nothing to compare: give folders of runs\n"
    assert capsys.readouterr().err.endswith(told)
