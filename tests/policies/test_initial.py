"""The policy of one run as the beginning of another one."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from awac_dist.errors import InputError
from awac_dist.nn.config import ActorConfig
from awac_dist.policies import make_policy
from awac_dist.policies.initial import arrays_of, open_initial
from awac_dist.policies.npz import save_policy
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array

SPEC = PolicySpec("gaussian", (3, 8, 2), (-0.5, -1.0), (0.5, 2.0))
CHOOSING = {"candidates": 4, "critic_hidden": (6,)}
ACTORS = get_args(get_type_hints(ActorConfig)["kind"])
BEGINNINGS = [*ACTORS, "best_of_n"]
SEEN = {
    "observation_shift": np.float32([1, -200, 0]),
    "observation_scale": np.float32([2, 30, 1e-2]),
}


def made(spec: PolicySpec) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    arrays = spec.unflatten(rng.normal(0, 0.5, spec.size).astype(np.float32))
    return arrays | (SEEN if spec.normalize_observations else {})


@pytest.mark.parametrize(("found", "kind"), [*product(BEGINNINGS, ACTORS)])
@pytest.mark.parametrize(("before", "after"), [*product((False, True), repeat=2)])
@pytest.mark.parametrize("hidden", [(8,), ()])
def test_the_mean_action_stays_in_all_observations(
    found: str, kind: str, before: bool, after: bool, hidden: tuple[int, ...], tmp_path: Path
) -> None:
    sizes = (3, *hidden, 2)
    more: dict[str, Any] = CHOOSING if found == "best_of_n" else {}
    spec = replace(SPEC, kind=found, layer_sizes=sizes, normalize_observations=before, **more)
    save_policy(str(tmp_path / "a.npz"), spec, made(spec), 7)
    wanted = replace(SPEC, kind=kind, layer_sizes=sizes)
    policy = open_initial(str(tmp_path / "a.npz"), wanted)
    seen: dict[str, Any] = {name: 3 * array + 1 for name, array in SEEN.items()} if after else {}
    taken = made(wanted) | arrays_of(policy, wanted, **seen)
    acting = replace(wanted, normalize_observations=after)
    again = make_policy(acting, acting.flatten(taken | seen), 0)
    rng = np.random.default_rng(1)
    observations = rng.normal([1, -200, 0], [2, 30, 1e-2], (50, 3)).astype(np.float32)
    np.testing.assert_allclose(again.mean(observations), policy.mean(observations), atol=1e-4)
    noise = rng.standard_normal((50, 2), np.float32)
    if policy.spec.kind == kind:  # how far samples spread, too
        samples = again.sample(observations, noise), policy.sample(observations, noise)
        np.testing.assert_allclose(*samples, atol=1e-4)
    if not before and not after:
        np.testing.assert_array_equal(taken["weight_0"], policy.arrays["weight_0"])


def test_a_spread_that_is_read_otherwise_is_left_out() -> None:
    policy = make_policy(SPEC, SPEC.flatten(made(SPEC)), 0)
    assert "log_std" in arrays_of(policy, SPEC)
    for other in ({"log_std_max": 1.0}, {"state_dependent_std": True}):
        assert "log_std" not in arrays_of(policy, replace(SPEC, **other))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"layer_sizes": (4, 8, 2)},
            "reads 4 observations and gives 2 actions, but the task has 3 and 2",
        ),
        ({"layer_sizes": (3, 8, 4, 2)}, "give --algorithm.actor.hidden 8 4"),
        ({"layer_sizes": (3, 2)}, r"give --algorithm.actor.hidden \[\]"),
        ({"action_high": (0.5, 1.0)}, "its actions are from"),
    ],
)
def test_what_does_not_fit_is_one_line(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    spec = replace(SPEC, **changes)
    save_policy(str(tmp_path / "a.npz"), spec, made(spec), 7)
    with pytest.raises(InputError, match=f"^{tmp_path}/a.npz: .*{told}") as caught:
        open_initial(str(tmp_path / "a.npz"), SPEC)
    assert "\n" not in str(caught.value)


def test_what_has_no_actor_is_refused(tmp_path: Path) -> None:
    spec = replace(SPEC, kind="perturbed_vae", latent_size=2)
    save_policy(str(tmp_path / "a.npz"), spec, made(spec), 7)
    with pytest.raises(InputError, match=r"a\.npz: no network of it acts by itself"):
        open_initial(str(tmp_path / "a.npz"), SPEC)


def test_a_policy_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    layers = {"weight_0": np.zeros((2, 3), np.float32), "bias_0": np.zeros(2, np.float32)}
    shift = {"observation_shift": 0.0, "observation_scale": 1.0, "observation_clip": 9.0}
    np.savez(tmp_path / "a.npz", activation="relu", squash="tanh", **layers, **shift)
    with pytest.raises(InputError, match="is no policy of ours"):
        open_initial(str(tmp_path / "a.npz"), SPEC)
    with pytest.raises(InputError, match="neither a policy"):
        open_initial(str(tmp_path), SPEC)
