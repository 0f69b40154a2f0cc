"""Bytes and arrays that are left in their file until they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Stored:
    """Bytes that are still in their file; `bytes(stored)` reads them."""

    path: Path
    start: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __bytes__(self) -> bytes:
        return self.numbers(np.dtype(np.uint8), 0, self.length).tobytes()

    def numbers(self, dtype: np.dtype, first: int, count: int) -> np.ndarray:
        """[count] of the numbers they are, from number `first` on.

        Raises ValueError when the file has become shorter.
        """
        found = np.fromfile(self.path, dtype, count, offset=self.start + first * dtype.itemsize)
        if len(found) < count:
            raise ValueError(f"{self.path}: the file was changed while it was being read")
        return found


@dataclass(frozen=True)
class StoredArray:
    """An array that is still in its file; `read` and `np.asarray` give it, iteration its rows."""

    values: Stored
    dtype: np.dtype
    shape: tuple[int, ...]
    order: str  # "C" or "F"

    def __post_init__(self) -> None:
        size = math.prod(self.shape) * self.dtype.itemsize
        if min(self.shape, default=0) < 0 or size != len(self.values):
            raise ValueError(
                f"expected {list(self.shape)} of {self.dtype}, got {len(self.values)} bytes"
            )

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("an array without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        if self.order == "F" or len(self.shape) == 1:
            yield from self.read()
            return
        each = math.prod(self.shape[1:])
        for i in range(len(self)):
            yield self.values.numbers(self.dtype, i * each, each).reshape(self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.read()
        return array if dtype is None else array.astype(dtype, copy=False)

    def read(self) -> np.ndarray:
        """The array, read now."""
        values = self.values.numbers(self.dtype, 0, math.prod(self.shape))
        return values.reshape(self.shape, order="F" if self.order == "F" else "C")
