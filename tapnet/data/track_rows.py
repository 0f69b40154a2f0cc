"""CSV files whose rows are tracks, and the videos that their first cells name.

A row is what names the video (one cell or several), then x, y, occluded for each frame. Only the
places of the rows are held, so a file of any size is read in the memory of one video's tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

SUFFIXES = (".mp4", ".webm", ".mkv", ".avi", ".mov")
Name = tuple[str, ...]


def columns(path: Path) -> int:
    """Cells of the first row; 0 where there is no text."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline(1 << 20)
    except (OSError, ValueError):
        return 0
    return first.count(",") + 1 if first.strip() else 0


def rows_by_video(path: Path, cells: int = 1) -> dict[Name, list[int]]:
    """Where the rows of each video begin, by the first `cells` cells, in the order of the file.

    Raises FileNotFoundError, or ValueError naming the row that is too short.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a CSV file of tracks")
    found: dict[Name, list[int]] = {}
    place = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                parts = line.decode("utf-8-sig", "replace").split(",", cells)
                if len(parts) <= cells or not parts[-1].strip():
                    raise ValueError(
                        f"{path}, row {number}: expected {cells} cells that name a video, then "
                        f"x, y, occluded for each frame, got {line[:80]!r}"
                    )
                found.setdefault(tuple(_bare(part) for part in parts[:cells]), []).append(place)
            place += len(line)
    return found


def _bare(cell: str) -> str:
    return cell.strip().strip('"')


def tracks(path: Path, places: Sequence[int], cells: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """[N, T, 2] float64 (x, y) and [N, T] bool occluded, of the rows at those places.

    Raises ValueError when they are no numbers, no triples or of different lengths.
    """
    rows = []
    with path.open("rb") as file:
        for place in places:
            file.seek(place)
            parts = file.readline().decode("utf-8-sig", "replace").split(",")
            where = f"{path}, the rows of {'_'.join(_bare(part) for part in parts[:cells])}"
            try:
                row = np.array([_bare(part) for part in parts[cells:]], np.float64)
            except ValueError as error:
                raise ValueError(f"{where}: expected numbers, but {error}") from error
            if len(row) % 3:
                raise ValueError(f"{where}: expected x, y, occluded for each frame, got {len(row)}")
            rows.append(row.reshape(-1, 3))
    if len({len(row) for row in rows}) > 1:
        lengths = sorted({len(row) for row in rows})
        raise ValueError(f"{where}: expected tracks of one length, got {lengths}")
    values = np.stack(rows)
    return values[..., :2], values[..., 2] > 0


def find_videos(folder: Path) -> dict[str, Path]:
    """The videos in a folder and in folders in it, by name without suffix.

    Raises ValueError when two have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise ValueError(
                    f"{folder}: expected one video named {path.stem}, got {found[path.stem]} and "
                    f"{path}; remove one of them"
                )
            found[path.stem] = path
    return found
