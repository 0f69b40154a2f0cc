"""Pickles of arrays and plain containers, read without running anything that is in them.

A pickle is a program; numpy's own classes are no safe words for it either, since a crafted dtype
makes numpy follow pointers of the file's choosing. So nothing real is handed to the file: where it
asks for numpy it gets the stand-ins below, which take numbers and bytes and check them, and the
arrays are made from those afterwards. Objects of the libraries that published checkpoints come from
become inert notes of what was said about them. Everything else is an error.

A pickle can be many times larger than memory: with `lazy`, long bytes stay in the file, as `Stored`
and `StoredArray`, until they are asked for.
"""

from __future__ import annotations

import os
import pickle
import tokenize
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, NoReturn

import numpy as np
from numpy.lib.npyio import NpzFile

from tapnet.stored import Stored, StoredArray

UNREADABLE = (  # what numpy and zipfile raise, beside ValueError, when a file is damaged
    UnicodeDecodeError,
    TypeError,
    EOFError,
    OSError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
_KINDS = "biufcSUO"  # booleans, numbers, bytes, text; objects only as lists of other values here
_LONG = 4096  # bytes; what is shorter is read at once
_INERT = ("haiku", "jax", "jaxlib", "optax", "chex", "flax")  # never imported, only noted


def load_pickle(path: str | Path, *, lazy: bool = False) -> Any:
    """The content of a pickle of plain containers and numpy arrays; nothing in it is run.

    With `lazy`, bytes of 4 kB and more are `Stored` and arrays of them `StoredArray`. Raises
    FileNotFoundError, or ValueError naming the file when it is no pickle, is cut short, or asks for
    anything but arrays and plain containers.
    """
    path = _existing(path)
    with open(path, "rb") as file:
        return _unpickle(file, str(path), path if lazy else None)


def load_npy_object(path: str | Path) -> Any:
    """The object in a `.npy` file written with allow_pickle=True, read by `load_pickle`'s rules.

    Plain arrays are returned as they are. Errors as `load_pickle`.
    """
    with open(_existing(path), "rb") as file:
        return _npy(file, str(path))


def load_npz(path: str | Path) -> dict[str, Any]:
    """The arrays of an `.npz` file, arrays of objects read by `load_pickle`'s rules.

    Errors as `load_pickle`.
    """
    path = _existing(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            found = {}
            for name in names:
                with archive.open(name) as file:
                    found[name.removesuffix(".npy")] = _npy(file, f"{path}, {name}")
            return found
    except UNREADABLE as error:
        raise ValueError(f"{path}: expected an .npz file, but {error}") from error


@contextmanager
def open_npz(path: Path) -> Iterator[NpzFile]:
    """The arrays of an `.npz` file, each read when it is asked for; none may be of objects.

    Raises OSError when it cannot be opened, ValueError, there or when an array is asked for, when
    it is no `.npz` file or is damaged.
    """
    with open(path, "rb") as file:
        try:
            with NpzFile(file) as arrays:
                yield arrays
        except UNREADABLE as error:
            raise ValueError(f"expected an .npz file, but {error}") from error


def _npy(file: IO[bytes], name: str) -> Any:
    try:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read_header(file)
        if not dtype.hasobject:
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
    except (*UNREADABLE, ValueError, KeyError, MemoryError) as error:
        raise ValueError(f"{name}: expected a .npy file, but {error}") from error
    content = _unpickle(file, name)
    return content.item() if isinstance(content, np.ndarray) and shape == () else content


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return path


def _unpickle(file: IO[bytes], name: str, lazy: Path | None = None) -> Any:
    try:
        return _real(_Reader(file, lazy).load(), {})
    except Exception as error:  # a damaged program can fail in any way; it only ever fails
        why = str(error) or repr(error)
        raise ValueError(f"{name}: not a readable pickle of arrays: {why}") from error


class _DType:
    """Stands in for numpy.dtype."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.dtype = np.dtype(code) if isinstance(code, str) else np.dtype("V1")
        if self.dtype.kind not in _KINDS or self.dtype.shape or self.dtype.names:
            raise pickle.UnpicklingError(f"arrays of {code!r} are not read")

    def set_state(self, state: Any) -> None:
        order = state[1]  # all else in it follows from the code, or is not to be believed
        if self.dtype.kind != "O" and order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)

    def read(self, raw: Any) -> np.ndarray:
        """[n] the values in `raw`, of their own memory."""
        if self.dtype.kind == "O" or not self.dtype.itemsize:
            raise pickle.UnpicklingError(f"bytes of {self.dtype} are not read")
        if isinstance(raw, str):  # as Python 2 wrote bytes
            raw = raw.encode("latin1")
        return np.frombuffer(bytes(raw), self.dtype).copy()


class _Array:
    """Stands in for numpy.ndarray while it is being read."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.order: Any = "C"
        self.values: Any = np.zeros(0)  # an array, one still in its file, or a list of objects

    def set_state(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        self.shape, self.order = tuple(int(n) for n in shape), "F" if fortran else "C"
        is_list = dtype.dtype.kind == "O"
        if isinstance(raw, Stored) and not is_list:
            self.values = StoredArray(raw, dtype.dtype, self.shape, self.order)
        else:
            self.values = list(raw) if is_list and isinstance(raw, list) else dtype.read(raw)

    def real(self, memo: dict[int, Any]) -> np.ndarray | StoredArray:
        if isinstance(self.values, StoredArray):
            return self.values
        if isinstance(self.values, np.ndarray):
            return self.values.reshape(self.shape, order=self.order)
        array = np.empty(len(self.values), object)
        for i, value in enumerate(self.values):
            array[i] = _real(value, memo)
        return array.reshape(self.shape, order=self.order)


class _Noted:
    """An object of a library that is not needed: what was said of it, nothing more."""

    def __init__(self, name: str, said: Any) -> None:
        self.name, self.said = name, [said]

    def set_state(self, state: Any) -> None:
        self.said.append(state)

    def real(self, memo: dict[int, Any]) -> Any:
        """The mapping it was made from, if there was one (Haiku's FlatMapping); else None."""
        flat = [
            part for said in self.said for part in (said if isinstance(said, tuple) else [said])
        ]
        return next((_real(part, memo) for part in flat if isinstance(part, Mapping)), None)


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _scalar(dtype: _DType, raw: Any) -> Any:
    return dtype.read(raw)[0]


def _from_buffer(raw: Any, dtype: _DType, shape: Any, order: str) -> np.ndarray | StoredArray:
    if isinstance(raw, Stored) and dtype.dtype.kind != "O":
        return StoredArray(raw, dtype.dtype, tuple(int(n) for n in shape), order)
    return dtype.read(raw).reshape(shape, order="F" if order == "F" else "C")


def _jax_array(_: Any, __: Any, state: Any, *___: Any) -> _Array:
    array = _Array()
    array.set_state(state)
    return array


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes coded as {encoding!r} are not read")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How early protocols write empty bytes."""
    return b""


def _not_called(*_: Any) -> NoReturn:
    raise pickle.UnpicklingError("numpy.ndarray is not called by pickles of arrays")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _not_called,
    ("numpy", "dtype"): _DType,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("jax._src.array", "_reconstruct_array"): _jax_array,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("__builtin__", "bytes"): _no_bytes,
}


class _Library:
    """A name of a library that is only noted."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *said: Any) -> _Noted:
        return _Noted(self.name, said)


_InPython: Any = pickle._Unpickler  # its steps can be changed


class _Reader(_InPython):
    dispatch: ClassVar[dict[int, Any]] = dict(_InPython.dispatch)

    def __init__(self, file: IO[bytes], lazy: Path | None) -> None:
        """`lazy` is the path of `file` if long bytes are to stay there."""
        super().__init__(file)
        self._file, self._lazy = file, lazy

    def find_class(self, module: str, name: str) -> Any:
        stand_in = _STAND_INS.get((module.replace("numpy.core", "numpy._core"), name))
        if stand_in is not None:
            return stand_in
        if module.split(".")[0] in _INERT:
            return _Library(f"{module}.{name}")
        raise pickle.UnpicklingError(
            f"this pickle asks for {module}.{name}; only numpy arrays and plain containers are "
            "read, because a pickle can run any code. If you trust its maker, convert it to .npz"
        )

    def _call(self, function: Any, arguments: Any) -> Any:
        if function not in _STAND_INS.values() and not isinstance(function, _Library):
            raise pickle.UnpicklingError("this pickle calls something that is no array")
        return function(*arguments)

    def load_frame(self) -> None:
        """A frame only says how much to read ahead, which would hide where in the file we are."""
        self.read(8)

    def load_binbytes(self) -> None:
        self._append_bytes(int.from_bytes(self.read(4), "little"))

    def load_binbytes8(self) -> None:
        self._append_bytes(int.from_bytes(self.read(8), "little"))

    def _append_bytes(self, length: int) -> None:
        if self._lazy is None or length < _LONG:
            self.append(self.read(length))
            return
        start = self._file.tell()
        if start + length > os.fstat(self._file.fileno()).st_size:
            raise pickle.UnpicklingError("pickle data was truncated")
        self._file.seek(length, os.SEEK_CUR)
        self.append(Stored(self._lazy, start, length))

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments)

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _DType | _Array | _Noted):
            raise pickle.UnpicklingError("this pickle changes something that is no array")
        self.stack[-1].set_state(state)

    def refuse(self) -> NoReturn:
        raise pickle.UnpicklingError("this pickle makes objects that are no arrays")

    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.BINBYTES[0]] = load_binbytes
    for opcode in (pickle.BINBYTES8, pickle.BYTEARRAY8):
        dispatch[opcode[0]] = load_binbytes8
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build
    for opcode in (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.PERSID, pickle.BINPERSID):
        dispatch[opcode[0]] = refuse
    for opcode in (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER):
        dispatch[opcode[0]] = refuse


def _real(value: Any, memo: dict[int, Any]) -> Any:
    """The value with arrays in the place of their stand-ins.

    `memo` has what was made of each `id`: a short file can refer to one value 2^60 times.
    """
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, dict):
        out = memo[id(value)] = type(value)()
        out.update((_real(key, memo), _real(item, memo)) for key, item in value.items())
        return out
    if isinstance(value, list):
        items = memo[id(value)] = []
        items.extend(_real(item, memo) for item in value)
        return items
    if isinstance(value, tuple | set | frozenset):
        memo[id(value)] = type(value)(_real(item, memo) for item in value)
        return memo[id(value)]
    if isinstance(value, _Array | _Noted):
        memo[id(value)] = None  # what contains itself ends here
        memo[id(value)] = value.real(memo)
        return memo[id(value)]
    if callable(value) or isinstance(value, _DType):
        raise pickle.UnpicklingError("this pickle holds something that is no array")
    return value
