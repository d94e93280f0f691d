"""Curves of several seeds, together."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from awac_dist.plotting.bands import draw_seeds, interquartile, over_seeds


def curve(*points: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    at, found = np.array(points, np.float64).reshape(-1, 2).T
    return at, found


def test_the_mean_of_a_few_and_the_middle_half_of_many() -> None:
    assert interquartile(np.array([1.0, 2.0, 9.0])).middle == 4.0
    many = interquartile(np.array([1.0, 2.0, 4.0, 1000.0]))
    assert many.middle == 3.0  # what lies between the quarters
    assert 1.0 <= many.low < 3.0 < many.high <= 1000.0


def test_one_seed_has_no_interval() -> None:
    alone = interquartile(np.array([[1.0, 2.0]]))
    assert alone.middle.tolist() == [1.0, 2.0]
    assert np.isnan([alone.low, alone.high]).all()


def test_curves_are_taken_together_where_all_of_them_are() -> None:
    one, other = curve((0, 0.0), (10, 10.0), (20, 20.0)), curve((5, 15.0), (15, 25.0), (30, 40.0))
    at, over = over_seeds([one, other])
    assert at.tolist() == [5, 10, 15, 20]
    assert over.middle.tolist() == [10, 15, 20, 25]  # on the lines between their points
    np.testing.assert_allclose([over.low, over.high], [over.middle - 5, over.middle + 5])


def test_no_more_places_than_a_panel_shows() -> None:
    at = np.arange(5_000.0)
    band = over_seeds([(at, at), (at + 0.5, at)])
    assert (len(band.at), band.at[0], band.at[-1]) == (200, 0.5, 4_999.0)
    np.testing.assert_allclose(band.over.middle, band.at - 0.25)


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [curve((0, 1.0)), curve((5, 1.0))],
        [curve()],
        [curve((0, 1.0), (5, 2.0)), curve(), curve((0, 3.0), (5, 4.0))],
    ],
    ids=["none", "apart", "empty", "not begun"],
)
def test_nothing_is_made_up_where_no_place_is_common(curves: list) -> None:
    at, over = over_seeds(curves)
    assert len(at) == len(over.middle) == 0


def test_seeds_are_thin_and_their_mean_is_thick_in_a_band() -> None:
    axes = Figure().subplots()
    draw_seeds(axes, [curve((0, 1.0), (1, 3.0)), curve((0, 3.0), (1, 5.0))], "#1f6fb4", "a")
    *seeds, mean = axes.lines
    assert [line.get_ydata().tolist() for line in seeds] == [[1, 3], [3, 5]]
    assert mean.get_ydata().tolist() == [2, 4]
    assert mean.get_linewidth() > 2 * seeds[0].get_linewidth()
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (1.0, 5.0)


def test_where_a_seed_has_not_begun_only_thin_lines_are() -> None:
    axes = Figure().subplots()
    draw_seeds(axes, [curve(), curve((0, 3.0), (1, 5.0))], "#1f6fb4", "a")
    drawn = [line for line in axes.lines if len(line.get_xdata())]
    assert [line.get_ydata().tolist() for line in drawn] == [[3, 5]]
    assert drawn[0].get_linewidth() < 1
    assert not [path for band in axes.collections for path in band.get_paths()]


def test_an_evaluation_alone_is_seen() -> None:
    axes = Figure().subplots()
    draw_seeds(axes, [curve((3, 1.0))], "#1f6fb4", style=":")
    assert [line.get_marker() for line in axes.lines] == ["D"]
