"""The shards of TAP-Vid-Kinetics, made in parallel, in runs that may be stopped.

    OUT/NNNN_of_0010.pkl    dicts {ID_START_END: {video, points, occluded}} (the official tool
                            writes lists; the official reader takes both)
    OUT/prepared.json       what each was made of, its SHA-256, and what is missing

A shard appears when it is whole. A later run makes only the shards that are missing, or whose clips
have come or changed since.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any

from tapnet.data.kinetics import FRAMES, Source, make, sources
from tapnet.files import replacing

SHARDS = 10
STATE = "prepared.json"
Progress = Callable[[int, int], None]  # clips done, clips in all
Made = tuple[str, dict[str, Any] | str]  # name, and the clip or what is wrong with it


@dataclass(frozen=True)
class Shard:
    """What a shard was made of."""

    sha256: str
    sources: dict[str, list[int] | None]  # clip -> size and time of its video, None = missing
    damaged: dict[str, str]  # clip -> why it is left out
    short: dict[str, int]  # clip -> frames, fewer than 250


@dataclass(frozen=True)
class Report:
    """What was made, and what could not be."""

    made: tuple[str, ...]  # shards made now
    kept: tuple[str, ...]  # shards that were there
    clips: int  # in all shards
    missing: tuple[str, ...]  # clips without a video
    damaged: dict[str, str]
    short: dict[str, int]


def prepare(
    csv: str | Path,
    videos: str | Path,
    out: str | Path,
    *,
    shards: int = SHARDS,
    workers: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Make the shards in the folder `out`; those that are there are kept.

    `workers` processes decode (0 = this one). Clips that are missing or damaged are left out and
    reported. Raises FileNotFoundError, or ValueError when the CSV file is another, or `out` holds
    the shards of another one.
    """
    csv, folder = Path(csv), Path(out)
    if shards < 1 or workers < 0:
        raise ValueError(f"expected shards >= 1 and workers >= 0, got {shards} and {workers}")
    clips = sources(csv, Path(videos))
    each = -(-len(clips) // shards)  # as the official tool deals them out
    parts = [clips[first : first + each] for first in range(0, len(clips), each)]
    folder.mkdir(parents=True, exist_ok=True)
    for left in [*folder.glob(".*_of_*.pkl"), *folder.glob(".prepared-*.json")]:
        left.unlink()  # of a run that was killed
    state = _read_state(folder, csv, len(parts))
    done, made = 0, []
    with _processes(workers) as pool:
        for number, part in enumerate(parts):
            name = f"{number:04d}_of_{len(parts):04d}.pkl"
            if not _is_current(folder / name, state["shards"].get(name), part):
                counted = _counted(progress, done, len(clips))
                clips_made = _clips(csv, [source for source in part if source.file], pool, workers)
                shard = _make(folder / name, part, clips_made, counted)
                state["shards"][name] = asdict(shard)
                with replacing(folder / STATE) as temporary:
                    temporary.write_text(json.dumps(state, indent=1) + "\n")
                made.append(name)
            done += len(part)
    return _report({name: Shard(**shard) for name, shard in state["shards"].items()}, made)


def read_state(folder: Path) -> dict[str, Shard]:
    """What the shards in a folder were made of; empty where `prepare` made none.

    Raises ValueError when prepared.json is damaged.
    """
    path = folder / STATE
    if not path.is_file():
        return {}
    try:
        shards = json.loads(path.read_text())["shards"]
        return {name: Shard(**shard) for name, shard in shards.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected what `tapnet data prepare` wrote, but {error}; remove it to make "
            "all shards again"
        ) from error


def _read_state(folder: Path, csv: Path, count: int) -> dict[str, Any]:
    with csv.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    made_of = {"csv_sha256": digest, "count": count}
    there = {name: asdict(shard) for name, shard in read_state(folder).items()}
    if there:
        before = json.loads((folder / STATE).read_text())
        if any(before.get(key) != value for key, value in made_of.items()):
            raise ValueError(
                f"{folder}: holds {before.get('count')} shards of a CSV file with SHA-256 "
                f"{str(before.get('csv_sha256'))[:16]}, asked were {count} of one with "
                f"{digest[:16]}; choose another folder"
            )
    return {**made_of, "shards": there}


def _is_current(path: Path, shard: dict[str, Any] | None, part: Sequence[Source]) -> bool:
    wanted = {source.name: source.state() for source in part}
    return shard is not None and path.is_file() and shard["sources"] == wanted


def _counted(progress: Progress | None, before: int, total: int) -> Callable[[int], None]:
    return lambda done: None if progress is None else progress(before + done, total)


def _report(shards: dict[str, Shard], made: list[str]) -> Report:
    missing = [n for shard in shards.values() for n, state in shard.sources.items() if not state]
    damaged = {name: why for shard in shards.values() for name, why in shard.damaged.items()}
    total = sum(len(shard.sources) for shard in shards.values())
    return Report(
        tuple(made),
        tuple(name for name in shards if name not in made),
        total - len(missing) - len(damaged),
        tuple(missing),
        damaged,
        {name: length for shard in shards.values() for name, length in shard.short.items()},
    )


# --------------------------------------------------------------------------- one shard


def _make(
    path: Path, part: Sequence[Source], clips: Iterator[Made], counted: Callable[[int], None]
) -> Shard:
    states = {source.name: source.state() for source in part}
    damaged: dict[str, str] = {}
    short: dict[str, int] = {}
    missing = sum(state is None for state in states.values())
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(pickle.PROTO + b"\x04" + pickle.EMPTY_DICT)
            for done, (name, clip) in enumerate(clips, start=missing + 1):
                if isinstance(clip, str):
                    damaged[name] = clip
                else:
                    _add(file, name, clip)
                    if len(clip["video"]) < FRAMES:
                        short[name] = len(clip["video"])
                counted(done)
            file.write(pickle.STOP)
        with open(temporary, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Shard(digest, states, damaged, short)


@contextmanager
def _processes(workers: int) -> Iterator[Executor | None]:
    """A pool whose waiting work is dropped when the block ends early; None without workers."""
    if not workers:
        yield None
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _clips(
    csv: Path, part: Sequence[Source], pool: Executor | None, workers: int
) -> Iterator[Made]:
    """Clips in order, made a few ahead of what is taken."""
    if pool is None:
        yield from ((source.name, make(csv, source)) for source in part)
        return
    waiting: deque[tuple[str, Future[dict[str, Any] | str]]] = deque()
    for source in part:
        waiting.append((source.name, pool.submit(make, csv, source)))
        if len(waiting) > 2 * workers:
            name, future = waiting.popleft()
            yield name, future.result()
    for name, future in waiting:
        yield name, future.result()


def _add(file: IO[bytes], name: str, clip: Any) -> None:
    """Adds an entry to the dict that is being written, of which only this one is in memory."""
    key, value = name.encode(), io.BytesIO()
    pickler = pickle.Pickler(value, protocol=4)
    pickler.fast = True  # no references, which would count from the beginning of the file
    pickler.dump(clip)
    file.write(pickle.BINUNICODE + len(key).to_bytes(4, "little") + key)
    file.write(value.getvalue()[2:-1] + pickle.SETITEM)  # in the place of PROTO and STOP
