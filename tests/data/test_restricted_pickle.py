"""Pickles stay data: what a trajectory file holds is read, whatever else is refused by name."""

import collections
import io
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awac_dist import files
from awac_dist.data.formats import restricted_pickle
from awac_dist.data.formats.restricted_pickle import load_npy, load_pickle, loads
from awac_dist.data.formats.trajectories import AWAC_NPY
from awac_dist.errors import InputError
from awac_dist.files import head

HARMLESS = {
    "array": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">f8"),
    "empty": np.zeros((0, 3)),
    "flags": np.array([True, False]),
    "text": np.array(["ab", "c"]),
    "objects": np.array([{"q": [1]}, [2], None], object),
    "scalars": [np.float32(0.1), np.int64(-3), np.bool_(True)],
    "numbers": [1, -1, 255, 70_000, 2**40, 10**30, 1.5, True, None],
    "bytes": [b"", b"\x00\xff", "é", "'quoted'\n"],
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "ordered": {"a": 1},
}


def assert_same(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert list(found) == list(wanted)
        wanted, found = list(wanted.values()), list(found.values())
    if isinstance(wanted, np.ndarray):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        wanted, found = wanted.ravel().tolist(), found.ravel().tolist()
    if isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for ours, theirs in zip(found, wanted, strict=True):
            assert_same(ours, theirs)
    else:
        assert found == wanted


@pytest.mark.parametrize("protocol", range(6))
def test_what_trajectories_hold_is_read_as_python_reads_it(protocol: int) -> None:
    assert_same(loads(pickle.dumps(HARMLESS, protocol), "here"), HARMLESS)


@pytest.mark.parametrize("protocol", range(6))
def test_an_ordered_dict_is_read_as_a_dict(protocol: int) -> None:
    ordered = collections.OrderedDict(a=1, b=[2])
    assert loads(pickle.dumps(ordered, protocol), "here") == {"a": 1, "b": [2]}


def test_what_is_shared_stays_shared() -> None:
    shared = np.arange(3.0)
    first, second = loads(pickle.dumps([shared, shared]), "here")
    assert first is second


PYTHON_2 = (  # pickle.dumps([numpy.array([1.0, -2.0])], protocol) of Python 2.7, NumPy 1.16
    b"(lp0\ncnumpy.core.multiarray\n_reconstruct\np1\n(cnumpy\nndarray\np2\n(I0\ntp3\nS'b'\np4\n"
    b"tp5\nRp6\n(I1\n(I2\ntp7\ncnumpy\ndtype\np8\n(S'f8'\np9\nI0\nI1\ntp10\nRp11\n(I3\nS'<'\np12\n"
    b"NNNI-1\nI-1\nI0\ntp13\nbI00\n"
    b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\xc0'\np14\ntp15\nba."
)


def test_a_python_2_pickle_is_read_as_latin1() -> None:
    [array] = loads(PYTHON_2, "here")
    np.testing.assert_array_equal(array, [1.0, -2.0])
    [array] = loads(PYTHON_2.replace(b"\\xf0", b"\xf0"), "here")  # an unescaped byte
    np.testing.assert_array_equal(array, [1.0, -2.0])


# Attacks.


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


class Subclass(np.ndarray[Any, Any]):
    pass


class Persistent(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return "anything" if obj is None else None


def persistent(protocol: int) -> bytes:
    file = io.BytesIO()
    Persistent(file, protocol).dump([None])
    return file.getvalue()


def stack_global(module: str, name: str, tail: bytes = b".") -> bytes:
    short = [b"\x8c" + bytes([len(s)]) + s.encode() for s in (module, name)]
    return b"\x80\x04" + short[0] + short[1] + b"\x93" + tail


RECONSTRUCT = np.zeros(1).__reduce__()[0]
RECONSTRUCTOR = object().__reduce_ex__(0)[0]
CREATE = {
    "os.system": lambda witness: Call(os.system, f"touch {witness}"),
    "builtins.eval": lambda witness: Call(eval, f"open({str(witness)!r}, 'w')"),
    "builtins.getattr": lambda witness: Call(getattr, "text", "format"),
    "numpy.load": lambda witness: Call(np.load, str(witness), None, True),
    "numpy.frombuffer": lambda witness: Call(np.frombuffer, b"12345678"),
    "numpy.fromfile": lambda witness: Call(np.fromfile, "/etc/hostname"),
    "copyreg._reconstructor": lambda witness: Call(RECONSTRUCTOR, object, object, None),
    "Subclass": lambda witness: Call(RECONSTRUCT, Subclass, (0,), b"b"),
}


@pytest.mark.parametrize("wanted", CREATE)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("nested", [False, True])
def test_what_would_run_is_refused_by_name_and_nothing_runs(
    tmp_path: Path, wanted: str, protocol: int, nested: bool
) -> None:
    witness, path = tmp_path / "witness", tmp_path / "evil.pickle"
    attack = CREATE[wanted](witness)
    if nested:
        attack = [{"observations": np.array([attack, None], object)}]
    path.write_bytes(pickle.dumps(attack, protocol))
    _, _, name = wanted.rpartition(".")
    shown = {"os.system": "posix.system", "Subclass": "Subclass"}.get(wanted, f".{name}")
    with pytest.raises(InputError, match="wants to import") as refusal:
        load_pickle(str(path))
    message = str(refusal.value)
    assert str(path) in message
    assert shown in message
    assert "refused; convert it" in message
    assert "\n" not in message
    assert not witness.exists()


def test_the_attack_would_have_run(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Call(os.system, f"touch {tmp_path / 'witness'}")))
    assert (tmp_path / "witness").exists()


def test_an_attack_inside_an_object_array_of_an_npy_file_is_refused(tmp_path: Path) -> None:
    witness, path = tmp_path / "witness", tmp_path / "evil.npy"
    array = np.array([{"actions": Call(os.system, f"touch {witness}")}], object)
    np.save(path, array, allow_pickle=True)
    with pytest.raises(InputError, match=r"evil.npy: wants to import posix.system"):
        load_npy(str(path))
    assert not witness.exists()


ARRAY = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntB\x01\x00\x00\x00btR"
F8 = b"cnumpy\ndtype\n(X\x02\x00\x00\x00f8I00\nI01\ntR(I3\nX\x01\x00\x00\x00<NNNI-1\nI-1\nI0\ntb"
OBJECTS = F8.replace(b"f8", b"O8").replace(b"<", b"|")


def filled(shape: bytes, dtype: bytes, content: bytes) -> bytes:
    return ARRAY + b"(I1\n" + shape + dtype + b"I00\n" + content + b"tb."


def test_the_parts_of_the_attacks_are_an_array() -> None:
    np.testing.assert_array_equal(
        loads(filled(b"(I1\nt", F8, b"C\x08" + struct.pack("<d", 2.5)), "here"), [2.5]
    )


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (persistent(0), "PERSID"),
        (persistent(2), "BINPERSID"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02\x83\x01\x00.", "EXT2"),
        (b"\x80\x02\x84\x01\x00\x00\x00.", "EXT4"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"(ios\nsystem\n.", r"import os\.system"),
        (b"(cos\nsystem\nS'ls'\no.", r"import os\.system"),
        (b"(cnumpy\nndarray\nI1\no.", "OBJ"),
        (b"cnumpy\nndarray\n(I9\nt\x81.", "NEWOBJ"),
        (b"cnumpy\nndarray\n(I9\ntR.", "named, not called"),
        (b"\x80\x04cnumpy\nndarray\n)}\x92.", "NEWOBJ_EX"),
        (stack_global("os", "system"), r"import os\.system"),
        (stack_global("os", "path.join.__globals__"), r"import os\.path\.join\.__globals__"),
        (stack_global("numpy", "ndarray.__class__"), r"import numpy\.ndarray\.__class__"),
        (stack_global("numpy", "ndarray.tofile"), r"import numpy\.ndarray\.tofile"),
        (b"\x80\x04\x8c\x02os]\x93.", "a name to import"),
        (stack_global("a\nb", "c\x1b[2J"), r"import a\\nb\.c\\x1b"),
        (b"cnumpy\ndtype\n(S'V8'\ntR.", "a plain dtype"),
        (b"cnumpy\ndtype\n(S'f8,O'\ntR.", "a plain dtype"),
        (b"cnumpy\ndtype\n((lS'a'\natR.", "a plain dtype"),
        (b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.", "latin1 text"),
        (b"c_codecs\nencode\n(S'x'\nS'zlib_codec'\ntR.", "latin1 text"),
        (ARRAY + b"}S'__class__'\ncnumpy\nndarray\nsb.", "content of an array"),
        (b"]}S'append'\nNsb.", "an array to fill"),
        (b"cnumpy\ndtype\n}S'build'\nNsb.", "an array to fill"),
        (filled(b"(I1\nt", OBJECTS, b"C\x08" + b"A" * 8), "as many objects"),
        (filled(b"(I1\nt", F8, b"(lI1\na"), "the bytes of an array"),
        (filled(b"(I2\nt", F8, b"C\x08" + b"A" * 8), "as many bytes"),
        (filled(b"(I-1\nt", F8, b"C\x08" + b"A" * 8), "a shape"),
        (filled(b"(I1000000000\nt", F8, b"C\x00"), "would unpack to more than"),
        (filled(b"(I1000000000\nI0\nt", F8, b"C\x08" + b"A" * 8), "as many bytes"),
        (ARRAY.replace(b"(cnumpy\nndarray", b"(cnumpy\ndtype") + b".", "no subclass of it"),
        pytest.param(b"(" * 1_000_001 + b".", "fewer marks", id="marks"),
        pytest.param(b"N" * 1_000_001 + b".", "fewer values", id="values"),
        (b"N2" * 5 + b".", "DUP"),
        (b"}((((tttI1\ns.", "key of a dict"),
        (b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f.", "too early|exceeds"),
        (b"B\xff\xff\xff\xff.", "too early"),
        (b"X\xff\xff\xff\xff.", "too early"),
        (filled(b"(I0\nt", F8, b"C\x00")[:-1] + b"(I1\n(I0\nt" + OBJECTS + b"I00\n]tb.", "to fill"),
        (b"h\x05.", "5"),
        (b"0.", "pop from empty"),
        (b"t.", "pop from empty"),
        (b".", "pop from empty"),
        (b"", "too early"),
        (b"I" + b"9" * 5000 + b"\n.", "digits"),
        (b"\xfe", "expected a pickle"),
    ],
)
def test_a_crafted_pickle_is_refused(data: bytes, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted) as refusal:
        loads(data, "evil.pickle")
    assert str(refusal.value).startswith("evil.pickle: ")
    assert "\n" not in str(refusal.value)


BOMBS = {
    "a memo of two billion places": b"N" + b"r\xff\xff\xff\x7f" + b".",
    "text encoded again and again": b"X"
    + struct.pack("<I", 100_000)
    + b"a" * 100_000
    + b"q\x000"
    + b"("
    + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 400
    + b"t.",
    "a buffer of eight exabytes": b"\x80\x05\x96" + b"\x00" * 7 + b"\x70.",
    "a stack of marks": b"(" * 3_000_000 + b".",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_does_not_fill_the_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "UNPACKED_BYTES", 1 << 20)
    tracemalloc.start()
    try:
        outcome = loads(BOMBS[name], "bomb.pickle")
    except InputError:
        outcome = None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcome is None
    assert peak < 60_000_000


def test_nesting_as_deep_as_the_file_is_long_neither_crashes_nor_recurses() -> None:
    assert isinstance(loads(b"]" * 200_000 + b"a" * 199_999 + b".", "deep"), list)


def nested(depth: int, between: tuple[bytes, bytes] = (b"", b"")) -> bytes:
    """Object arrays within object arrays, each freed by a call from within the one around it."""
    opening, closing = between
    level = ARRAY + b"(I1\n(I1\nt" + OBJECTS + b"I00\n]" + opening
    return level * depth + b"N" + (closing + b"atb") * depth + b"."


def test_arrays_within_arrays_do_not_overflow_the_stack_when_they_are_freed() -> None:
    with pytest.raises(InputError, match="arrays within arrays at most 100 deep"):
        loads(nested(50_000), "deep.pickle")
    assert isinstance(loads(nested(100), "deep.pickle"), np.ndarray)
    assert isinstance(loads(nested(40_000, (b"]", b"a")), "deep.pickle"), np.ndarray)


# .npy.


def test_the_entries_of_an_npy_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "paths.npy"
    entries = [{"actions": np.arange(3.0)}, {"actions": [1, 2]}]
    np.save(path, np.array(entries, object), allow_pickle=True)
    assert restricted_pickle.holds_objects(str(path))
    for ours, theirs in zip(load_npy(str(path)), entries, strict=True):
        assert_same(ours, theirs)


def damaged_npy(kind: str) -> bytes:
    file = io.BytesIO()
    array = np.arange(4.0) if kind == "numbers" else np.array([{"a": 1}, {"a": 2}], object)
    np.save(file, array, allow_pickle=True)
    whole = file.getvalue()
    return {
        "numbers": whole,
        "no content": whole[:128],
        "cut": whole[:-9],
        "header cut": whole[:40],
        "text": b"these are no trajectories\n",
        "other shape": whole.replace(b"(2,)", b"(3,)"),
        "evil header": whole.replace(b"'|O'", b"f(1)"),
        "version": whole[:6] + b"\x09" + whole[7:],
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["numbers", "no content", "cut", "header cut", "text", "other shape", "evil header", "version"],
)
def test_a_damaged_npy_file_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "damaged.npy"
    path.write_bytes(damaged_npy(kind))
    with pytest.raises(InputError, match=r"damaged\.npy: ") as refusal:
        load_npy(str(path))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("load", [load_pickle, load_npy])
def test_no_file_and_a_folder_are_refused(tmp_path: Path, load: Any) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="cannot be opened"):
            load(str(path))
        assert not AWAC_NPY.recognises(str(path))
        assert head(str(path), 4) == b""


# Chance.


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from([0, 2, 4, 5]))
def test_a_corrupted_pickle_is_data_or_an_error(data: st.DataObject, protocol: int) -> None:
    whole = bytearray(pickle.dumps(HARMLESS, protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)) | st.just(len(whole)))
    try:
        loads(bytes(whole[:cut]), "here")
    except InputError as error:
        message = str(error)
    else:
        return
    assert "\n" not in message


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_data_or_an_error(data: bytes) -> None:
    try:
        loads(data, "here")
    except InputError as error:
        message = str(error)
    else:
        return
    assert "\n" not in message
