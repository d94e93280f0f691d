"""docs/policy-file.md tells what a policy's file is, to the byte; its loop needs NumPy alone."""

import io
import json
import re
import struct
import subprocess
import sys
import zipfile
from dataclasses import fields, replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
from test_policies import make_arrays, make_spec, observed

import awac_dist
from awac_dist.policies import POLICIES, make_policy
from awac_dist.policies.npz import policy_bytes, save_policy
from awac_dist.policies.spec import PolicySpec

EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGE = (Path(awac_dist.__file__).parents[1] / "docs" / "policy-file.md").read_text()
NETWORK_ALONE = ("gaussian", "squashed_gaussian", "deterministic")
KINDS = pytest.mark.parametrize("kind", POLICIES)
ROBOT = """
import json, sys
import numpy as np
seen, done = json.load(open("seen.json")), []

class Robot:
    def is_running(self):
        return len(done) < len(seen)
    def observe(self):
        return seen[len(done)]
    def move(self, action):
        done.append(action.tolist())
        loaded = {"awac_dist", "torch", "ray", "gymnasium"} & {*sys.modules}
        json.dump([action.dtype.name, [*loaded], done], open("done.json", "w"))
"""


def by_hand(member: bytes) -> tuple[str, tuple[int, ...], bytes]:
    """Type, shape and numbers of an array, as the page has it."""
    assert member[:8] == bytes.fromhex("934E554D50590100")
    (length,) = struct.unpack("<H", member[8:10])
    header = member[10 : 10 + length].decode()
    assert (10 + length) % 64 == 0
    assert header.endswith("\n")
    found = re.match(
        r"{'descr': '([^']+)', 'fortran_order': False, 'shape': \(([^)]*)\), }", header
    )
    assert found
    shape = tuple(int(size) for size in found[2].replace(",", " ").split())
    return found[1], shape, member[10 + length :]


@KINDS
@pytest.mark.parametrize("normalised", [False, True])
def test_the_bytes_are_those_of_the_page(kind: str, normalised: bool) -> None:
    spec = replace(make_spec(kind, normalised=normalised), state_dependent_std=normalised)
    arrays = make_arrays(spec)
    with zipfile.ZipFile(io.BytesIO(policy_bytes(spec, arrays, 7))) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    assert members.keys() == {f"{name}.npy" for name in ("spec", "version", *spec.shapes)}
    for name, wanted in arrays.items():
        descr, shape, numbers = by_hand(members[f"{name}.npy"])
        assert (descr, shape) == ("<f4", wanted.shape)
        assert struct.unpack(f"<{prod(shape)}f", numbers) == tuple(wanted.ravel())
    descr, shape, numbers = by_hand(members["version.npy"])
    assert (descr, shape, struct.unpack("<q", numbers)) == ("<i8", (), (7,))
    descr, shape, numbers = by_hand(members["spec.npy"])
    assert (descr[:2], shape) == ("<U", ())
    assert json.loads(numbers.decode("utf-32-le"))["kind"] == kind


def test_the_page_names_every_field_array_and_kind() -> None:
    told = set(re.findall(r"`([\w.]+)`", "".join(re.findall(r"^\| `.*", PAGE, re.MULTILINE))))
    assert {field.name for field in fields(PolicySpec)} <= told
    for kind in POLICIES:
        for state_dependent in (False, True):
            spec = replace(make_spec(kind, normalised=True), state_dependent_std=state_dependent)
            arrays = {re.sub(r"\d+", "0", name) for name in spec.shapes}  # the first stands for all
            assert {kind, *arrays} - told <= set()


@pytest.mark.parametrize("kind", NETWORK_ALONE)
def test_the_robots_loop_runs_with_numpy_alone(kind: str, tmp_path: Path) -> None:
    (loop,) = (its for its in EXAMPLE.findall(PAGE) if "Robot" in its)
    spec = make_spec(kind, normalised=kind != "gaussian")
    arrays = make_arrays(spec)
    save_policy(str(tmp_path / "policy.npz"), spec, arrays, 7)
    (tmp_path / "my_robot.py").write_text(ROBOT)
    (tmp_path / "robot.py").write_text(loop.replace("1 / 50", "1 / 500"))
    (tmp_path / "seen.json").write_text(json.dumps(observed().tolist()))
    subprocess.run([sys.executable, "robot.py"], cwd=tmp_path, check=True, env={})
    dtype, loaded, done = json.loads((tmp_path / "done.json").read_text())
    assert (dtype, loaded) == ("float32", [])
    wanted = make_policy(spec, spec.flatten(arrays), 7).mean(observed())
    np.testing.assert_allclose(done, wanted, rtol=0, atol=1e-6)
    assert len([line for line in loop.splitlines() if line]) <= 20


def test_the_example_of_onnx_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    spec = make_spec()
    save_policy("policy.npz", spec, make_arrays(spec), 7)
    from awac_dist.cli.main import main

    assert main(["export", "policy.npz", "policy.onnx"]) == 0
    (example,) = (its for its in EXAMPLE.findall(PAGE) if "onnx" in its)
    there: dict[str, np.ndarray] = {}
    exec(example, there)
    wanted = awac_dist.load_policy("policy.npz")(there["observations"])
    np.testing.assert_allclose(there["actions"], wanted, rtol=0, atol=1e-5)
