"""Files that are never half-written, and pickles that never run code."""

from __future__ import annotations

import os
import pickle
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well.

    On any exception, Ctrl-C included, the temporary file is removed and `path` stays as it was.
    The content is on disk (fsync) before the rename. The suffix is kept, since writers choose
    their format by it.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path}: the folder {path.parent} does not exist; create it or choose another place"
        )
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows cannot open a folder
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# What a pickle of plain containers and numpy arrays asks for; numpy 2 renamed core to _core.
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        asked = module.replace("numpy._core", "numpy.core")
        if (asked, name) in _ALLOWED or (asked == "numpy.dtypes" and name.endswith("DType")):
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(
            f"this pickle asks for {module}.{name}; only numpy arrays and plain containers are "
            "read, because a pickle can run any code. If you trust its maker, convert it to .npz"
        )


def load_pickle(path: str | Path) -> Any:
    """The content of a pickle of plain containers and numpy arrays; nothing in it is run.

    Raises FileNotFoundError, or ValueError naming the file when it is no pickle, is cut short, or
    asks for anything but arrays and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with open(path, "rb") as file:
        return unpickle(file, str(path))


def load_npy_object(path: str | Path) -> Any:
    """The object in a `.npy` file written with allow_pickle=True, read by `load_pickle`'s rules.

    Plain arrays are returned as they are. Errors as `load_pickle`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with open(path, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read_header(file)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path}: expected a .npy file, but {error}") from error
        if not dtype.hasobject:
            file.seek(0)
            return np.load(file, allow_pickle=False)
        content = unpickle(file, str(path))
    return content.item() if isinstance(content, np.ndarray) and shape == () else content


def unpickle(file: BinaryIO, name: str) -> Any:
    """As `load_pickle`, from an open file; `name` is what errors call it."""
    try:
        return _ArraysOnly(file).load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError) as error:
        raise ValueError(f"{name}: not a readable pickle of arrays: {error}") from error
    except (AttributeError, ImportError, TypeError, UnicodeDecodeError, MemoryError) as error:
        raise ValueError(f"{name}: damaged or foreign pickle: {error!r}") from error
