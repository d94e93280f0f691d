"""Checkpoints: whole or absent, read by any machine, and honest about damage."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from awac_dist import files
from awac_dist.errors import InputError, RunFailed
from awac_dist.files import read_file, resolve, seal, sealed, write_file
from awac_dist.learner.checkpoint import (
    PROGRESS,
    STATE,
    load_checkpoint,
    load_progress,
    newest_whole,
    save_checkpoint,
)
from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.npz import POLICY, find_policy, read_policy
from awac_dist.policies.spec import PolicySpec

SPEC = PolicySpec("gaussian", (2, 1), (-1.0,), (1.0,))
VECTOR = np.arange(4, dtype=np.float32)


def save(folder: str, grad_steps: int, *, keep: int = 3, **state: Any) -> str:
    progress = {"grad_steps": grad_steps, "elapsed_s": 0.1 + 0.2, "return": float("-inf")}
    acting = SPEC, {name: torch.tensor(part) for name, part in SPEC.unflatten(VECTOR).items()}
    return save_checkpoint(folder, grad_steps, state, progress, acting, keep=keep)


def damage(path: str, at: int = 100) -> None:
    content = bytearray(read_file(path))
    content[at % len(content)] ^= 1
    write_file(path, bytes(content))


def test_all_of_a_checkpoint_comes_back(place: str) -> None:
    path = save(place, 7, weights=torch.arange(3.0), n=[1, "two", (3.5, torch.tensor(4))])
    assert path == f"{place}/000000007"
    state = load_checkpoint(path)
    assert torch.equal(state["weights"], torch.arange(3.0))
    assert state["n"] == [1, "two", [3.5, torch.tensor(4)]]
    wanted = {"grad_steps": 7, "elapsed_s": 0.1 + 0.2, "return": float("-inf")}
    assert load_progress(path) == wanted
    policy = read_policy(find_policy(path))
    assert isinstance(policy, NetworkPolicy)
    assert (policy.spec, policy.version) == (SPEC, 7)
    np.testing.assert_array_equal(SPEC.flatten(policy.arrays), VECTOR)


def test_what_was_written_on_a_gpu_is_read_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        path = save(str(tmp_path), 1, weights=torch.arange(3.0))
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(io.BytesIO(read_file(f"{path}/{STATE}")), weights_only=True)
    assert torch.equal(load_checkpoint(path)["weights"], torch.arange(3.0))


def test_every_tensor_is_brought_to_the_cpu_before_it_is_written(tmp_path: Path) -> None:
    class OnGpu(torch.Tensor):
        """Says that it is on a GPU, and does not let itself be written."""

        def cpu(self) -> torch.Tensor:  # type: ignore[override]
            return torch.ones(2)

        def __reduce_ex__(self, protocol: Any) -> Any:
            raise AssertionError("written as it was")

    there = torch.zeros(2).as_subclass(OnGpu)
    path = save(str(tmp_path), 1, nested={"a": [there]})
    assert torch.equal(load_checkpoint(path)["nested"]["a"][0], torch.ones(2))


def test_progress_and_policy_are_read_without_torch(tmp_path: Path) -> None:
    save(str(tmp_path / "checkpoints"), 5)
    code = (
        "import sys; from awac_dist.learner.checkpoint import *;"
        "from awac_dist.policies.npz import *;"
        f"path = newest_whole({str(tmp_path / 'checkpoints')!r});"
        f"read_policy(find_policy({str(tmp_path)!r}));"
        "print(load_progress(path)['grad_steps'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "False"]


def test_the_newest_stay_and_the_list_keeps_the_scheme(place: str) -> None:
    for grad_steps in (0, 90, 90, 1_000_000_000, 200):
        save(place, grad_steps, keep=3)
    names = ["000000200", "1000000000"]
    assert [path.rsplit("/", 1)[1] for path in sealed(place)][-2:] == names
    for grad_steps in (2_000_000_000, 2_000_000_001, 2_000_000_001):
        newest = save(place, grad_steps, keep=2)
    found = sealed(place)
    assert found == [f"{place}/2000000000", f"{place}/2000000001-1"]
    assert newest == found[-1] == newest_whole(place)
    assert load_progress(found[0])["grad_steps"] == 2_000_000_000


@pytest.mark.parametrize("written", range(4))
def test_one_that_is_cut_off_leaves_the_others_as_they_were(
    place: str, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """After any number of its files, also where there was one of as many updates."""
    older, old = save(place, 1), save(place, 2, weights=torch.ones(1))
    with monkeypatch.context() as patch:
        left = [written]

        def write(path: str, content: bytes) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            write_file(path, content)

        patch.setattr(files, "write_file", write)
        for grad_steps in (2, 3):
            with pytest.raises(RunFailed, match=r"cannot be written: No space left .* make room"):
                save(place, grad_steps)
    assert sealed(place) == [older, old]
    assert newest_whole(place) == old
    assert torch.equal(load_checkpoint(old)["weights"], torch.ones(1))
    newest = save(place, 3, keep=2)
    assert sealed(place) == [old, newest]
    filesystem, name = resolve(place)
    assert len(filesystem.get_file_info(files.fs.FileSelector(name))) == 2


@pytest.mark.parametrize("part", [STATE, POLICY, PROGRESS, "manifest.json"])
def test_a_flipped_byte_is_noticed_and_the_one_before_goes_on(place: str, part: str) -> None:
    older, newest = save(place, 1), save(place, 2)
    damage(f"{newest}/{part}", at=20)
    notes: list[str] = []
    assert newest_whole(place, notes.append) == older
    (line,) = notes
    assert newest in line
    assert line.endswith("; it is set aside")
    assert sealed(place) == [older]
    assert read_file(f"{newest}/{STATE}")  # nothing is lost
    again = save(place, 2, keep=1)
    assert (again, newest_whole(place)) == (f"{newest}-1", again)
    assert read_file(f"{newest}/{STATE}")


@pytest.mark.parametrize("at", [0, 60, 500, 900, -30, -1])
def test_no_flipped_byte_is_taken_for_numbers(tmp_path: Path, at: int) -> None:
    path = save(str(tmp_path), 1, weights=torch.arange(300.0))
    for part, read in (
        (STATE, load_checkpoint),
        (POLICY, lambda path: read_policy(f"{path}/{POLICY}")),
        (PROGRESS, load_progress),
    ):
        damage(f"{path}/{part}", at)
        with pytest.raises(InputError, match=f"{path}/{part}: is damaged"):
            read(path)


def test_where_all_are_damaged_one_line_says_so(place: str) -> None:
    for grad_steps in (1, 2):
        damage(f"{save(place, grad_steps)}/{STATE}")
    with pytest.raises(InputError, match=r"every checkpoint is damaged: .*002/.*001/") as caught:
        newest_whole(place)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "7", '{"grad_steps": "7"}'])
def test_progress_that_says_nothing_is_one_line(text: str, tmp_path: Path) -> None:
    seal(str(tmp_path / "7"), {PROGRESS: text.encode()})
    with pytest.raises(InputError, match=r"progress.json: does not say .*: remove .*/7, to go on"):
        load_progress(str(tmp_path / "7"))


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()
    with pytest.raises(InputError, match="checkpoints: cannot be read: Not a directory"):
        newest_whole(str(tmp_path / "checkpoints"))


def test_where_there_is_none_there_is_none(place: str) -> None:
    assert (sealed(place), newest_whole(place)) == ([], None)
    with pytest.raises(InputError, match=r"neither .* nor the folder of a run"):
        find_policy(place)


class Bytes:
    """A pickle of so many bytes that are not in it."""

    def __reduce__(self) -> Any:
        return bytearray, (4 << 30,)


def nested_key() -> dict[Any, int]:
    key: Any = ()
    for _ in range(500):
        key = (key,)
    return {key: 1}


HOSTILE: dict[str, tuple[Any, str]] = {
    "bytes": (Bytes(), r"wants to import (__builtin__|builtins)\.bytearray"),
    "a module": (torch.nn.Linear(1, 1), r"wants to import torch\.nn"),
    "a key of tuples": (nested_key(), "text or a number as the key"),
    "one number, shown often": ({"a": torch.zeros(1).expand(1 << 30)}, "would unpack to more than"),
    "two of them": (
        [torch.zeros(1).expand(1 << (23 + n)) for n in (0, 1, 2)],
        "would unpack to more than",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_state_that_is_more_than_data_is_one_line(tmp_path: Path, name: str) -> None:
    content, wanted = HOSTILE[name]
    torch.save(content, tmp_path / STATE)
    with pytest.raises(InputError, match=wanted) as refused:
        load_checkpoint(str(tmp_path))
    assert str(tmp_path / STATE) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_state_that_is_packed_to_nothing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "UNPACKED_BYTES", 1 << 20)
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "whole")
    deflated = zipfile.ZipFile(tmp_path / STATE, "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "whole") as whole, deflated as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    with pytest.raises(InputError, match="would unpack to more than"):
        load_checkpoint(str(tmp_path))


def test_tensors_that_share_numbers_go_on_sharing_them_and_all_types_are_read(
    tmp_path: Path,
) -> None:
    both = torch.arange(12.0).reshape(3, 4)
    whole = {"rows": both, "columns": both.T, "last": both[2, 1:], "none": torch.zeros(0, 3)}
    for name in ("float64", "float16", "bfloat16", "int64", "int16", "int8", "uint8", "bool"):
        whole[name] = torch.tensor([0, 1, 1]).to(getattr(torch, name))
    torch.save(whole, tmp_path / STATE)
    found = load_checkpoint(str(tmp_path))
    for name, tensor in whole.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    found["rows"][2, 3] = 99
    assert found["columns"][3, 2] == found["last"][2] == 99


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff"])
def test_damaged_progress_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PROGRESS).write_bytes(content)
    with pytest.raises(InputError, match=f"{PROGRESS}: cannot be read"):
        load_progress(str(tmp_path))
