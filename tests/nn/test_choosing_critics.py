"""The critics of a policy that chooses are those of the training."""

import numpy as np
import pytest
import torch

from awac_dist.nn.choosing import best, by_candidate, critic_arrays
from awac_dist.nn.config import ActorConfig, CriticConfig
from awac_dist.nn.critics import CriticEnsemble
from awac_dist.policies.choosing import critic_shapes, critic_values
from awac_dist.types import EnvSpec

ENV = EnvSpec("none", 3, 2, (-1.0, -2.0), (1.0, 3.0), None)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("members", [1, 2, 3])
@pytest.mark.parametrize("hidden", [(), (16,), (16, 12)])
def test_values_in_numpy_equal_the_ensembles(
    layer_norm: bool, members: int, hidden: tuple[int, ...]
) -> None:
    config = CriticConfig(hidden, members=3, layer_norm=layer_norm)
    spec = config.choosing("best_of_n", ActorConfig().policy_spec(ENV), 4, members)
    assert (spec.kind, spec.candidates, spec.layer_sizes) == ("best_of_n", 4, (3, 256, 256, 2))
    critic = CriticEnsemble(5, hidden, 3, generator=seeded(), layer_norm=layer_norm)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.normal_(0.0, 0.7, generator=seeded(parameter.numel()))
    arrays = {name: array.numpy() for name, array in critic_arrays(critic, members).items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    assert list(shapes.items()) == list(critic_shapes(spec).items())
    rows = torch.randn(50, 5, generator=seeded(1))
    wanted = critic.evaluate(rows)[:members].detach()
    np.testing.assert_allclose(
        critic_values(spec, arrays, rows.numpy()), wanted, rtol=1e-5, atol=1e-5
    )
    critic.head.weight.data.mul_(2)  # they are those in training, whenever it is
    assert np.array_equal(arrays["critic.head.weight"], critic.head.weight.detach()[:members])


def test_the_best_by_hand() -> None:
    candidates = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]], [[5.0], [6.0]]])  # [3, 2, 1]
    values = torch.tensor([[[5.0, 1.0], [3.0, 7.0], [2.0, 0.0]]])  # [1, 3, 2]
    other = torch.tensor([[[0.0, 9.0], [9.0, 2.0], [4.0, 9.0]]])
    assert best(values, candidates).tolist() == [[1.0], [4.0]]
    assert best(torch.cat([values, other]), candidates).tolist() == [[3.0], [4.0]]


def test_noise_is_that_of_one_candidate_after_the_other() -> None:
    noise = torch.arange(12.0).reshape(2, 6)
    assert by_candidate(noise, 3).tolist() == [
        [[0, 1], [6, 7]],
        [[2, 3], [8, 9]],
        [[4, 5], [10, 11]],
    ]
