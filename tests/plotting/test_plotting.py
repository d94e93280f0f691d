"""Figures from metrics files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from awac_dist.cli.main import main
from awac_dist.plotting import learning_curve
from awac_dist.plotting.learning_curve import plot_learning_curve, read_curve


def row(phase: str, grad_steps: int, mean: float | None = None, **more: Any) -> dict[str, Any]:
    values = {} if mean is None else {"eval/return": mean, "eval/return_half_width": 10.0}
    return {"phase": phase, "grad_steps": grad_steps, "env_steps": 0} | values | more


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


RUN = [
    row("clone", 500),
    row("clone", 1000, 100.0),
    row("offline", 1100),
    row("offline", 1500, 150.0),
    row("offline", 2000, 200.0),
    row("online", 2100, 250.0, env_steps=50),
    row("online", 2200, 300.0, env_steps=100),
]


def test_updates_are_counted_as_the_texts_count_them_and_online_goes_by_env_steps() -> None:
    offline = read_curve(RUN, "offline")
    np.testing.assert_array_equal(offline.at, [1500, 2000])
    np.testing.assert_array_equal(offline.mean, [150.0, 200.0])
    np.testing.assert_array_equal(offline.half_width, [10.0, 10.0])
    assert offline.last == "200 ± 10"


def test_phases_are_joined_and_each_env_step_has_one_point() -> None:
    twice = [
        *RUN,
        row("online", 2200, 310.0, env_steps=100),
        row("online", 2250, 320.0, env_steps=100),
    ]
    online = read_curve(twice, "online")
    np.testing.assert_array_equal(online.at, [0, 50, 100])
    np.testing.assert_array_equal(online.mean, [200.0, 250.0, 320.0])
    np.testing.assert_array_equal(read_curve(RUN[5:], "online").at, [50, 100])


def test_successes_are_drawn_where_the_task_has_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = (0.0, 0.25, 0.5, 1.0)
    names = {"eval/success_final": 1.0, "eval/success_any": 0.5}
    rows = [
        row(one["phase"], one["grad_steps"], -5.0, env_steps=one["env_steps"])
        | {name: 1 - part * (1 - share) for name, part in names.items()}
        for one, share in zip([RUN[1], RUN[4], *RUN[5:]], shares, strict=True)
    ]
    panels = panels_of(tmp_path, rows, monkeypatch)
    assert [axes.get_ylabel() for axes in panels] == [
        *("solved in the last step", "", "return of an episode", "")
    ]
    online = {line.get_linestyle(): line.get_ydata() for line in panels[1].lines}
    np.testing.assert_array_equal(online["-"], [25, 50, 100])  # from where offline ended
    np.testing.assert_array_equal(online[":"], [62.5, 75, 100])
    np.testing.assert_array_equal(online["--"], [0, 0])  # the clone's
    assert "online, last 100 %" in [text.get_text() for text in panels[1].get_legend().texts]
    assert len(panels_of(tmp_path, RUN, monkeypatch)) == 2


def test_what_a_resumed_run_did_again_counts_once() -> None:
    means = {100: 1.0, 200: 2.0, 300: 3.0}
    before = [row("offline", step, mean) for step, mean in means.items()]
    again = [row("offline", 200, 2.5), row("offline", 250, 2.7)]
    curve = read_curve([row("clone", 0), *before, *again], "offline")
    np.testing.assert_array_equal(curve.at, [100, 200, 250])
    np.testing.assert_array_equal(curve.mean, [1.0, 2.5, 2.7])


def test_an_unknown_half_width_is_nan_and_an_unknown_return_is_no_point() -> None:
    rows = [
        row("offline", 1, 5.0, **{"eval/return_half_width": None}),
        row("offline", 2, **{"eval/return": None}),
    ]
    curve = read_curve(rows, "offline")
    np.testing.assert_array_equal(curve.half_width, [np.nan])
    assert curve.last == "5.00"
    assert len(read_curve(rows, "online")) == 0


def panels_of(
    folder: Path, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> list[Any]:
    """Draw, and hand back the axes that were drawn."""
    figures: list[Any] = []

    class Spy(learning_curve.Figure):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            figures.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(learning_curve, "Figure", Spy)
        plot_learning_curve(folder, rows)
    return list(figures[0].axes)


def test_both_phases_are_drawn_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / r"a $\bad$ name"
    folder.mkdir()
    offline, online = panels_of(folder, RUN, monkeypatch)
    assert offline.get_title(loc="left").startswith("Offline")
    assert online.get_title(loc="left").startswith("Online")
    assert (offline.get_xlabel(), online.get_xlabel()) == ("updates", "env steps")
    assert offline.get_ylim() == online.get_ylim()
    styles = {line.get_linestyle(): line for line in online.lines}
    np.testing.assert_array_equal(styles["-"].get_ydata(), [200.0, 250.0, 300.0])
    np.testing.assert_array_equal(styles["--"].get_ydata(), [100.0, 100.0])  # the clone
    band = offline.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (140.0, 210.0)
    names = [[text.get_text() for text in axes.get_legend().texts] for axes in (offline, online)]
    assert names == [
        ["clone 100 ± 10", "offline, last 200 ± 10"],
        ["clone 100 ± 10", "online, last 300 ± 10"],
    ]


@pytest.mark.parametrize(
    ("rows", "titles"),
    [
        (RUN[:2], [""]),
        (RUN[:1], [""]),
        (RUN[:4], ["Offline: prior data only"]),
        (RUN[5:6], ["Online: with new experience"]),
    ],
    ids=["clone", "nothing", "offline", "online"],
)
def test_a_run_with_less_still_gives_a_picture(
    rows: list[dict[str, Any]], titles: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = panels_of(tmp_path, rows, monkeypatch)
    assert [panel.get_title(loc="left") for panel in axes] == titles
    texts = [text.get_text() for text in axes[0].texts]
    assert any("no evaluation" in text for text in texts) == (titles == [""])
    pixels = imread(tmp_path / "learning_curve.png")
    assert pixels.shape[0] == 720
    assert pixels[..., :3].std() > 0.01


def test_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "awac_dist.plotting", str(tmp_path)]
    missing = subprocess.run(command, capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert missing.stderr.startswith("awac_dist: cannot read")
    assert missing.stderr.count("\n") == 1
    with write(tmp_path, RUN).open("ab") as table:
        table.write(b'\xff\0\n{"phase": "offl')
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = ["1 line of metrics.jsonl left out: damaged", f"{tmp_path / 'learning_curve.png'}"]
    assert done.stdout.splitlines() == told
    assert (tmp_path / "learning_curve.png").stat().st_size > 10_000


def test_a_run_at_a_uri_is_drawn_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, RUN)
    assert main(["plot", f"file://{tmp_path}/"]) == 0
    assert capsys.readouterr().out == f"file://{tmp_path}/learning_curve.png\n"
    assert (tmp_path / "learning_curve.png").stat().st_size > 10_000
    assert main(["plot", f"file://{tmp_path}/none"]) == 2
    assert capsys.readouterr().err.startswith(f"awac_dist: cannot read file://{tmp_path}/none/")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("phases", [("offline",), ("online",), ("offline", "online"), ("clone",)])
def test_a_run_of_single_evaluations_is_laid_out(phases: tuple[str, ...], tmp_path: Path) -> None:
    more = {"eval/return_half_width": None, "eval/success_final": 0.0, "eval/success_any": 1.0}
    rows = [row(phase, 3, 10.0, **{"env_steps": 5, **more}) for phase in phases]
    assert Path(plot_learning_curve(tmp_path, rows)).exists()
