"""TFRecord files of tf.train.Example, read without TensorFlow.

A file is a row of records: length (8 bytes), masked CRC-32C of it (4), data, masked CRC-32C (4).
The data is a protocol buffer: Example{1: Features{1: {1: key, 2: Feature} ...}}, where a Feature
holds bytes (1), floats (2) or integers (3). Only the features asked for are decoded.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

Feature = list[bytes] | np.ndarray  # bytes as they are; floats [n] float32, integers [n] int64

_POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed
_LANES = 1024  # blocks whose checksums are computed side by side


def records(path: str | Path, *, check: bool = False) -> Iterator[bytes]:
    """The records of a file, one in memory at a time; `check` verifies the checksum of their data.

    Raises FileNotFoundError, or ValueError naming the file and the place where it is damaged.
    """
    end = _size(path)
    with open(path, "rb") as file:
        while (length := _length(file, path, end)) is not None:
            yield _data(file, path, length, check)


def places(path: str | Path) -> list[int]:
    """Where the records of a file begin, in bytes, for `read_at`; their data is not read.

    Raises as `records` does.
    """
    end, found = _size(path), []
    with open(path, "rb") as file:
        while (length := _length(file, path, end)) is not None:
            found.append(file.tell() - 12)
            file.seek(length + 4, os.SEEK_CUR)
    return found


def read_at(path: str | Path, place: int, *, check: bool = False) -> bytes:
    """The record that begins at byte `place`. Raises as `records` does."""
    end = _size(path)
    with open(path, "rb") as file:
        file.seek(place)
        length = _length(file, path, end)
        if length is None:
            raise ValueError(f"{path}: expected a record at byte {place}, the file ends there")
        return _data(file, path, length, check)


def _size(path: str | Path) -> int:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: expected a TFRecord file, no such file; check the path")
    return os.path.getsize(path)


def _length(file: BinaryIO, path: str | Path, end: int) -> int | None:
    """Of the data of the record that begins here, leaving the file at the data; None at the end."""
    place = file.tell()
    head = file.read(12)
    if not head:
        return None
    if len(head) < 12 or _masked(crc32c(head[:8])) != struct.unpack("<I", head[8:])[0]:
        raise ValueError(
            f"{path}: expected a TFRecord at byte {place}, found something else; "
            "the file is damaged or of another kind, copy it again"
        )
    length: int = struct.unpack("<Q", head[:8])[0]
    if file.tell() + length + 4 > end:
        raise ValueError(
            f"{path}: the record at byte {place} has {length} bytes, the file ends before; "
            "it is cut short, copy it again"
        )
    return length


def _data(file: BinaryIO, path: str | Path, length: int, check: bool) -> bytes:
    """The data of the record the file stands in, leaving the file after it."""
    place = file.tell() - 12
    data = file.read(length)
    (stored,) = struct.unpack("<I", file.read(4))
    if check and _masked(crc32c(data)) != stored:
        raise ValueError(
            f"{path}: the checksum of the record at byte {place} is wrong; "
            "the file is damaged, copy it again"
        )
    return data


def parse(record: bytes, wanted: Collection[str]) -> dict[str, Feature]:
    """Those features of a tf.train.Example whose names are in `wanted`.

    Raises ValueError when the bytes are no Example.
    """
    found: dict[str, Feature] = {}
    try:
        for number, features in _fields(memoryview(record)):
            if number != 1:
                continue
            for _, entry in _fields(_message(features)):
                parts = dict(_fields(_message(entry)))
                name = bytes(_message(parts[1])).decode()
                if name in wanted:
                    found[name] = _feature(_message(parts[2])) if 2 in parts else []
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"not a tf.train.Example: {error!r}") from error
    return found


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("not a tf.train.Example: a number stands where a message should")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """(field number, value) of each field of a protocol buffer message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"not a tf.train.Example: wire type {kind} at byte {at}")
        if at + size > len(data):
            raise ValueError(f"not a tf.train.Example: a field of {size} bytes is cut short")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """(value, place after it)."""
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _feature(data: memoryview) -> Feature:
    for kind, values in _fields(data):
        parts = [value for number, value in _fields(_message(values)) if number == 1]
        if kind == 1:
            return [bytes(_message(part)) for part in parts]
        if kind == 2:  # packed or not, the bytes in a row are the same
            return np.frombuffer(b"".join(_message(part) for part in parts), "<f4").copy()
        if kind == 3:
            return np.array([number for part in parts for number in _integers(part)], np.int64)
    return []


def _integers(part: memoryview | int) -> Iterator[int]:
    """Signed 64-bit integers, one or packed."""
    values, at = [part] if isinstance(part, int) else [], 0
    if not isinstance(part, int):
        while at < len(part):
            value, at = _varint(part, at)
            values.append(value)
    for value in values:
        assert isinstance(value, int)
        yield value - 2**64 if value >= 2**63 else value


# ------------------------------------------------------------------------------- checksum


def _masked(crc: int) -> int:
    """As TFRecord stores it."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of `data`.

    Blocks are done side by side in numpy, then joined: the checksum of a block followed by zeros
    is a linear map of the checksum of the block.
    """
    if len(data) < 4:
        crc = 0xFFFFFFFF
        for byte in data:
            crc = int(_table()[(crc ^ byte) & 255]) ^ crc >> 8
        return crc ^ 0xFFFFFFFF
    length = -(-len(data) // _LANES)
    blocks = np.zeros(_LANES * length, np.uint8)  # zeros before the data change nothing
    blocks[-len(data) :] = np.frombuffer(data, np.uint8)
    blocks[len(blocks) - len(data) :][:4] ^= 255  # the same as starting from ones
    lanes = _advance(np.zeros(_LANES, np.uint32), blocks.reshape(_LANES, length).T)
    jump = _jump(length)
    crc = 0
    for lane in lanes.tolist():
        crc = jump[0][crc & 255] ^ jump[1][crc >> 8 & 255] ^ jump[2][crc >> 16 & 255]\
            ^ jump[3][crc >> 24] ^ lane  # fmt: skip
    return crc ^ 0xFFFFFFFF


def _advance(crc: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Checksums [n] after the bytes `columns` [length, n]."""
    table = _table()
    for column in columns:
        crc = table[(crc ^ column) & 255] ^ crc >> 8
    return crc


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    """[256] uint32: what each byte adds."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, values >> 1 ^ np.uint32(_POLYNOMIAL), values >> 1)
    return values


@lru_cache(maxsize=8)
def _jump(length: int) -> list[list[int]]:
    """Four tables of 256: what `length` zeros make of each byte of a checksum."""
    zeros = np.zeros((length, 32), np.uint8)
    images = _advance(np.uint32(1) << np.arange(32, dtype=np.uint32), zeros)
    tables = np.zeros((4, 256), np.uint32)
    for bit in range(8):
        has_bit = (np.arange(256) >> bit & 1).astype(bool)
        for byte in range(4):
            tables[byte, has_bit] ^= images[8 * byte + bit]
    return tables.tolist()
