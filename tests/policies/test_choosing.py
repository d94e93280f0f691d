"""Policies that choose among candidates, by hand and one candidate after the other."""

from dataclasses import replace

import numpy as np
import pytest

from awac_dist.policies import make_policy
from awac_dist.policies.beside_clone import CLONE, gumbel
from awac_dist.policies.choosing import CRITIC, ChoosingPolicy
from awac_dist.policies.perturbed_vae import DECODER
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array

LOW, HIGH = (-0.5, -1.0), (0.5, 2.0)
CENTRE, HALF = np.float32([0.0, 0.5]), np.float32([0.5, 1.5])


def spec_of(kind: str, layer_norm: bool = False, members: int = 2) -> PolicySpec:
    return PolicySpec(
        kind,
        (3, 8, 2),
        LOW,
        HIGH,
        state_dependent_std=True,
        log_std_min=-1.0,
        log_std_max=1.0,
        candidates=6,
        critic_hidden=(7, 5),
        critic_members=members,
        critic_layer_norm=layer_norm,
        decoder_hidden=(9, 4),
        latent_size=3,
        max_perturbation=0.4,
    )


def policy_of(spec: PolicySpec) -> ChoosingPolicy:
    vector = np.random.default_rng(0).normal(0, 0.7, spec.size).astype(np.float32)
    policy = make_policy(spec, vector, 0)
    assert isinstance(policy, ChoosingPolicy)
    return policy


def seen() -> Array:
    return np.random.default_rng(1).normal(0, 2, (20, 3)).astype(np.float32)


def mlp(arrays: dict[str, Array], prefix: str, inputs: Array) -> Array:
    """One row [n] through layers of a prefix."""
    count = sum(name.startswith(f"{prefix}weight") for name in arrays)
    for layer in range(count):
        inputs = arrays[f"{prefix}weight_{layer}"] @ inputs + arrays[f"{prefix}bias_{layer}"]
        inputs = inputs if layer == count - 1 else np.maximum(inputs, 0)
    return inputs


def value(policy: ChoosingPolicy, observation: Array, action: Array) -> float:
    """The least of the critics' values, one member after the other."""
    found, spec = [], policy.spec
    of = {name.removeprefix(CRITIC): array for name, array in policy.arrays.items()}
    for e in range(spec.critic_members):
        hidden = np.concatenate([observation, action])
        for layer in range(len(spec.critic_hidden)):
            hidden = hidden @ of[f"layers.{layer}.weight"][e] + of[f"layers.{layer}.bias"][e, 0]
            if spec.critic_layer_norm:
                hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
                weight, bias = of[f"norms.{layer}.weight"][e, 0], of[f"norms.{layer}.bias"][e, 0]
                hidden = hidden * weight + bias
            hidden = np.maximum(hidden, 0)
        found.append(hidden @ of["head.weight"][e, :, 0] + of["head.bias"][e, 0, 0])
    return min(found)


def proposed(policy: ChoosingPolicy, observation: Array, noise: Array) -> Array:
    """One candidate [A] of its noise."""
    arrays, spec = policy.arrays, policy.spec
    if spec.kind == "best_of_n":
        hidden = np.maximum(arrays["weight_0"] @ observation + arrays["bias_0"], 0)
        logits = arrays["log_std_weight"] @ hidden + arrays["log_std_bias"]
        std = np.exp(-1 + 2 / (1 + np.exp(-logits)))
        raw = arrays["weight_1"] @ hidden + arrays["bias_1"] + std * noise
        return CENTRE + HALF * np.tanh(raw)
    latent = np.clip(noise, -0.5, 0.5)
    unit = np.tanh(mlp(arrays, DECODER, np.concatenate([observation, latent])))
    move = 0.4 * np.tanh(mlp(arrays, "", np.concatenate([observation, unit])))
    return CENTRE + HALF * np.clip(unit + move, -1, 1)


@pytest.mark.parametrize("kind", ["best_of_n", "perturbed_vae"])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("members", [1, 2])
def test_the_choice_is_the_best_of_the_candidates(
    kind: str, layer_norm: bool, members: int
) -> None:
    policy = policy_of(spec_of(kind, layer_norm, members))
    noise = np.random.default_rng(2).normal(size=(20, policy.noise_size)).astype(np.float32)
    numbers = set()
    for row, action in enumerate(policy.sample(seen(), noise)):
        each = noise[row].reshape(6, -1)
        candidates = [proposed(policy, seen()[row], its) for its in each]
        values = [value(policy, seen()[row], candidate) for candidate in candidates]
        numbers.add(int(np.argmax(values)))
        np.testing.assert_allclose(action, candidates[np.argmax(values)], rtol=1e-4, atol=1e-5)
    assert len(numbers) > 2


@pytest.mark.parametrize("kind", ["best_of_n", "perturbed_vae"])
def test_the_mean_is_the_same_choice_every_time(kind: str) -> None:
    policy, spec = policy_of(spec_of(kind)), spec_of(kind)
    np.testing.assert_array_equal(policy.mean(seen()), policy_of(spec).mean(seen()))
    table = policy.mean_noise(spec).reshape(6, -1)
    assert not table[0].any()
    assert len(np.unique(table[1:])) == table[1:].size
    assert table[1:].std() == pytest.approx(1, abs=0.4)
    pinned = np.float32([2.2408932, 1.8675580, -0.97727788])  # files act alike for ever
    np.testing.assert_allclose(table.ravel()[3:6], pinned, rtol=1e-6)


def test_one_candidate_is_the_actor() -> None:
    policy = policy_of(replace(spec_of("best_of_n"), candidates=1))
    actor = policy.actor()
    assert actor is not None
    assert actor.spec.kind == "squashed_gaussian"
    np.testing.assert_array_equal(policy.mean(seen()), actor.mean(seen()))
    noise = np.random.default_rng(2).normal(size=(20, 2)).astype(np.float32)
    np.testing.assert_array_equal(policy.sample(seen(), noise), actor.sample(seen(), noise))


def test_nothing_far_from_the_data_is_decoded() -> None:
    policy = policy_of(replace(spec_of("perturbed_vae"), candidates=1))
    half, more = (np.full((20, 3), size, np.float32) for size in (0.5, 7.0))
    np.testing.assert_array_equal(policy.sample(seen(), more), policy.sample(seen(), half))
    assert not np.array_equal(policy.sample(seen(), half / 2), policy.sample(seen(), half))
    assert policy.actor() is None


@pytest.mark.parametrize("temperature", [0.0, 0.3, 5.0])
def test_the_choice_is_between_the_actor_and_the_clone(temperature: float) -> None:
    spec = replace(spec_of("beside_clone"), exploration_std=0.6, choice_temperature=temperature)
    policy, rng = policy_of(spec), np.random.default_rng(2)
    assert policy.noise_size == (6 if temperature else 2)
    noise = rng.normal(size=(20, policy.noise_size)).astype(np.float32)
    seen_inside, numbers, by_chance = set(), set(), 0
    for row, action in enumerate(policy.sample(seen(), noise)):
        own = CENTRE + HALF * np.tanh(mlp(policy.arrays, "", seen()[row]))
        explored = own + HALF * 0.6 * noise[row, :2]
        clone = CENTRE + HALF * np.tanh(mlp(policy.arrays, CLONE, seen()[row]))
        candidates = [np.clip(explored, LOW, HIGH), clone]
        values = np.array([value(policy, seen()[row], its) for its in candidates])
        scores = values.copy()
        if temperature:
            exponential = (noise[row, 2::2] ** 2 + noise[row, 3::2] ** 2) / 2
            scores -= temperature * np.log(exponential)
        np.testing.assert_allclose(action, candidates[scores.argmax()], rtol=1e-4, atol=1e-5)
        numbers.add(int(scores.argmax()))
        seen_inside.add(bool((candidates[0] == explored).all()))
        by_chance += int(scores.argmax() != values.argmax())
        mean = policy.mean(seen()[row : row + 1])[0]
        values = np.array([value(policy, seen()[row], its) for its in (own, clone)])
        np.testing.assert_allclose(mean, (own, clone)[values.argmax()], rtol=1e-4, atol=1e-5)
    assert numbers == {0, 1}
    assert seen_inside == {False, True}
    assert bool(by_chance) == bool(temperature)


def test_another_run_starts_from_the_actor_and_not_from_the_clone() -> None:
    policy = policy_of(spec_of("beside_clone"))
    actor = policy.actor()
    assert actor is not None
    assert actor.spec.kind == "deterministic"
    own = np.stack([CENTRE + HALF * np.tanh(mlp(policy.arrays, "", row)) for row in seen()])
    np.testing.assert_allclose(actor.mean(seen()), own, rtol=1e-4, atol=1e-5)


def test_chances_of_normal_numbers_are_gumbels() -> None:
    """Their mean is Euler's constant, their variance pi^2 / 6; that of ones is 0."""
    drawn = gumbel(np.random.default_rng(0).normal(size=(50_000, 4)))
    assert drawn.shape == (50_000, 2)
    assert drawn.mean() == pytest.approx(np.euler_gamma, abs=0.02)
    assert drawn.var() == pytest.approx(np.pi**2 / 6, rel=0.02)
    assert not gumbel(np.ones((1, 4))).any()
    assert np.isfinite(gumbel(np.zeros((1, 4), np.float32))).all()  # as a file is tried out
