"""What each kind of job does. Results are files in the private folder of the project."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path as File
from typing import Any

import numpy as np

from tapnet.annotation.content import ASSISTS, Path
from tapnet.annotation.project import Project, check_export
from tapnet.annotation.records import PRIVATE, Job, Track, Video
from tapnet.faults import is_told_to_users
from tapnet.studio.calculator import Calculator

PARTIAL_SECONDS = 0.5  # between two looks at paths that are being computed
MOST_OF_TIME = 10  # writing them may take this part of the time
COMPARED = {"tracker": "flow", "flow": "tracker", "linear": "flow"}  # assist: which may disagree

Progress = Callable[[int, int], None]  # units done, units in all; may raise Stopped


class Stopped(Exception):
    """Nobody wants the work any more."""


def assist(project: Project, jobs: Sequence[Job], progress: Progress) -> tuple[str, None]:
    """Computes the paths that are missing or of an older version, of the tracks that jobs name."""
    video = project.video(jobs[0].video_id)
    chosen: set[int] | None = set()
    for job in jobs:
        named = job.settings.get("tracks")
        chosen = None if named is None or chosen is None else chosen | set(named)
    stale = _stale(project, video.id, chosen)
    failures, before, groups = [], 0, _groups(stale)
    for left, tracks in zip(range(len(groups), 0, -1), groups, strict=True):

        def told(done: int, total: int, before: int = before, left: int = left) -> None:
            progress(before + done, before + left * total)

        try:
            before += _fill(project, video, tracks, told)
        except ValueError as error:  # those of another model do not suffer
            if not is_told_to_users(error):
                raise
            failures.append(str(error))
    if stale:
        _suggest(project, video, progress)
    if failures:
        raise ValueError("; ".join(failures))
    return f"{len(stale)} tracks", None


def _stale(project: Project, video_id: int, chosen: set[int] | None) -> list[Track]:
    """Tracks that have clicks and no whole path of their newest version."""
    whole = project.computed(video_id)
    return [
        track
        for track in project.tracks(video_id)
        if (chosen is None or track.id in chosen)
        and track.content.clicks
        and track.content.assist != "imported"
        and (track.id, track.version) not in whole
    ]


def _groups(tracks: list[Track]) -> list[list[Track]]:
    """Those that are computed by the same."""
    groups: dict[tuple[str, str], list[Track]] = {}
    for track in tracks:
        kind = track.content.assist
        key = (kind, track.content.model if kind == "tracker" else "")
        groups.setdefault(key, []).append(track)
    return list(groups.values())


def _fill(project: Project, video: Video, tracks: list[Track], progress: Progress) -> int:
    """How much work it was."""
    work, news = 0, _News(project, video.id, tracks)

    def told(done: int, total: int) -> None:
        nonlocal work
        work = total
        progress(done, total)
        if not news.wanted():
            raise _Outdated

    def partly(make: Callable[[], dict[int, Path]]) -> None:
        if news.is_due():
            news.write(make(), complete=False)

    contents = [track.content for track in tracks]
    try:
        paths = _calculator(project).fill(video.path, contents, told, partly)
    except _Outdated:
        return work
    news.write(dict(enumerate(paths)), complete=True)
    return work


def _suggest(project: Project, video: Video, progress: Progress) -> None:
    """Says anew on which frames of the video a person should look next.

    Tracks that changed since are computed by another assist, too, to see where the two disagree.
    Nothing is said when new work comes meanwhile: it ends here, too.
    """
    from tapnet.annotation.attention import suggest

    if _more_waits(project):
        return
    whole, looked_at = project.computed(video.id), project.looked_at(video.id)
    new = [
        track
        for track in project.tracks(video.id)
        if (track.id, track.version) in whole and looked_at.get(track.id) != track.version
    ]
    stored = project.paths(video.id, [track.id for track in new])
    new = [t for t in new if t.id in stored and stored[t.id].version == t.version]
    paths: dict[str, list[Path | None]] = {kind: [None] * len(new) for kind in ASSISTS}
    for row, track in enumerate(new):
        paths[track.content.assist][row] = stored[track.id].path
    try:
        for row, path in _compared(project, video, new, progress).items():
            paths[COMPARED[new[row].content.assist]][row] = path
    except _Outdated:
        return
    found = suggest(paths, [track.content for track in new])
    told = [one | {"track": new[one["track"]].id} for one in found]
    project.write_suggestions(video.id, told, {track.id: track.version for track in new})


def _compared(
    project: Project, video: Video, tracks: list[Track], progress: Progress
) -> dict[int, Path]:
    """Paths of the assists in `COMPARED`, by place in `tracks`; none where they cannot be computed.

    Raises _Outdated for new work.
    """
    rows = [row for row, track in enumerate(tracks) if track.content.assist in COMPARED]
    contents = [tracks[row].content for row in rows]
    looked = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal looked
        progress(done, total)
        if time.monotonic() - looked > PARTIAL_SECONDS:
            looked = time.monotonic()
            if _more_waits(project):
                raise _Outdated

    if not rows:
        return {}
    others = [replace(content, assist=COMPARED[content.assist]) for content in contents]
    try:
        paths = _calculator(project).fill(video.path, others, told)
    except (ValueError, MemoryError):  # of an unknown model, say: the paths themselves are there
        return {}
    return dict(zip(rows, paths, strict=True))


def _more_waits(project: Project) -> bool:
    """Whether somebody waits for paths."""
    return any(job.kind == "assist" and job.state == "queued" for job in project.jobs())


@lru_cache(maxsize=1)
def _calculator(project: Project) -> Calculator:
    return Calculator(project.folder / PRIVATE / "kept")


class _Outdated(Exception):
    """Nobody needs what is being computed any more."""


class _News:
    """Writes paths of tracks that are still as they were."""

    def __init__(self, project: Project, video_id: int, tracks: list[Track]) -> None:
        self._project, self._video_id, self._tracks = project, video_id, tracks
        self._current = {track.id for track in tracks}
        self._looked = self._wrote = time.monotonic()
        self._pause = PARTIAL_SECONDS

    def wanted(self) -> bool:
        """Whether any track is; looks in the project now and then."""
        if time.monotonic() - self._looked > PARTIAL_SECONDS:
            self._look()
        return bool(self._current)

    def is_due(self) -> bool:
        return time.monotonic() - self._wrote > self._pause

    def write(self, paths: dict[int, Path], complete: bool) -> None:
        """`paths` by place in the list of tracks."""
        began = time.monotonic()
        self._look()
        rows = [
            (track.id, track.version, path, complete)
            for track, path in ((self._tracks[i], path) for i, path in paths.items())
            if track.id in self._current
        ]
        self._project.write_paths(self._video_id, rows)
        self._wrote = time.monotonic()
        self._pause = max(PARTIAL_SECONDS, MOST_OF_TIME * (self._wrote - began))

    def _look(self) -> None:
        versions = self._project.versions(self._video_id)
        self._current = {t.id for t in self._tracks if versions.get(t.id) == t.version}
        self._looked = time.monotonic()


def warm(project: Project) -> None:
    """Loads what the first path needs, before it is asked for."""
    _calculator(project).warm()


def overlay(project: Project, jobs: Sequence[Job], progress: Progress) -> tuple[str, str]:
    """Writes the video with the tracks painted on it."""
    from tapnet.draw import draw
    from tapnet.video import open as open_video
    from tapnet.video import write
    from tapnet.video.writing import written_rate

    job = jobs[0]
    video = project.video(job.video_id)
    xy, visible = _arrays(project, video, job.settings.get("tracks"))
    clip = open_video(video.path)
    painted = draw(clip, xy, visible, trail=job.settings.get("trail", 16))
    out = _result(project, job, ".mp4")
    write(out, _counted(painted, video.frames, progress), float(written_rate(video.fps)))
    return f"{len(xy)} tracks on {video.frames} frames", _relative(project, out)


def _arrays(
    project: Project, video: Video, chosen: list[int] | None
) -> tuple[np.ndarray, np.ndarray]:
    """xy [N, T, 2], NaN where a path does not reach, and visible [N, T], of all frames.

    Raises ValueError without any, and when one is not computed yet.
    """
    paths = [path for _, path in project.finished(video, chosen)]
    if not paths:
        raise ValueError("expected tracks to paint, there are none; click a point first")
    xy = np.full((len(paths), video.frames, 2), np.nan, np.float32)
    visible = np.zeros((len(paths), video.frames), bool)
    for row, path in enumerate(paths):
        xy[row, path.start : path.stop] = path.xy
        visible[row, path.start : path.stop] = path.visible
    return xy, visible


def export(project: Project, jobs: Sequence[Job], progress: Progress) -> tuple[str, str]:
    """Writes the tracks of the video as npz, csv or TAP-Vid pickle."""
    job = jobs[0]
    kind = job.settings.get("format", "npz")
    progress(0, 1)
    out = project.export([job.video_id], kind, _result(project, job, f".{kind}"))
    problems = check_export(out)
    size = f"{out.stat().st_size / 1e6:.1f} MB"
    return "; ".join([size, *problems]), _relative(project, out)


def proxy(project: Project, jobs: Sequence[Job], progress: Progress) -> tuple[str, str]:
    """Writes a copy of the video that browsers play; frame n is shown at n / rate."""
    from tapnet.video import open as open_video
    from tapnet.video import write
    from tapnet.video.writing import written_rate

    video = project.video(jobs[0].video_id)
    out = browser_copy(project.folder, video)
    out.parent.mkdir(parents=True, exist_ok=True)
    for old in out.parent.glob(f"{video.id}-*.mp4"):  # of a file that was there before
        old.unlink()
    frames = _counted(open_video(video.path), video.frames, progress)
    write(out, frames, float(written_rate(video.fps)), crf=20)
    return f"{video.frames} frames", _relative(project, out)


def browser_copy(folder: File, video: Video) -> File:
    """Where `proxy` writes to, a place that changes with the video's file. FileNotFoundError."""
    return folder / PRIVATE / "copies" / f"{video.id}-{stamp(video.path)}.mp4"


def stamp(path: File) -> str:
    """Changes with the file. FileNotFoundError."""
    state = path.stat()
    text = f"{path} {state.st_size} {state.st_mtime_ns}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _counted(frames: Iterable[np.ndarray], total: int, progress: Progress) -> Iterator[np.ndarray]:
    for done, frame in enumerate(frames, start=1):
        yield frame
        progress(done, total)


def _result(project: Project, job: Job, suffix: str) -> File:
    folder = project.folder / PRIVATE / "results"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{job.id}-{job.kind}{suffix}"


def _relative(project: Project, out: File) -> str:
    return out.relative_to(project.folder).as_posix()


KINDS: dict[str, Callable[[Project, Sequence[Job], Progress], tuple[str, Any]]] = {
    "assist": assist,
    "overlay": overlay,
    "export": export,
    "proxy": proxy,
}
