"""Losses by numbers worked by hand, their doors, and who owns the stop-gradients."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from awac_dist.losses import conservative, td, weighting
from awac_dist.tensors import check_shapes


def tensor(*values: Any, gradient: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=gradient)


def test_target_of_two_samples_by_hand() -> None:
    # 1 + 0.9 * 10 = 10;  -2 + 0 * 7 = -2
    targets = td.one_step_target(tensor(1, -2), tensor(0.9, 0), tensor(10, 7))
    assert targets.tolist() == [10.0, -2.0]


def test_squared_error_of_two_critics_by_hand() -> None:
    # member 0: mean(1, 9) = 5; member 1: mean(0, 4) = 2; their sum, without a half
    values = tensor([2, 1], [1, 6])
    loss, metrics = td.squared_error(values, tensor(1, 4))
    assert loss.item() == 7.0
    assert metrics["critic/value_mean"].item() == 2.5
    assert metrics["critic/target_mean"].item() == 2.5


def test_the_error_of_v_by_hand() -> None:
    values, targets = tensor(1, 5, gradient=True), tensor(3, 4, gradient=True)
    loss, metrics = td.value_error(values, targets)
    assert loss.item() == 2.5
    assert metrics["value/value_mean"].item() == 3
    assert metrics["value/target_mean"].item() == 3.5
    loss, metrics = td.value_error(values, targets, tensor(2, 0))  # of the first row alone
    assert (loss.item(), metrics["value/value_mean"].item()) == (4, 1)
    assert metrics["value/target_mean"].item() == 3
    loss.backward()
    assert values.grad is not None
    assert values.grad.tolist() == [-4, 0]
    assert targets.grad is None


@pytest.mark.parametrize(
    ("own", "scale", "expected"),
    [  # of 1, 5 and 9, whose mean is 5 and whose variance 32 / 3
        ([1, 1, 1, 0], "largest", [-(1.5**0.5), 0, 1.5**0.5, 0.2 * 1.5**0.5]),
        ([1, 1, 1, 0], "one", [-(1.5**0.5), 0, 1.5**0.5, 0.2]),
        ([0, 0, 0, 0], "largest", [0.2] * 4),
        ([1, 0, 1, 0], "largest", [-1, 0.2, 1, 0.2]),
    ],
)
def test_weights_with_demonstrations_by_hand(
    own: list[float], scale: Any, expected: list[float]
) -> None:
    advantages, weight = tensor(1, 5, 9, 70), torch.tensor(0.2, dtype=torch.float64)
    weights = weighting.with_demonstrations(advantages, tensor(*own), weight, scale)
    assert weights.tolist() == pytest.approx(expected, rel=1e-5)


def test_advantages_of_two_samples_by_hand() -> None:
    q_data = tensor([3, 1], [2, 5])  # minima 2, 1
    q_policy = tensor([[1, 0], [4, -2]], [[0, 2], [9, -4]])  # minima [0, 0], [4, -4]: 2, -2
    assert weighting.advantages(q_data, q_policy).tolist() == [0.0, 3.0]
    assert weighting.advantages(q_data, q_policy, clip=0.5).tolist() == [0.0, 0.5]


def test_soft_advantages_of_two_samples_by_hand() -> None:
    # lambda 2: exp(Q / 2) of the policy's actions is 1 and 3, their mean 2; V = 2 log 2
    q_policy = tensor([[0, 0], [2 * math.log(3), 2 * math.log(7)]])  # 1 and 7: V = 2 log 4
    soft = torch.tensor(2.0, dtype=torch.float64)
    found = weighting.advantages(tensor([2 * math.log(6)] * 2), q_policy, soft=soft)
    assert found.tolist() == pytest.approx([2 * math.log(3), 2 * math.log(1.5)])


def test_weights_of_soft_advantages_are_divided_by_the_z_of_their_state() -> None:
    """Q = -c (a - m)^2 and a policy N(mu, sigma^2), where Z is known; each state has its own."""
    generator = torch.Generator().manual_seed(0)
    temperature = torch.tensor(0.7, dtype=torch.float64)
    mean, std = tensor(0.0, 1.0, -2.0), tensor(0.5, 1.0, 0.2)
    steepness, best = tensor(1.0, 0.3, 2.0), tensor(0.4, 0.0, -2.0)

    def q(actions: Tensor) -> Tensor:
        return -steepness * (actions - best).square()

    noise = torch.randn(200_000, 3, generator=generator, dtype=torch.float64)
    taken, drawn = tensor(0.1, 0.2, 0.3), q(mean + std * noise)
    advantages = weighting.advantages(q(taken)[None], drawn[None], soft=temperature)
    weights = weighting.weights(
        advantages, temperature=temperature, normalisation="exp", max_weight=1e9
    )
    v = drawn.mean(dim=0)
    k = steepness / temperature
    widened = 1 + 2 * k * std.square()  # E exp(-k (a - m)^2) of a normal a
    z = widened.rsqrt() * (-k * (mean - best).square() / widened).exp() * (-v / temperature).exp()
    expected = ((q(taken) - v) / temperature).exp() / z
    torch.testing.assert_close(weights, expected, rtol=1e-2, atol=0)


def test_standardised_advantages_by_hand() -> None:
    # mean 3, standard deviation 2 of all there is
    assert weighting.standardised(tensor(1, 1, 5, 5)).tolist() == pytest.approx(
        [-1, -1, 1, 1], 1e-5
    )
    assert weighting.standardised(tensor(7)).tolist() == [0]
    some = weighting.standardised(tensor(1, 1, 5, 11), tensor(2, 0, 2, 0))  # of 1 and 5
    assert some.tolist() == pytest.approx([-1, -1, 1, 4], 1e-5)
    assert not weighting.standardised(tensor(1, 2, gradient=True)).requires_grad


def test_the_advantage_clip_is_an_upper_bound_only() -> None:
    q_data, q_policy = tensor([3, -7]), tensor([[1, 1]])
    assert weighting.advantages(q_data, q_policy, clip=0.5).tolist() == [0.5, -8.0]


@pytest.mark.parametrize(
    ("normalisation", "max_weight", "expected"),
    [
        ("softmax", 0.0, [0.5, 1.5]),  # exp: 1, 3; times 2 / 4
        ("exp", 100.0, [1.0, 3.0]),
        ("exp", 2.0, [1.0, 2.0]),
    ],
)
def test_weights_of_two_samples_by_hand(
    normalisation: Any, max_weight: float, expected: list[float]
) -> None:
    weights = weighting.weights(
        tensor(0, 2 * math.log(3)),
        temperature=torch.tensor(2.0),
        normalisation=normalisation,
        max_weight=max_weight,
    )
    assert weights.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("normalisation", ["softmax", "exp"])
def test_weights_stay_finite_for_any_advantage(normalisation: Any) -> None:
    weights = weighting.weights(
        tensor(1e9, -1e9),
        temperature=torch.tensor(0.01),
        normalisation=normalisation,
        max_weight=100.0,
    )
    assert weights.tolist() == [2.0 if normalisation == "softmax" else 100.0, 0.0]


def test_weighted_regression_of_two_samples_by_hand() -> None:
    # -(0.5 * -1 + 1.5 * -3) / 2 = 2.5; effective batch 2^2 / (0.25 + 2.25) = 1.6
    loss, metrics = weighting.weighted_regression(tensor(-1, -3), tensor(0.5, 1.5))
    assert loss.item() == 2.5
    assert weighting.effective_batch(tensor(0.5, 1.5)).item() == pytest.approx(1.6)
    assert metrics["actor/log_prob"].item() == -2.0


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [((1, 0, 0, 1), [2.0, 0.0, 0.0, 2.0]), ((1, 1, 1, 1), [1.0] * 4), ((0, 0, 0, 0), [0.0] * 4)],
)
def test_weights_of_some_rows_make_a_mean_over_these(chosen: Any, expected: list[float]) -> None:
    assert weighting.of_rows(tensor(*chosen)).tolist() == expected


def conservative_gaps(floor: Tensor | None, *, gradient: bool = False) -> tuple[Tensor, ...]:
    """Two critics, of two rows; the second row and critic are the first, less 1."""
    rise = torch.tensor([[0.0, -1.0], [-1.0, -2.0]], dtype=torch.float64)  # [E, B]
    q_uniform, q_policy = (
        (rise.unsqueeze(1) + value).requires_grad_(gradient) for value in (0.0, math.log(3))
    )
    log_probs = tensor([-math.log(2)] * 2, gradient=gradient)
    q_data = (rise + 1.0).requires_grad_(gradient)
    found, metrics = conservative.gaps(
        q_data,
        q_uniform,
        q_policy,
        uniform_log_prob=-math.log(2),
        log_probs=log_probs,
        floor=floor,
    )
    return found, metrics["critic/conservative_gap"], q_data, q_uniform, q_policy, log_probs


def test_conservative_gaps_by_hand() -> None:
    # log(exp(0) * 2 + 3 * 2) - 1, and the same of all that is 1 less
    found, mean, *_ = conservative_gaps(None)
    assert found.tolist() == pytest.approx([math.log(8) - 1] * 2)
    assert mean.item() == pytest.approx(math.log(8) - 1)


def test_a_floor_lifts_the_policys_actions_by_hand() -> None:
    # critic 0: 3 and 3/e become 5, so log(2 + 10) - 1 and log(2/e + 10) - 0
    floor = tensor(math.log(5), math.log(5))
    found, _, *_ = conservative_gaps(floor)
    expected = [
        (math.log(12) - 1 + math.log(2 / math.e + 10)) / 2,
        (math.log(2 / math.e + 10) + math.log(2 / math.e**2 + 10) + 1) / 2,
    ]
    assert found.tolist() == pytest.approx(expected)


def test_conservative_gaps_move_values_alone_and_none_below_the_floor() -> None:
    floor = tensor(math.log(2), math.log(2), gradient=True)  # lies between 3 and 3 / e
    found, _, q_data, q_uniform, q_policy, log_probs = conservative_gaps(floor, gradient=True)
    found[0].backward()
    assert floor.grad is None
    assert log_probs.grad is None
    assert q_data.grad.tolist() == [[-0.5, -0.5], [0.0, 0.0]]
    assert q_uniform.grad[0].tolist() == [
        pytest.approx([1 / 8, 1 / 2 * (2 / math.e) / (2 / math.e + 4)])
    ]
    assert q_policy.grad[0].tolist() == [pytest.approx([3 / 8, 0.0])]


@pytest.mark.parametrize(
    ("weights", "rows"), [((3, 3, 3, 3), 4), ((0, 7, 0, 0), 1), ((1, 1, 0, 0), 2)]
)
def test_effective_batch_counts_the_rows_that_speak(weights: Any, rows: int) -> None:
    assert weighting.effective_batch(tensor(*weights)).item() == pytest.approx(rows)


@pytest.mark.parametrize(
    ("effective", "step"),
    [
        (8.0, 0.0),
        (8.0 / math.exp(0.5), 0.01),  # too few rows: hotter
        (8.0 * math.exp(0.5), -0.01),  # too many: colder
        (1.0, 0.02),  # never by more than 2 %
        (800.0, -0.02),
    ],
)
def test_temperature_step_by_hand(effective: float, step: float) -> None:
    moved = weighting.temperature_step(tensor(3)[0], tensor(effective)[0], wanted=8.0)
    assert moved.item() == pytest.approx(3.0 + step, abs=1e-12)


def test_weights_that_all_vanish_make_the_temperature_rise() -> None:
    weights = weighting.weights(
        torch.tensor([-60.0, -61.0, -2000.0]),  # in float32 their squares are zero
        temperature=torch.tensor(1.0),
        normalisation="exp",
        max_weight=100.0,
    )
    assert weighting.effective_batch(weights[:2]).item() == pytest.approx(1.65, abs=0.01)
    for vanished in (weights, weights[2:]):
        effective = weighting.effective_batch(vanished)
        moved = weighting.temperature_step(torch.tensor(0.0), effective, wanted=3.0)
        assert 0.0 < moved.item() <= 0.02 + 1e-6


COLUMN, ROW, SCALAR = torch.ones(2, 1), torch.ones(2), torch.tensor(1.0)
WEIGHTS = {"normalisation": "softmax", "max_weight": 1.0}


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: td.one_step_target(COLUMN, ROW, ROW), id="rewards"),
        pytest.param(lambda: td.one_step_target(ROW, COLUMN, ROW), id="discounts"),
        pytest.param(lambda: td.one_step_target(ROW, ROW, COLUMN), id="next values"),
        pytest.param(lambda: td.squared_error(torch.zeros(3, 2), COLUMN), id="targets"),
        pytest.param(lambda: td.squared_error(ROW, ROW), id="values"),
        pytest.param(
            lambda: weighting.advantages(torch.zeros(3, 2), torch.zeros(3, 2)), id="q_policy"
        ),
        pytest.param(
            lambda: weighting.weights(COLUMN, temperature=SCALAR, **WEIGHTS), id="advantages"
        ),
        pytest.param(
            lambda: weighting.weights(ROW, temperature=torch.ones(1), **WEIGHTS),
            id="temperature",
        ),
        pytest.param(lambda: weighting.of_rows(COLUMN), id="chosen"),
        pytest.param(
            lambda: conservative.gaps(
                torch.ones(3, 2), *[torch.ones(3, 4, 2)] * 2, uniform_log_prob=0.0, log_probs=ROW
            ),
            id="log_probs of drawn actions",
        ),
        pytest.param(lambda: weighting.weighted_regression(COLUMN, ROW), id="log_probs"),
        pytest.param(lambda: weighting.weighted_regression(ROW, COLUMN), id="weights"),
    ],
)
def test_a_column_where_a_vector_is_wanted_is_refused(call: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        call()


def test_equal_letters_need_equal_sizes() -> None:
    with pytest.raises(ValueError, match=r"argument 1: expected \[E, B\] .*got \[2, 4\]"):
        check_shapes("B, E B", torch.zeros(3), torch.zeros(2, 4))


def test_targets_own_their_stop_gradient() -> None:
    inputs = [tensor(1, 2, gradient=True) for _ in range(3)]
    assert not td.one_step_target(*inputs).requires_grad


def test_squared_error_moves_the_values_only() -> None:
    values, targets = tensor([1, 2], gradient=True), tensor(3, 5, gradient=True)
    td.squared_error(values, targets)[0].backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[-2.0, -3.0]]  # 2 (Q - y) / B
    assert targets.grad is None


def test_advantages_own_their_stop_gradient() -> None:
    q_data, q_policy = tensor([1, 2], gradient=True), tensor([[1, 2]], gradient=True)
    assert not weighting.advantages(q_data, q_policy).requires_grad


@pytest.mark.parametrize("normalisation", ["softmax", "exp"])
def test_weights_own_their_stop_gradient(normalisation: Any) -> None:
    weights = weighting.weights(
        tensor(1, 2, gradient=True),
        temperature=torch.tensor(1.0, requires_grad=True),
        normalisation=normalisation,
        max_weight=100.0,
    )
    assert not weights.requires_grad


def test_weighted_regression_moves_the_log_probs_only() -> None:
    log_probs, weights = tensor(-1, -3, gradient=True), tensor(0.5, 1.5, gradient=True)
    weighting.weighted_regression(log_probs, weights)[0].backward()
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [-0.25, -0.75]
    assert weights.grad is None


@pytest.mark.parametrize(
    ("function", "arguments", "options"),
    [
        (td.one_step_target, (ROW, ROW, ROW), {}),
        (td.squared_error, (torch.zeros(3, 2), ROW), {}),
        (weighting.advantages, (torch.zeros(3, 2), torch.zeros(3, 4, 2)), {"clip": 0.5}),
        (weighting.advantages, (torch.zeros(3, 2), torch.zeros(3, 4, 2)), {"soft": SCALAR}),
        (weighting.standardised, (ROW,), {}),
        (weighting.of_rows, (ROW,), {}),
        (weighting.with_demonstrations, (ROW, ROW, SCALAR), {"scale": "largest"}),
        (td.value_error, (ROW, ROW), {}),
        (weighting.weights, (ROW,), {"temperature": SCALAR, **WEIGHTS}),
        (weighting.weights, (ROW,), {"temperature": SCALAR, **WEIGHTS, "normalisation": "exp"}),
        (weighting.weighted_regression, (ROW, ROW), {}),
        (
            conservative.gaps,
            (torch.zeros(3, 2), torch.zeros(3, 4, 2), torch.zeros(3, 4, 2)),
            {"uniform_log_prob": 0.0, "log_probs": torch.zeros(4, 2), "floor": ROW},
        ),
        (weighting.temperature_step, (SCALAR, SCALAR), {"wanted": 8.0}),
    ],
)
def test_losses_trace_without_a_graph_break(function: Any, arguments: Any, options: Any) -> None:
    traced = torch.compile(function, fullgraph=True, backend="eager")
    torch.testing.assert_close(traced(*arguments, **options), function(*arguments, **options))
