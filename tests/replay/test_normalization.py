"""Statistics of prior data: those of all observations, to the last bit for any number of shards."""

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from awac_dist.messages import Sums
from awac_dist.replay.layout import NEEDS, Layout, Wishes
from awac_dist.replay.normalization import added, statistics, sums_of
from awac_dist.types import Array

EPISODES = st.lists(
    st.integers(1, 20).flatmap(
        lambda steps: of_numpy.arrays(
            np.float32, (steps, 2), elements=st.floats(-1000, 1000, width=32)
        )
    ),
    min_size=1,
    max_size=12,
)


def of_shards(episodes: Sequence[Array], shards: int) -> Sums:
    """The sums of episodes that are dealt out over shards, one of which has none."""
    shares = [[sums_of(episode) for episode in episodes[n::shards]] for n in range(shards)]
    return added([added(share) if share else Sums() for share in [*shares, []]])


def test_statistics_by_hand() -> None:
    shift, scale = statistics(of_shards([np.float32([[1, 10], [3, 10]]), np.float32([[5, 10]])], 2))
    np.testing.assert_array_equal(shift, np.float32([3, 10]))
    np.testing.assert_allclose(scale, [(8 / 3) ** 0.5, 1], atol=1e-7)  # the other one never moves


@given(EPISODES, st.integers(1, 5), st.randoms())
@settings(max_examples=100, deadline=None)
def test_they_are_those_of_all_observations_in_any_order(
    episodes: list[Array], shards: int, random: Random
) -> None:
    sums = of_shards(episodes, 1)
    random.shuffle(episodes)
    assert of_shards(episodes, shards) == sums
    shift, scale = statistics(sums)
    values = np.concatenate(episodes).astype(np.float64)
    np.testing.assert_allclose(shift, values.mean(axis=0), rtol=1e-6, atol=1e-30)
    std = values.std(axis=0)
    least = np.finfo(np.float32).tiny  # below it, a scale has no room for its own digits
    moves = std > np.maximum(1e-5 * np.abs(values).max(axis=0), least)
    np.testing.assert_allclose(scale[moves], std[moves], rtol=1e-5)


def test_a_small_spread_far_from_zero_is_seen() -> None:
    near = np.float32(1000) + np.float32([[-0.25], [0.25]] * 5000)
    _, scale = statistics(sums_of(near))
    assert scale[0] == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize("power", [-100, -13, 13, 60])
def test_the_unit_leaves_no_trace_to_the_bit(power: int) -> None:
    """Powers of two scale float32 without rounding."""
    seen, unit = np.random.default_rng(0).normal(3, 1, (500, 1)).astype(np.float32), 2.0**power
    (shift, scale), scaled = statistics(sums_of(seen)), statistics(sums_of(seen * unit))
    np.testing.assert_array_equal((seen * unit - scaled[0]) / scaled[1], (seen - shift) / scale)


def test_every_observation_of_a_block_has_its_place_and_nothing_else() -> None:
    layout = Layout(3, 2, wishes=Wishes(frozenset(NEEDS), n_steps=2, segment_length=4))
    row = layout.over_observations(np.float32([1, 2, 3]), rest=0)
    views = layout.views(row[None])
    base = [row[layout.observations], row[layout.next_observations]]
    observations = [columns.reshape(-1, 3) for name, columns in views.items() if "obs" in name]
    assert len(observations) == 4
    for found in [*base, *observations]:
        np.testing.assert_array_equal(np.atleast_2d(found) - [1, 2, 3], 0)
    places = 3 * (2 + 5 + 1 + 1)  # two of the base, five of a segment, the first and the last
    assert (row != 0).sum() == places
