"""Policies in NumPy: by name, normalised, in files that execute nothing."""

import json
import pickle
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from awac_dist import files, load_policy
from awac_dist.cli.main import main
from awac_dist.errors import InputError
from awac_dist.files import seal
from awac_dist.policies import POLICIES, make_policy
from awac_dist.policies.acting import SavedPolicy
from awac_dist.policies.gaussian import GaussianPolicy
from awac_dist.policies.npz import find_policy, policy_bytes, read_policy, save_policy
from awac_dist.policies.policy import NO_MEMORY
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array

CHOOSING: dict[str, Any] = {  # what kinds that choose have more
    "candidates": 5,
    "critic_hidden": (7, 6),
    "critic_members": 2,
    "critic_layer_norm": True,
    "decoder_hidden": (9,),
    "latent_size": 3,
    "max_perturbation": 0.3,
}
KINDS = pytest.mark.parametrize("kind", POLICIES)


def make_spec(kind: str = "gaussian", *, normalised: bool = False) -> PolicySpec:
    sizes, bounds = (3, 8, 2), ((-0.5, -1.0), (0.5, 2.0))
    return PolicySpec(kind, sizes, *bounds, normalize_observations=normalised, **CHOOSING)


def make_arrays(spec: PolicySpec, seed: int = 0) -> dict[str, Array]:
    return spec.unflatten(np.random.default_rng(seed).normal(0, 0.5, spec.size).astype(np.float32))


def observed() -> Array:
    return np.random.default_rng(1).normal(0, 3, (50, 3)).astype(np.float32)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_vector_of_another_length_is_refused(change: int) -> None:
    spec = make_spec()
    with pytest.raises(ValueError, match=f"{spec.size} parameters was given {spec.size + change}"):
        make_policy(spec, np.zeros(spec.size + change, np.float32), version=0)


def test_the_order_of_the_flat_vector_is_fixed() -> None:
    """Layer by layer, then the spread, then the normalisation: old checkpoints say so."""
    spec = replace(make_spec(normalised=True), state_dependent_std=True)
    assert spec.shapes == {
        "weight_0": (8, 3), "bias_0": (8,), "weight_1": (2, 8), "bias_1": (2,),
        "log_std_weight": (2, 8), "log_std_bias": (2,),
        "observation_shift": (3,), "observation_scale": (3,),
    }  # fmt: skip
    assert list(spec.shapes)[4:] == [
        "log_std_weight", "log_std_bias", "observation_shift", "observation_scale"
    ]  # fmt: skip
    assert list(make_spec("deterministic").shapes) == ["weight_0", "bias_0", "weight_1", "bias_1"]


def test_arrays_may_come_in_any_order_and_must_be_those_of_the_spec() -> None:
    spec = make_spec()
    arrays = make_arrays(spec)
    turned = dict(reversed(arrays.items()))
    np.testing.assert_array_equal(spec.flatten(turned), spec.flatten(arrays))
    with pytest.raises(ValueError, match="a gaussian policy has arrays"):
        spec.flatten({**arrays, "bias_0": arrays["bias_1"]})


@KINDS
def test_normalisation_is_the_policys(kind: str) -> None:
    spec, normalised = make_spec(kind), make_spec(kind, normalised=True)
    arrays, shift, scale = make_arrays(spec), np.float32([1, -2, 0]), np.float32([2, 3, 0.5])
    plain = make_policy(spec, spec.flatten(arrays), 0)
    named = arrays | {"observation_shift": shift, "observation_scale": scale}
    policy = make_policy(normalised, normalised.flatten(named), 0)
    noise = np.random.default_rng(2).normal(size=(50, plain.noise_size)).astype(np.float32)
    inputs = np.clip((observed() - shift) / scale, -10, 10)
    assert (np.abs(inputs) == 10).any()
    np.testing.assert_array_equal(policy.mean(observed()), plain.mean(inputs))
    np.testing.assert_array_equal(policy.sample(observed(), noise), plain.sample(inputs, noise))


@KINDS
def test_the_mean_is_a_sample_of_its_own_noise_to_the_bit(kind: str) -> None:
    for state_dependent in (True, False):
        spec = replace(make_spec(kind), state_dependent_std=state_dependent)
        policy = make_policy(spec, spec.flatten(make_arrays(spec)), 0)
        noise = policy.mean_noise(spec)
        assert not noise[: len(noise) // spec.candidates].any()
        sampled = policy.sample(observed(), np.tile(noise, (50, 1)))
        np.testing.assert_array_equal(sampled, policy.mean(observed()))


# --- files


@KINDS
@pytest.mark.parametrize("normalised", [False, True])
def test_a_policy_returns_from_its_file(kind: str, normalised: bool, tmp_path: Path) -> None:
    spec, path = make_spec(kind, normalised=normalised), str(tmp_path / "policy.npz")
    arrays = make_arrays(spec)
    save_policy(path, spec, arrays, 7)
    policy = read_policy(path)
    wanted = make_policy(spec, spec.flatten(arrays), 7)
    assert policy.version == 7
    np.testing.assert_array_equal(policy.mean(observed()), wanted.mean(observed()))
    assert policy_bytes(spec, arrays, 7) == (tmp_path / "policy.npz").read_bytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spec": "{}"}, "cannot be read as a policy file: .*missing 4 required"),
        ({"spec": "[1]"}, "cannot be read as a policy file"),
        ({"kind": "gausian"}, "no policy kind 'gausian': did you mean gaussian?"),
        ({"exec": 1}, "unexpected keyword argument 'exec'"),
        ({"layer_sizes": [3, 9, 2]}, "a gaussian policy has arrays"),
        ({"bias_0": np.zeros(3)}, "a gaussian policy has arrays"),
        ({"candidates": 0}, "a policy has 0 candidates: 1 to 10000"),
        ({"candidates": 10**9}, "a policy has 1000000000 candidates"),
        ({"action_low": [0.0]}, "a policy of 2 actions has bounds of {1, 2}"),
        ({"bias_0": np.array(["one"] * 8)}, "cannot be read as a policy file"),
    ],
)
def test_a_file_that_is_no_policy_is_one_line(
    change: dict[str, object], reason: str, tmp_path: Path
) -> None:
    spec = make_spec()
    ours = {"spec", *spec.shapes}
    fields = {**asdict(spec), **{k: v for k, v in change.items() if k not in ours}}
    named = {"spec": json.dumps(fields), "version": 1, **make_arrays(spec)}
    np.savez(tmp_path / "p.npz", **named | {k: v for k, v in change.items() if k in ours})
    with pytest.raises(InputError, match=reason) as caught:
        read_policy(str(tmp_path / "p.npz"))
    assert "\n" not in str(caught.value)


def test_a_plain_network_whose_layers_do_not_fit_is_one_line(tmp_path: Path) -> None:
    layers = {"weight_0": np.ones((5, 3)), "bias_0": np.ones(5), "weight_1": np.ones((2, 4))}
    rest = {"bias_1": np.ones(2), "observation_shift": 0, "observation_scale": 1}
    names = {"activation": "relu", "squash": "none", "observation_clip": np.inf}
    np.savez(tmp_path / "p.npz", **layers | rest | names)
    with pytest.raises(InputError, match=r"cannot be read as a policy file: .*mismatch"):
        read_policy(str(tmp_path / "p.npz"))
    np.savez(tmp_path / "p.npz", **layers | rest | names | {"weight_1": np.ones((2, 5))})
    assert read_policy(str(tmp_path / "p.npz")).mean(np.zeros((1, 3))).tolist() == [[6.0, 6.0]]


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("open('executed', 'w')",)


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("p.npz", spec="{}", version=1, weight_0=np.array(Hostile(), dtype=object))
    Path("q.npz").write_bytes(pickle.dumps(Hostile()))
    Path("r.npz").write_bytes(Path("p.npz").read_bytes()[:200])
    for name in ("p.npz", "q.npz", "r.npz"):
        with pytest.raises(InputError, match=f"{name}: cannot be read as a policy file"):
            read_policy(name)
    assert not Path("executed").exists()


def test_a_file_that_is_not_there_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^nowhere.npz: there is no such file: give a policy"):
        read_policy("nowhere.npz")


def test_a_run_and_a_checkpoint_name_their_policy(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for name in (tmp_path, folder, folder / "000000100"):
        with pytest.raises(InputError, match=r"is neither a policy \(\.npz\), a checkpoint"):
            find_policy(str(name))
    for count in (50, 100):
        seal(f"{folder}/{count:09d}", {"policy.npz": b""})
    (folder / "000000200").mkdir()
    newest = str(folder / "000000100" / "policy.npz")
    assert find_policy(f"{tmp_path}/") == find_policy(str(folder / "000000100")) == newest
    assert find_policy("s3://b/policy.npz") == "s3://b/policy.npz"


def test_a_place_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    unreached = SimpleNamespace(from_uri=mock.Mock(side_effect=OSError("no such bucket")))
    monkeypatch.setattr(files.fs, "FileSystem", unreached)
    with pytest.raises(InputError, match="no such bucket"):
        load_policy("s3://nowhere/run")


@pytest.mark.parametrize("kind", POLICIES)
def test_a_policy_that_is_no_number_is_refused(kind: str, tmp_path: Path) -> None:
    spec = make_spec(kind)
    for name, array in make_arrays(spec).items():
        path = str(tmp_path / "policy.npz")
        save_policy(path, spec, {**make_arrays(spec), name: np.full_like(array, np.nan)}, 1)
        with pytest.raises(InputError, match="it holds NaN or infinity"):
            read_policy(path)


# --- acting


def test_a_saved_policy_acts_without_torch_and_ray(tmp_path: Path) -> None:
    spec = make_spec()
    arrays = make_arrays(spec)
    seal(f"{tmp_path}/checkpoints/000000050", {"policy.npz": policy_bytes(spec, arrays, 50)})
    program = f"""
import sys, awac_dist
policy = awac_dist.load_policy({str(tmp_path)!r})
assert policy.version == 50
assert not {{"torch", "ray"}} & set(sys.modules)
print(policy([1.0, -2.0, 0.5]).tolist())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    wanted = make_policy(spec, spec.flatten(arrays), 50).mean(np.float32([[1.0, -2.0, 0.5]]))[0]
    assert json.loads(done.stdout) == wanted.tolist()


@KINDS
def test_one_observation_or_many_the_mean_or_a_sample(kind: str, tmp_path: Path) -> None:
    spec, path = make_spec(kind), tmp_path / "policy.npz"
    save_policy(str(path), spec, make_arrays(spec), 7)
    policy, twin = load_policy(path), read_policy(str(path))
    many = policy(observed())
    np.testing.assert_array_equal(many, twin.mean(observed()))
    one = policy(observed().astype(np.float64)[3])
    assert one.shape == (2,)
    np.testing.assert_allclose(one, many[3], rtol=1e-5, atol=1e-6)
    sampled = policy(observed(), rng=np.random.default_rng(4))
    noise = np.random.default_rng(4).standard_normal((50, twin.noise_size), np.float32)
    bounds = np.float32(spec.action_low), np.float32(spec.action_high)
    drawn = twin.sample(observed(), noise)
    np.testing.assert_array_equal(sampled, np.clip(drawn, *bounds))
    assert not np.array_equal(drawn, many)


def test_a_policy_is_named_by_any_kind_of_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_policy(str(tmp_path / "a.npz"), make_spec(), make_arrays(make_spec()), 7)
    seal(str(tmp_path / "checkpoints/7"), {"policy.npz": (tmp_path / "a.npz").read_bytes()})
    for name in ("a.npz", "checkpoints/7", ""):
        for found in (tmp_path / name, str(tmp_path / name), f"~/{name}", Path("~") / name):
            assert load_policy(found).version == 7


@pytest.mark.parametrize("shape", [(4,), (), (2, 3, 3), (3, 1)])
def test_an_observation_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    spec = make_spec()
    policy = SavedPolicy(make_policy(spec, spec.flatten(make_arrays(spec)), 0))
    with pytest.raises(ValueError, match=r"an observation has shape \[3\] or \[B, 3\], not"):
        policy(np.zeros(shape))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [(np.nan, "NaN"), (np.inf, "infinite in float32"), (2e19, "2e.19, whose square is infinite")],
)
def test_an_observation_that_is_no_number_is_refused(wrong: float, told: str) -> None:
    spec = make_spec()
    policy = SavedPolicy(make_policy(spec, spec.flatten(make_arrays(spec)), 0))
    for seen in ([0.0, 0.0, wrong], [[0.0, 0.0, 0.0], [0.0, 0.0, wrong]]):
        with pytest.raises(ValueError, match=f"^column 2 of the observation is {told}"):
            policy(seen)


def test_a_goal_tasks_own_observation_is_read_as_in_training() -> None:
    spec = make_spec()
    policy = SavedPolicy(make_policy(spec, spec.flatten(make_arrays(spec)), 0))
    seen = {"achieved_goal": [9.0], "desired_goal": [3.0], "observation": [1.0, 2.0]}
    np.testing.assert_array_equal(policy(seen), policy([1.0, 2.0, 3.0]))
    many = {name: np.array([row, row], np.float64) for name, row in seen.items()}
    assert policy(many).shape == (2, 2)
    with pytest.raises(ValueError, match=r"an observation has shape \[3\]"):
        policy({**seen, "desired_goal": [3.0, 4.0]})


class Counting:
    """Its actions are the steps that it remembers."""

    version, noise_size, memory_size, input_size, action_size = 0, 2, 1, 3, 1
    low, high = -np.inf, np.inf

    def mean(self, observations: Array, memory: Array) -> Array:
        memory += 1
        return memory.copy()


def test_a_policy_that_remembers_is_told_of_a_new_episode() -> None:
    policy = SavedPolicy(Counting())  # type: ignore[arg-type]
    assert [policy(np.zeros(3)).item() for _ in range(3)] == [1, 2, 3]
    policy.reset()
    assert [policy(np.zeros((2, 3))).tolist() for _ in range(2)] == [[[1], [1]], [[2], [2]]]


class Smooth(GaussianPolicy):
    """Half of what it did before, which it remembers."""

    memory_size = 2

    def sample(self, observations: Array, noise: Array, memory: Array = NO_MEMORY) -> Array:
        memory[:] = (memory + super().sample(observations, noise)) / 2
        return memory.copy()

    def mean(self, observations: Array, memory: Array = NO_MEMORY) -> Array:
        return self.sample(observations, np.zeros(self.noise_size, np.float32), memory)


def test_a_kind_that_remembers_acts_from_its_file_and_is_exported_to_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(POLICIES, "smooth", f"{__name__}:Smooth")
    spec = make_spec("smooth")
    arrays, path = make_arrays(spec), str(tmp_path / "p.npz")
    save_policy(path, spec, arrays, 7)
    plain = make_policy(replace(spec, kind="gaussian"), spec.flatten(arrays), 7)
    loaded = load_policy(path)
    for _ in range(2):  # episodes
        before = np.zeros((1, 2), np.float32)
        for seen in observed():
            before = (before + plain.mean(seen[None])) / 2
            np.testing.assert_array_equal(loaded(seen), np.clip(before, plain.low, plain.high)[0])
        loaded.reset()
    for name in ("onnx", "pt"):
        assert main(["export", path, str(tmp_path / f"q.{name}")]) == 2
        told = capsys.readouterr().err
        assert "a smooth policy remembers from step to step, and such a file does not: " in told
        assert told.count("\n") == 1
    assert main(["export", path, str(tmp_path / "q.npz")]) == 0
    assert (tmp_path / "q.npz").read_bytes() == Path(path).read_bytes()
