"""Pickles of arrays are read; all others are refused, and nothing in them is run."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapnet.pickles import load_npy_object, load_npz, load_pickle
from tapnet.stored import Stored, StoredArray

CONTENT = {
    "video": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "frames": [b"jpeg", b"\xff\x00"],
    "points": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "occluded": np.array([True, False]),
    "big": np.array([1, 2], ">i4"),
    "names": np.array(["nose", "tail"]),
    "scalar": np.float32(1.5),
    "mixed": np.array([b"a", None, [np.zeros(2)]], dtype=object),
    "ordered": OrderedDict(a=(1, 2.5, "x"), b={3}),
    "empty": np.zeros((0, 2), np.float32),
}


def assert_same(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        if wanted.dtype != object:
            np.testing.assert_array_equal(found, wanted)
        for a, b in zip(found.flat, wanted.flat, strict=True):
            if wanted.dtype == object:
                assert_same(a, b)
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            assert_same(found[key], wanted[key])
    elif isinstance(wanted, list):
        for a, b in zip(found, wanted, strict=True):
            assert_same(a, b)
    else:
        assert found == wanted


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_containers_come_back_as_they_were(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(CONTENT, protocol=protocol))
    assert_same(load_pickle(path), CONTENT)
    found = load_pickle(path)["video"]
    found[0] = 7  # arrays own their memory and can be written


def test_pickles_of_numpy_one_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pkl"
    path.write_bytes(pickle.dumps(CONTENT["big"], 2).replace(b"numpy._core", b"numpy.core"))
    assert_same(load_pickle(path), CONTENT["big"])


def test_object_and_plain_npy_files_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "tree.npy", np.array(CONTENT, dtype=object), allow_pickle=True)
    assert_same(load_npy_object(tmp_path / "tree.npy"), CONTENT)
    np.save(tmp_path / "plain.npy", CONTENT["points"])
    assert_same(load_npy_object(tmp_path / "plain.npy"), CONTENT["points"])


LONG = {
    "raw": np.random.default_rng(0).integers(0, 256, (5, 40, 30, 3), np.uint8),
    "jpegs": [bytes([i]) * 5000 for i in range(3)],
    "padded": np.array([bytes([i]) * 5000 for i in (1, 2)]),
    "objects": np.array([b"a" * 9000, b"b" * 10], dtype=object),
    "fortran": np.asfortranarray(np.arange(2000.0).reshape(40, 50)),
    "short": np.arange(3),
}


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_long_bytes_stay_in_the_file_until_they_are_asked_for(
    protocol: int, tmp_path: Path
) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(LONG, protocol=protocol))
    found = load_pickle(path, lazy=True)
    for name in ("raw", "padded", "fortran"):
        assert isinstance(found[name], StoredArray)
        assert (found[name].shape, len(found[name])) == (LONG[name].shape, len(LONG[name]))
        np.testing.assert_array_equal(np.asarray(found[name]), LONG[name])
        np.testing.assert_array_equal(list(found[name]), LONG[name])
    assert all(isinstance(jpeg, Stored) for jpeg in found["jpegs"])
    assert [bytes(jpeg) for jpeg in found["jpegs"]] == LONG["jpegs"]
    assert isinstance(found["objects"][0], Stored)
    assert found["objects"][1] == b"b" * 10
    np.testing.assert_array_equal(found["short"], LONG["short"])
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"data\.pkl: not a readable pickle"):
        load_pickle(path, lazy=True)


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(LONG["raw"], protocol=4))
    found = load_pickle(path, lazy=True)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"data\.pkl: the file was changed while"):
        found.read()


def test_objects_in_an_npz_are_read_by_the_same_rules(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    frames = np.array([b"a" * 9, b"b"], dtype=object)
    np.savez(path, frames=frames, tracks=np.arange(6.0).reshape(2, 3))
    found = load_npz(path)
    assert list(found["frames"]) == list(frames)
    np.testing.assert_array_equal(found["tracks"], np.arange(6.0).reshape(2, 3))
    np.savez(path, frames=np.array([Touch(tmp_path / "ran")], dtype=object))
    with pytest.raises(ValueError, match=r"data\.npz, frames\.npy: not a readable pickle"):
        load_npz(path)
    assert not (tmp_path / "ran").exists()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"data\.npz: expected an \.npz file"):
        load_npz(path)


def told_of_damage(path: Path, read: Callable[[Path], object], every: int = 1) -> list[str]:
    """The ValueErrors of `read` when a bit of one byte is wrong; all other errors are raised."""
    told, whole = [], path.read_bytes()
    for place in range(0, len(whole), every):
        for bit in (8, 16):
            damaged = bytearray(whole)
            damaged[place] ^= bit
            path.write_bytes(damaged)
            try:
                read(path)
            except ValueError as error:
                told.append(str(error))
    path.write_bytes(whole)
    return told


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_damaged_byte_gives_other_numbers_or_is_named(kind: str, tmp_path: Path) -> None:
    path, numbers = tmp_path / f"data.{kind}", np.arange(24.0).reshape(4, 6)
    read: Any = load_npy_object if kind == "npy" else load_npz
    if kind == "npy":
        np.save(path, numbers)
    else:
        np.savez_compressed(path, numbers=numbers)
    told = told_of_damage(path, read)
    assert told
    assert all(line.startswith(str(path)) for line in told)


def op(*parts: bytes) -> bytes:
    return b"".join(parts) + b"."


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


class Touch:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


HOSTILE = {
    "a function": op(name("os", "system"), b"(S'true'\ntR"),
    "a builtin": op(name("builtins", "eval"), b"(S'1'\ntR"),
    "numpy's own loader": op(name("numpy", "load"), b"(S'x'\ntR"),
    "an array over given memory": op(name("numpy", "ndarray"), b"(I1\nS'O'\ntR"),
    "a dtype with fields": op(name("numpy", "dtype"), b"(S'i4,O'\nI0\nI1\ntR"),
    "a void dtype": op(name("numpy", "dtype"), b"(S'V8'\nI0\nI1\ntR"),
    "objects from bytes": op(
        name("numpy.core.multiarray", "scalar"),
        b"(",
        name("numpy", "dtype"),
        b"(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbS'AAAAAAAA'\ntR",
    ),
    "a changed stand-in": op(name("numpy", "dtype"), b"(S'f4'\nd", b"b"),
    "an instance": op(b"(S'x'\niposixpath\njoin\n"),
    "a stand-in kept": op(name("numpy", "ndarray")),
    "another encoding": op(name("_codecs", "encode"), b"(S'x'\nS'zip'\ntR"),
    "an encoding there is not": op(name("_codecs", "encode"), b"(S'x'\nS'nope'\ntR"),
    "a huge promise": b"\x80\x04\x8e" + (2**63 - 1).to_bytes(8, "little") + b"x.",
    "a list of itself in an array": op(b"]", b"q\x00h\x00", b"a0"),
    "nothing": b"",
    "no end": pickle.dumps(CONTENT)[:-40],
    "text": b"hello, this is not a pickle",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_not_arrays_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pkl"
    path.write_bytes(HOSTILE[what])
    with pytest.raises(ValueError, match=r"file\.pkl: not a readable pickle of arrays"):
        load_pickle(path)


def test_a_bomb_does_not_go_off_even_deep_inside(tmp_path: Path) -> None:
    trace, path = tmp_path / "ran", tmp_path / "bomb.pkl"
    bomb = {"davis": [np.array([Touch(trace)], dtype=object)]}
    path.write_bytes(pickle.dumps(bomb))
    with pytest.raises(ValueError, match=r"asks for (posix|nt|os)\.mkdir; only numpy arrays"):
        load_pickle(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists()


@pytest.mark.parametrize("twice", [b"(h\x00h\x00t", b"(h\x00h\x00l", b"(K\x00h\x00K\x01h\x00d"])
def test_what_is_referred_to_often_is_read_once(twice: bytes, tmp_path: Path) -> None:
    """Each of 60 tuples, lists or dicts holds the one before twice: 2^60 in all."""
    path = tmp_path / "deep.pkl"
    path.write_bytes(op(b"\x80\x02N", (b"q\x000" + twice) * 60))
    value = load_pickle(path)
    for _ in range(60):
        assert value[0] is value[1]
        value = value[0]
    assert value is None


def test_damage_anywhere_is_an_error_or_other_numbers_but_never_a_crash(tmp_path: Path) -> None:
    path, whole = tmp_path / "damaged.pkl", bytearray(pickle.dumps(CONTENT, protocol=2))
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 3):
            damaged[place] = generator.integers(256)
        path.write_bytes(bytes(damaged))
        with contextlib.suppress(ValueError):  # anything else, or a crash, fails the test
            load_pickle(path)


def test_objects_of_the_checkpoints_libraries_are_noted_not_made(tmp_path: Path) -> None:
    """Haiku's FlatMapping gives its mapping, jax arrays their numbers, optimiser states nothing."""
    path = tmp_path / "haiku.pkl"
    mapping = pickle.dumps({"w": np.arange(3.0)}, protocol=2)[2:-1]
    tree = (
        b"}(S'params'\n"
        + name("haiku._src.data_structures", "FlatMapping")
        + b"("
        + mapping.replace(b"q", b"q")  # memo numbers may repeat: nothing refers to them again
        + b"tRS'opt_state'\n"
        + name("optax._src.transform", "ScaleByAdamState")
        + b"(I1\ntRu"
    )
    path.write_bytes(op(b"\x80\x02", tree))
    found = load_pickle(path)
    np.testing.assert_array_equal(found["params"]["w"], np.arange(3.0))
    assert found["opt_state"] is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.pkl: no such file"):
        load_pickle(tmp_path / "nothing.pkl")
