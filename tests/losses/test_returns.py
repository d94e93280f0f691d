"""Advantages along segments by numbers worked by hand, and by plain loops."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from awac_dist.losses import returns


def tensor(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# Three steps from states of values 2, 4, 6 to one of 10, rewards 1, 2, 3, gamma 1/2, lambda 1/2.
# Errors: 1 + 4/2 - 2 = 1; 2 + 6/2 - 4 = 1; 3 + 10/2 - 6 = 2, or 3 - 6 = -3 at a true end.
@pytest.mark.parametrize(
    ("discounts", "mask", "trace", "expected"),
    [
        ([0.5, 0.5, 0.5], [1, 1, 1], 0.5, 1 + 1 / 4 + 2 / 16),  # goes on, or was cut
        ([0.5, 0.5, 0.0], [1, 1, 1], 0.5, 1 + 1 / 4 - 3 / 16),  # truly ended
        ([0.5, 0.5, 0.5], [1, 1, 1], 0.0, 1),  # one step
        ([0.5, 0.5, 0.5], [1, 1, 1], 1.0, 1 + 2 / 2 + 3 / 4 + 10 / 8 - 2),  # the return, less V
        ([0.5, 0.5, 0.0], [1, 1, 1], 1.0, 1 + 2 / 2 + 3 / 4 - 2),
    ],
)
def test_an_advantage_by_hand(
    discounts: list[float], mask: list[float], trace: float, expected: float
) -> None:
    values, rewards = tensor([2, 4, 6, 10]), tensor([1, 2, 3])
    found = returns.gae(values, rewards, tensor(discounts), tensor(mask), trace=trace)
    assert found.tolist() == [expected]


def test_a_segment_that_is_cut_is_bootstrapped_where_it_ends() -> None:
    """Two of three steps, to a state of value 6: observations are their values here."""
    columns = {
        "segment_observations": tensor([[2], [4], [0]]),
        "segment_final_observations": tensor([6]),
        "segment_rewards": tensor([1, 2, 0]),
        "segment_discounts": tensor([0.5, 0.5, 0]),
        "segment_mask": tensor([1, 1, 0]),
    }
    found = returns.segment_advantages(lambda states: states[:, 0], columns, trace=0.5)
    assert found.tolist() == [1 + 1 / 4]


@pytest.mark.parametrize("trace", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_segments_equal_a_plain_loop(steps: int, trace: float) -> None:
    rng, rows = np.random.default_rng(0), 50
    lengths = rng.integers(1, steps + 1, rows)
    mask = (np.arange(steps) < lengths[:, None]).astype(float)
    ended = rng.random(rows) < 0.5
    discounts = 0.9 * mask
    discounts[ended, lengths[ended] - 1] = 0
    columns = {
        "segment_observations": rng.normal(size=(rows, steps, 2)),
        "segment_final_observations": rng.normal(size=(rows, 2)),
        "segment_rewards": rng.normal(size=(rows, steps)),
        "segment_discounts": discounts,
        "segment_mask": mask,
    }

    def value(states: Any) -> Any:
        return states[..., 0] * 3 - states[..., 1]

    found = returns.segment_advantages(
        value, {name: torch.from_numpy(each) for name, each in columns.items()}, trace=trace
    )
    for row in range(rows):
        seen = list(columns["segment_observations"][row][: lengths[row]])
        seen.append(columns["segment_final_observations"][row])
        total = value(seen[-1])  # TD(lambda)'s return, from behind
        for step in reversed(range(lengths[row])):
            ahead = (1 - trace) * value(seen[step + 1]) + trace * total
            last = step == lengths[row] - 1
            ahead = value(seen[-1]) if last else ahead
            total = columns["segment_rewards"][row, step] + discounts[row, step] * ahead
        assert found[row].item() == pytest.approx(total - value(seen[0]))


def test_advantages_own_their_stop_gradient() -> None:
    values = torch.ones(1, 3, requires_grad=True)
    rest = [torch.ones(1, 2) for _ in range(3)]
    assert not returns.gae(values, *rest, trace=0.5).requires_grad
