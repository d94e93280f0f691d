"""Runs side by side."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from awac_dist.plotting.comparison import (
    Panel,
    colours_of,
    curves_of,
    draw_panel,
    draw_picture,
    panels_of,
    svg,
)
from awac_dist.plotting.learning_curve import RETURN, SUCCESS

Rows = list[dict[str, Any]]


def update(phase: str, grad_steps: int, env_steps: int, elapsed_s: float) -> dict[str, Any]:
    its = {"phase": phase, "grad_steps": grad_steps, "env_steps": env_steps, "elapsed_s": elapsed_s}
    return its | {"learner/updates_per_s": 100.0, "critic/loss": 1.0 / grad_steps}


def evaluation(made: dict[str, Any], mean: float, late: int = 7, **more: Any) -> dict[str, Any]:
    """Of a policy, written `late` steps and seconds after it was made."""
    counters = {name: made[name] for name in ("phase", "grad_steps")}
    later = {name: made[name] + late for name in ("env_steps", "elapsed_s")}
    return counters | later | {"eval/return": mean, **more}


def rows(shift: float = 0.0, **more: Any) -> Rows:
    """A clone, two evaluations offline, two online; the last one done twice."""
    made = [update("offline", 200, 0, 20.0), update("offline", 300, 0, 30.0)]
    made += [update("online", 350, 50, 60.0), update("online", 400, 100, 90.0)]
    told = [evaluation(its, 10.0 * (n + 1) + shift, **more) for n, its in enumerate(made)]
    clone = evaluation(update("clone", 100, 0, 10.0), -5.0)
    pairs = zip(made, told, strict=True)
    return [clone, *(row for pair in pairs for row in pair), evaluation(made[-1], 50.0 + shift)]


def test_an_evaluation_stands_where_its_policy_was_made() -> None:
    by_time = curves_of(rows(), RETURN, "elapsed_s")
    assert by_time["offline"][0].tolist() == [20, 30]
    assert by_time["online"][0].tolist() == [30, 60, 90]  # it goes on from the offline policy
    assert by_time["online"][1].tolist() == [20, 30, 50]
    by_steps = curves_of(rows(), RETURN, "env_steps")
    assert len(by_steps["offline"][0]) == 0
    assert by_steps["online"][0].tolist() == [0, 50, 100]
    assert curves_of(rows(), RETURN, "grad_steps")["offline"][0].tolist() == [200, 300]


def test_a_row_that_does_not_say_where_it_stands_is_left_out() -> None:
    told = rows()
    for place, its in enumerate(told):
        if its["grad_steps"] == 300:
            told[place] = {name: its[name] for name in its if name != "elapsed_s"}
    by_time = curves_of(told, RETURN, "elapsed_s")
    assert by_time["offline"][0].tolist() == [20]
    assert by_time["online"][0].tolist() == [20, 60, 90]
    assert curves_of(told, RETURN, "grad_steps")["offline"][0].tolist() == [200, 300]
    for its in told:
        its["elapsed_s"] = None
    assert [len(at) for at, _ in curves_of(told, RETURN, "elapsed_s").values()] == [0, 0]


def test_a_run_without_one_of_the_phases() -> None:
    offline = [row for row in rows() if row["phase"] != "online"]
    assert len(curves_of(offline, RETURN, "grad_steps")["online"][0]) == 0
    assert curves_of(offline, RETURN, "env_steps")["online"][1].tolist() == [20]
    online = [row for row in rows() if row["phase"] == "online"]
    assert curves_of(online, RETURN, "grad_steps")["online"][0].tolist() == [350, 400]


def test_success_comes_first_and_asked_for_metrics_last() -> None:
    told = {"eval/success_final": 0.5}
    tasks = {"a": {"x": {"r": rows(**told)}}, "b": {"x": {"r": rows()}}}
    panels = panels_of(tasks, ["critic/loss", "no/such"])
    assert [(its.task, its.measure.name) for its in panels] == [
        *(("a", name) for name in ("eval/success_final", "eval/return", "critic/loss")),
        *(("b", name) for name in ("eval/return", "critic/loss")),
    ]
    assert panels[0].measure is SUCCESS
    assert panels[0].colours == panels[-1].colours  # of one group everywhere the same


def panel() -> Panel:
    groups = {"a & b": {"r0": rows(), "r1": rows(2.0)}, "c": {"r2": rows(-9.0)}}
    return panels_of({"Task": groups})[0]


def test_phases_are_told_apart_and_groups_marked() -> None:
    axes = Figure().subplots()
    draw_panel(axes, panel(), "elapsed_s")
    assert axes.get_xlabel() == "wall time, s"
    drawn = [line for line in axes.lines if line.get_gid() == "g0"]
    offline, online, switch = (drawn[number] for number in (2, 5, 6))
    assert (offline.get_linestyle(), online.get_linestyle()) == (":", "-")
    np.testing.assert_array_equal(online.get_ydata(), [21, 31, 51])
    assert switch.get_xydata().tolist() == [[30, 21]]  # where it goes online
    assert {artist.get_gid() for artist in (*axes.lines, *axes.collections)} == {"g0", "g1"}


@pytest.mark.parametrize("axis", ["grad_steps", "elapsed_s", "env_steps"])
def test_a_phase_that_a_seed_has_not_begun_has_no_mean_yet(axis: str) -> None:
    offline = [row for row in rows() if row["phase"] != "online"]
    groups = {"a": {"r0": rows(), "r1": rows(2.0), "r2": offline}}
    axes = Figure().subplots()
    draw_panel(axes, panels_of({"Task": groups})[0], axis)
    thick = [line.get_xdata().tolist() for line in axes.lines if line.get_linewidth() == 2]
    by = {"grad_steps": [200, 300], "elapsed_s": [20, 30], "env_steps": [0]}  # of all three
    assert [at for at in thick if at] == [by[axis]]
    thin = [line.get_xdata()[-1] for line in axes.lines if line.get_linewidth() < 1]
    assert max(thin) == {"grad_steps": 400, "elapsed_s": 90, "env_steps": 100}[axis]


@pytest.mark.parametrize(("seconds", "unit"), [(100, "s"), (180, "min"), (4 * 3600, "h")])
def test_wall_time_is_told_in_a_unit_of_its_size(seconds: float, unit: str) -> None:
    axes, long = Figure().subplots(), [row | {"elapsed_s": seconds} for row in rows()]
    draw_panel(axes, panel()._replace(groups={"c": {"r": long}}), "elapsed_s")
    assert axes.get_xlabel() == f"wall time, {unit}"


def test_no_two_groups_share_a_colour() -> None:
    assert all(len(set(colours_of(count))) == count for count in (1, 10, 11, 20))


def test_a_drawing_takes_its_colours_from_the_page_and_needs_nothing_else() -> None:
    drawn = svg(panel(), "grad_steps")
    root = ElementTree.fromstring(drawn.replace("var(--", "(").replace("xlink:href", "href"))
    classes = {group.get("class") for group in root.iter("{http://www.w3.org/2000/svg}g")}
    assert {"g0", "g1"} <= classes
    for part in ("var(--text)", "var(--frame)", "var(--grid)", "Task: return of an episode"):
        assert part in drawn
    assert "DejaVu" not in drawn
    assert svg(panel(), "grad_steps") == drawn  # the same again


def test_a_picture_has_a_row_for_each_panel(tmp_path: Path) -> None:
    path = tmp_path / "picture.svg"
    draw_picture([panel(), panel()], path)
    assert path.read_text().count('id="axes_') == 6
