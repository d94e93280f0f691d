"""Exports: in ONNX and TorchScript every kind of policy does what it does in NumPy."""

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from methods import build, modules
from running import small

from awac_dist.algorithms import METHODS, config_class
from awac_dist.cli.main import main
from awac_dist.data.sources import episodes, find
from awac_dist.files import seal
from awac_dist.nn.export import FORMATS, checked
from awac_dist.policies import POLICIES, make_policy
from awac_dist.policies.choosing import ChoosingPolicy
from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.npz import policy_bytes, save_policy
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array

CHOOSING: dict[str, Any] = {  # what kinds that choose have more
    "candidates": 10,
    "critic_hidden": (24, 20),
    "critic_members": 2,
    "critic_layer_norm": True,
    "decoder_hidden": (30,),
    "latent_size": 12,
    "max_perturbation": 0.3,
}
DATA = "halfcheetah-demonstrations"
NOTHING = np.empty((0, 17), np.float32)
KINDS = pytest.mark.parametrize("kind", POLICIES)


def read_torchscript(content: bytes) -> Callable[[Array], Array]:
    module = torch.jit.load(io.BytesIO(content))
    return lambda rows: module(torch.tensor(rows)).numpy()


def read_onnx(content: bytes) -> Callable[[Array], Array]:
    session = onnxruntime.InferenceSession(content)
    return lambda rows: session.run(None, {"observations": rows})[0]


READERS = {"onnx": read_onnx, "pt": read_torchscript}


def real_observations() -> Array:
    *_, episode = next(episodes(find(DATA)))
    return episode.observations


def make(kind: str, *, normalised: bool = False, size: float = 0.1) -> NetworkPolicy:
    """A policy of HalfCheetah's sizes, with weights large enough to bend every nonlinearity."""
    low, high = (np.linspace(*ends, 6).tolist() for ends in ((-1, -0.5), (0.2, 2)))
    spec = PolicySpec(kind, (17, 32, 24, 6), tuple(low), tuple(high), **CHOOSING)
    spec = replace(spec, normalize_observations=normalised)
    arrays = spec.unflatten(np.random.default_rng(3).normal(0, size, spec.size).astype(np.float32))
    critics = {name: 5 * array for name, array in arrays.items() if name.startswith("critic.")}
    arrays |= critics  # of which candidates have values that differ
    if normalised:
        seen = real_observations()
        arrays |= {"observation_shift": seen.mean(axis=0), "observation_scale": seen.std(axis=0)}
    return make_policy(spec, spec.flatten(arrays), 7)


def check_same(policy: NetworkPolicy, rows: Array, found: Array) -> None:
    """Equal to 1e-5; of candidates of the same value either may be taken, which is rare."""
    wanted = np.clip(policy.mean(rows), policy.low, policy.high)
    others = (np.abs(found - wanted) > 1e-5).any(axis=1)
    if isinstance(policy, ChoosingPolicy) and others.any():
        values = policy.values(rows[others], np.stack((found, wanted))[:, others])
        np.testing.assert_allclose(values[0], values[1], rtol=1e-5, atol=1e-6)
        assert others.mean() < 0.01
    else:
        assert not others.any()


@KINDS
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_an_export_is_the_policy(kind: str, normalised: bool, name: str) -> None:
    """On real observations and on random ones, one or many, some of them far out."""
    policy, real = make(kind, normalised=normalised), real_observations()
    content, off = checked(FORMATS[name](policy), policy, real[:50])
    assert off < 1e-5
    act, rng = READERS[name](content), np.random.default_rng(5)
    far = rng.normal(0, 20, (300, 17)).astype(np.float32)
    for rows in (real, real[:1], rng.normal(0, 2, (301, 17)).astype(np.float32), far):
        check_same(policy, rows, act(rows))
        assert act(rows).dtype == np.float32
    assert (np.abs(act(far) - act(np.zeros_like(far))) > 0.1).any()


@pytest.mark.parametrize("name", METHODS)
def test_an_export_is_the_policy_that_was_trained(name: str) -> None:
    """Of every method: what it does in torch, by the noise of the mean."""
    method = build(small(config_class(name)()))
    with torch.no_grad():
        for module in modules(method).values():
            for parameter in module.parameters():
                parameter.normal_(0.0, 0.5, generator=torch.Generator().manual_seed(5))
    acting = method.acting()
    policy = make_policy(acting.spec, acting.spec.flatten(acting.in_numpy()), 0)
    rows = np.random.default_rng(2).normal(0, 2, (100, 3)).astype(np.float32)
    noise = np.tile(policy.mean_noise(policy.spec), (100, 1))
    with torch.no_grad():
        wanted = method.act(torch.tensor(rows), torch.tensor(noise)).numpy()
    for export in FORMATS.values():
        _, act = export(policy)
        np.testing.assert_allclose(act(rows), wanted, rtol=0, atol=1e-5)


@KINDS
def test_what_is_off_is_not_written(kind: str) -> None:
    policy, other = make(kind), make(kind, size=0.101)
    with pytest.raises(RuntimeError, match=f"a {kind} policy was exported wrongly: it is off by"):
        checked(FORMATS["pt"](other), policy, NOTHING)
    nowhere = (b"", lambda rows: np.full((len(rows), 6), np.nan, np.float32))
    with pytest.raises(RuntimeError, match="off by nan"):
        checked(nowhere, policy, NOTHING)


def test_the_command_writes_all_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, rows = make("squashed_gaussian", normalised=True), real_observations()
    monkeypatch.chdir(tmp_path)
    save_policy("p.npz", policy.spec, policy.arrays, 7)
    for name, read in READERS.items():
        assert main(["export", "p.npz", f"q.{name}"]) == 0
        told = capsys.readouterr().out
        assert f"wrote q.{name}: the policy of p.npz, after 7 updates\nchecked: at most " in told
        wanted = policy.mean(rows)
        found = read(Path(f"q.{name}").read_bytes())(rows)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    assert main(["export", "p.npz", "q.txt"]) == 2
    assert "OUT: q.txt does not end in .npz, .onnx or .pt" in capsys.readouterr().err


def test_what_a_run_has_seen_is_found_from_inside_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = make("gaussian")
    content = policy_bytes(policy.spec, policy.arrays, 7)
    seal(f"{tmp_path}/checkpoints/000000007", {"policy.npz": content})
    embedded = resources.files("awac_dist.data") / "embedded" / "halfcheetah-demonstrations.parquet"
    (tmp_path / "experience").mkdir()
    (tmp_path / "experience/a.parquet").write_bytes(embedded.read_bytes())
    monkeypatch.chdir(tmp_path)
    for name in (".", "./checkpoints/000000007", "checkpoints/000000007"):
        assert main(["export", name, "q.pt"]) == 0
        assert ", on 1,001 recorded observations, too" in capsys.readouterr().out


def test_a_plain_network_of_somebody_else_is_copied_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.npz"
    arrays = {"weight_0": np.ones((2, 3)), "bias_0": np.ones(2), "activation": "relu"}
    more = {"squash": "none", "observation_shift": 0, "observation_scale": 1}
    np.savez(path, **arrays, **more, observation_clip=np.inf)
    assert main(["export", str(path), str(tmp_path / "q.onnx")]) == 2
    assert "is no policy of ours: only a copy of it can be made (.npz)" in capsys.readouterr().err
    assert main(["export", str(path), str(tmp_path / "q.npz")]) == 0


def test_a_missing_package_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, path = make("gaussian"), str(tmp_path / "p.npz")
    save_policy(path, policy.spec, policy.arrays, 7)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["export", path, str(tmp_path / "q.onnx")]) == 2
    assert "ONNX needs two packages: pip install 'awac_dist[export]'" in capsys.readouterr().err
