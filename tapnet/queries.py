"""Which points to track: chosen from labelled tracks, on a grid, at random, in a mask, or read.

Query points are [N, 3] (t, y, x): t in frames from 0, y and x raster pixels. Sizes are (height,
width). No point at all, [0, 3], is a valid choice.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tapnet.pickles import UNREADABLE, open_npz
from tapnet.structs import check_shapes, labelled_entries

FORMS = (
    '"grid:16" (16 x 16 points on frame 0), "grid:16@30" (on frame 30), "t,y,x;t,y,x", '
    "or a file of t,y,x rows (.csv .txt .json .npy .npz)"
)


@dataclass(frozen=True)
class Queries:
    """Queries taken from labelled tracks, each with the whole track it should find."""

    query_points: np.ndarray  # [M, 3] (t, y, x)
    target_points: np.ndarray  # [M, T, 2] (x, y)
    occluded: np.ndarray  # [M, T] bool
    trackgroup: np.ndarray  # [M] int, the track each query came from
    annotated: np.ndarray | None = None  # [M, T] bool


# --------------------------------------------------------------------------- from labelled tracks


def first(
    target_points: np.ndarray, occluded: np.ndarray, annotated: np.ndarray | None = None
) -> Queries:
    """One query per track, on the first frame where it is visible; never visible ones are left out.

    target_points [N, T, 2] (x, y), occluded [N, T] bool; where `annotated` [N, T] bool is given, a
    frame without a label does not count as visible.
    """
    visible = _visible(target_points, occluded, annotated)
    tracks = np.flatnonzero(visible.any(axis=1))
    return _take(target_points, occluded, annotated, visible[tracks].argmax(axis=1), tracks)


def strided(
    target_points: np.ndarray,
    occluded: np.ndarray,
    annotated: np.ndarray | None = None,
    *,
    stride: int = 5,
) -> Queries:
    """A query on every `stride`-th frame of each track where it is visible; frames in order, then
    tracks. Arguments as `first`.
    """
    if stride < 1:
        raise ValueError(f"stride: expected 1 or more frames, got {stride}")
    visible = _visible(target_points, occluded, annotated)
    step, tracks = np.nonzero(visible[:, ::stride].T)
    return _take(target_points, occluded, annotated, step * stride, tracks)


def _visible(
    target_points: np.ndarray, occluded: np.ndarray, annotated: np.ndarray | None
) -> np.ndarray:
    check_shapes(
        target_points=(target_points, "N T 2"),
        occluded=(occluded, "N T"),
        annotated=(annotated, "N T"),
    )
    return ~occluded & labelled_entries(occluded, annotated)


def _take(
    target_points: np.ndarray,
    occluded: np.ndarray,
    annotated: np.ndarray | None,
    frames: np.ndarray,
    tracks: np.ndarray,
) -> Queries:
    x, y = target_points[tracks, frames].T
    return Queries(
        np.stack([frames.astype(target_points.dtype), y, x], axis=-1),
        target_points[tracks],
        occluded[tracks],
        tracks,
        None if annotated is None else annotated[tracks],
    )


# --------------------------------------------------------------------------- from the image


def grid(n: int, size: tuple[int, int], t: float = 0) -> np.ndarray:
    """[n * n, 3] the centres of n x n equal cells of the image on frame t, row by row."""
    if n < 0:
        raise ValueError(f"grid: expected 0 or more points a side, got {n}")
    height, width = size
    centres = (np.arange(n) + 0.5) / max(n, 1)
    y, x = np.meshgrid(centres * height, centres * width, indexing="ij")
    return _at(t, y.ravel(), x.ravel())


def random(
    n: int, size: tuple[int, int], generator: np.random.Generator, *, num_frames: int = 1
) -> np.ndarray:
    """[n, 3] points drawn evenly from the image and from the first `num_frames` frames."""
    height, width = size
    y, x = generator.uniform(0, height, n), generator.uniform(0, width, n)
    return _at(generator.integers(num_frames, size=n), y, x)


def inside(mask: np.ndarray, n: int, t: float = 0) -> np.ndarray:
    """[n, 3] pixel centres spread over the true part of mask [H, W] bool, no pixel twice.

    Raises ValueError when the mask has fewer than n pixels.
    """
    check_shapes(mask=(mask, "H W"))
    y, x = np.nonzero(mask)
    if len(y) < n:
        raise ValueError(f"inside: expected a mask of {n} pixels or more, got one of {len(y)}")
    # Along a Z-order curve neighbours are near, so even steps along it are even in the image.
    order = np.argsort(_interleave(y) << 1 | _interleave(x))
    chosen = order[(np.arange(n) * 2 + 1) * len(order) // (2 * max(n, 1))]
    return _at(t, y[chosen] + 0.5, x[chosen] + 0.5)


def _interleave(values: np.ndarray) -> np.ndarray:
    """Bit k of each value at bit 2k."""
    return sum(((values >> bit & 1) << 2 * bit for bit in range(31)), start=np.zeros_like(values))


def _at(t: float | np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    points = np.stack([np.broadcast_to(t, y.shape), y, x], axis=-1)
    return points.astype(np.float32)


# --------------------------------------------------------------------------- from the user


def check(points: Any, size: tuple[int, int], num_frames: int | None = None) -> np.ndarray:
    """`points` as [N, 3] float32, all of them in the video.

    Raises ValueError when rows are not three numbers, or naming the points that are not finite,
    outside the image (0..width, 0..height) or outside its frames (0..num_frames - 1).
    """
    try:
        if np.iscomplexobj(points):
            raise TypeError("they are complex")
        rows = np.array(points, np.float32)  # a copy: what is asked for stays what it was
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"points: expected rows of three numbers t,y,x, but {error}") from error
    if rows.size == 0 and rows.shape in {(0,), (0, 3)}:
        return np.zeros((0, 3), np.float32)
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise ValueError(
            f"points: expected [N, 3], rows of t,y,x, got {list(rows.shape)}; one row per point"
        )
    height, width = size
    finite = np.all(np.isfinite(rows), axis=1)
    _refuse(rows, ~finite, "finite numbers")
    t = rows[:, 0]
    _refuse(rows, beside(rows, size), f"y in 0..{height} and x in 0..{width}, pixels of the video")
    if num_frames is not None:
        _refuse(rows, (t < 0) | (t > num_frames - 1), f"t in 0..{num_frames - 1}, its frames")
    return rows


def beside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[N] bool: which points [N, 3] (t, y, x) lie outside an image of `size` (height, width)."""
    y, x = points[:, 1], points[:, 2]
    return (y < 0) | (y > size[0]) | (x < 0) | (x > size[1])


def _refuse(rows: np.ndarray, wrong: np.ndarray, expected: str) -> None:
    if not wrong.any():
        return
    named = [
        f"point {i} ({', '.join(f'{value:g}' for value in rows[i])})"
        for i in np.flatnonzero(wrong)[:5]
    ]
    more = f" and {wrong.sum() - 5} more" if wrong.sum() > 5 else ""
    raise ValueError(
        f"points: expected {expected}, got {', '.join(named)}{more}; rows are t,y,x: "
        "correct or remove them"
    )


def parse(text: str | Path, size: tuple[int, int], num_frames: int | None = None) -> np.ndarray:
    """[N, 3] float32 from a command line: a grid, rows, or a file of rows; checked by `check`.

    - `grid:16`: 16 x 16 cell centres on frame 0; `grid:16@30` on frame 30.
    - `0,10.5,20;0,30,40`: rows of t,y,x.
    - a path: `.csv` and `.txt` hold a row a line, split by commas, blanks or semicolons (then a
      comma is a decimal point), `#` starts a comment; a first line naming the columns t, y and x
      puts them in any order, among others that are not read, and may split by tabs. `.json` holds
      a list of rows, or an object with `query_points`. `.npy` holds [N, 3]; `.npz` the same as
      `query_points` (so saved tracks serve) or as its only array.

    Raises FileNotFoundError, or ValueError saying what was expected.
    """
    kind, _, rest = str(text).strip().partition(":")
    if kind == "grid":
        return check(_parse_grid(rest, size), size, num_frames)
    if Path(text).suffix.lower() in _READERS:
        path = Path(text)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; points are given as {FORMS}")
        try:
            return check(_READERS[path.suffix.lower()](path), size, num_frames)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: expected rows of t,y,x as text in UTF-8") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    lines = [row.strip() for row in str(text).split(";") if row.strip()]
    if not lines:
        raise ValueError(f"points: expected {FORMS}, got nothing")
    return check(_rows([(f"row {i}", row) for i, row in enumerate(lines)]), size, num_frames)


def _parse_grid(text: str, size: tuple[int, int]) -> np.ndarray:
    side, _, frame = text.partition("@")
    try:
        return grid(int(side), size, int(frame or 0))
    except ValueError as error:
        raise ValueError(f"points: expected {FORMS}, got 'grid:{text}'") from error


def _rows(lines: Sequence[tuple[str, str]]) -> list[list[float]]:
    """Numbers of (place, line) pairs; t,y,x order unless a header, the first line, says so.

    Beside t, y and x a header may name other columns, which are not read.
    """
    # Spreadsheets add separators at the end, of rows that are empty as well.
    rows = [(place, line.strip().rstrip(",;").rstrip()) for place, line in lines]
    rows = [(place, line) for place, line in rows if line]
    columns, width, sign = [0, 1, 2], 3, None
    header = _under_header(rows[0][1]) if rows else []
    names = [name.lower() for name in header]
    named = all(names.count(name) == 1 for name in "tyx")
    if named:
        columns, width = [names.index(name) for name in "tyx"], len(names)
        sign = _sign(rows.pop(0)[1])
    found = []
    for place, line in rows:
        cells = _under_header(line, sign) if named else _cells(line)
        asked = [cells[column] for column in columns if column < len(cells)]
        try:
            found.append([float(cell) for cell in asked])
        except ValueError as error:
            if "" in asked:
                raise ValueError(f"points: {place} has an empty cell: {line!r}") from error
            raise ValueError(f"points: expected {FORMS}, got {line!r} in {place}") from error
        if len(asked) < 3 or len(cells) > width:
            wanted = f"{width} columns {','.join(header)}" if width > 3 else "three columns t,y,x"
            raise ValueError(f"points: expected {wanted}, got {len(cells)} in {place}: {line!r}")
    return found


def _sign(line: str) -> str | None:
    """What splits it, None = blanks."""
    return next((sign for sign in ";\t," if sign in line), None)


def _under_header(line: str, sign: str | None = None) -> list[str]:
    """The cells of a line split by `sign`, or by what splits it; some may be empty or quoted."""
    sign = sign or _sign(line)
    if sign is None:
        return [cell.strip("\"'") for cell in line.split()]
    try:
        (cells,) = csv.reader([line], delimiter=sign, skipinitialspace=True)
    except csv.Error as error:
        raise ValueError(f"points: expected rows of t,y,x, but {error}") from error
    cells = [cell.strip() for cell in cells]
    return cells if sign == "," else [cell.replace(",", ".") for cell in cells]


def _cells(line: str) -> list[str]:
    """Of a row t,y,x split by semicolons (then a comma is a decimal point), commas or blanks."""
    if ";" in line:
        cells = line.replace(",", ".").split(";")
    else:
        cells = line.split(",") if "," in line else line.split()
    cells = [cell.strip().strip("\"'").strip() for cell in cells]
    return cells if "" in cells else [part for cell in cells for part in cell.split()]


def _read_text(path: Path) -> list[list[float]]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return _rows([(f"line {n}", line.partition("#")[0]) for n, line in enumerate(lines, start=1)])


def _read_json(path: Path) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"expected JSON, but: {error}") from error
    if isinstance(content, dict) and "query_points" not in content:
        raise ValueError(f"expected rows or an object with query_points, got {list(content)}")
    return content["query_points"] if isinstance(content, dict) else content


def _read_npy(path: Path) -> np.ndarray:
    with open(path, "rb") as file:
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        except (*UNREADABLE, ValueError) as error:
            raise ValueError("expected numbers as numpy writes them, got something else") from error


def _read_npz(path: Path) -> np.ndarray:
    with open_npz(path) as arrays:
        if "query_points" in arrays:
            return arrays["query_points"]
        if len(arrays.files) == 1:
            return arrays[arrays.files[0]]
        raise ValueError(
            f"expected an array query_points or a single array, got {', '.join(arrays.files)}"
        )


_READERS = {
    ".csv": _read_text,
    ".txt": _read_text,
    ".json": _read_json,
    ".npy": _read_npy,
    ".npz": _read_npz,
}
