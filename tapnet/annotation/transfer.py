"""Tracks to files that benchmarks and other tools read, and tracks from files.

`.pkl` is TAP-Vid's own format, with the frames; `.npz` and `.csv` are those of `tapnet.export`, a
file for each video, several in a `.zip`.
"""

from __future__ import annotations

import uuid
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path as File
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from tapnet.annotation.content import Click, Content, Path, ranges
from tapnet.annotation.edits import Edits, create
from tapnet.annotation.paths import Paths, write_imported
from tapnet.annotation.records import Track, User, Video
from tapnet.annotation.videos import Videos
from tapnet.data import tapvid
from tapnet.export import load
from tapnet.files import replacing
from tapnet.structs import Example
from tapnet.tracks import Tracks
from tapnet.video import open as open_video

KINDS = ("pkl", "npz", "csv")


class Transfer(Videos, Edits, Paths):
    """What goes out of a project and comes into it."""

    def export(self, video_ids: Sequence[int] | None, kind: str, out: str | File) -> File:
        """`out`, written whole or not at all: the tracks of those videos, or of all that have any.

        `out` ends in the kind, "pkl", "npz" or "csv"; several videos of the last two need `.zip`.
        Frames that a path does not reach are invisible, in `.pkl` also not annotated, and so are
        places outside the image. Tracks without a click are left out. Raises ValueError when a path
        is not computed yet, and when there is nothing to export. `check_export` reads it back.
        """
        out = File(out)
        if kind not in KINDS:
            raise ValueError(f"kind: expected {', '.join(KINDS)}, got {kind!r}")
        found = self.videos() if video_ids is None else [self.video(n) for n in video_ids]
        chosen = [one for video in found if (one := self._exported(video)) is not None]
        if not chosen:
            raise ValueError("export: expected tracks to write, got none; click some points first")
        several = kind != "pkl" and len(chosen) > 1
        suffix = ".zip" if several else f".{kind}"
        if out.suffix != suffix:
            raise ValueError(f"{out}: expected a name ending in {suffix}")
        with replacing(out) as temporary:
            if kind == "pkl":
                tapvid.write(temporary, _examples(chosen))
            elif several:
                _write_zip(temporary, chosen, kind)
            else:
                chosen[0].tracks.save(temporary)
        return out

    def import_tracks(self, video_id: int, file: str | File, user: User) -> list[Track]:
        """New tracks of a video from a file, with the assist "imported": predictions of any model,
        or labels. What `.pkl` (TAP-Vid), `.npz` and `.csv` hold is told in `tapnet.export`.

        Each gets a click where it was asked for, or is first visible, and its invisible frames as
        hidden ranges, to be corrected. Positions are scaled where the file is of the video in
        another size; of a pickle of several clips the one with the video's name is taken. Raises
        ValueError when the file is not of this video, and FileNotFoundError.
        """
        video = self.video(video_id)
        came = _load(File(file), video)
        if came.stop > video.frames:
            raise ValueError(
                f"{File(file).name}: expected tracks of {video.frames} frames or fewer, the video "
                f"has no more, got frames {came.start}..{came.stop - 1}"
            )
        if not np.isfinite(came.xy).all():
            raise ValueError(f"{File(file).name}: expected finite positions, got some that are not")
        pairs = [_imported(came, n, video) for n in range(len(came.xy))]
        contents = [content for content, _ in pairs]
        with self._database.writing() as write:
            made = create(write, video_id, user, contents, f"import-{uuid.uuid4().hex}", "import")
            paths = [path for _, path in pairs]
            write_imported(write, list(zip(made, paths, strict=True)))
        return made

    def finished(
        self, video: Video, chosen: Iterable[int] | None = None
    ) -> list[tuple[Track, Path]]:
        """The tracks with clicks, all or those with these ids, each with its path.

        Raises ValueError when the path of one is not computed yet.
        """
        wanted = None if chosen is None else set(chosen)
        tracks = [
            track
            for track in self.tracks(video.id)
            if track.content.clicks and (wanted is None or track.id in wanted)
        ]
        paths = self.paths(video.id, wanted)
        late = [
            track.content.name or f"track {track.id}"
            for track in tracks
            if track.id not in paths
            or paths[track.id].version != track.version
            or not paths[track.id].complete
        ]
        if late:
            raise ValueError(
                f"{video.name}: {len(late)} of {len(tracks)} tracks are not computed yet "
                f"({', '.join(late[:5])}); wait for that, then ask again"
            )
        return [(track, paths[track.id].path) for track in tracks]

    def _exported(self, video: Video) -> _Exported | None:
        """The tracks of a video over all of its frames; None without any."""
        tracks = self.finished(video)
        if not tracks:
            return None
        shape = len(tracks), video.frames
        xy, asked = np.zeros((*shape, 2), np.float32), np.zeros((len(tracks), 3), np.float32)
        known, visible = np.zeros(shape, bool), np.zeros(shape, bool)
        confidence = np.zeros(shape, np.float32)
        for n, (track, path) in enumerate(tracks):
            part = slice(path.start, path.stop)
            beside = ((path.start, video.frames - path.stop), (0, 0))
            xy[n] = np.pad(path.xy, beside, mode="edge")
            known[n, part], visible[n, part] = True, path.visible
            confidence[n, part] = path.confidence
            click = track.content.clicks[0]
            asked[n] = click.frame, click.y, click.x
        visible &= ((xy >= 0) & (xy <= [video.width, video.height])).all(axis=2)
        size = video.height, video.width
        return _Exported(video, Tracks(asked, xy, visible, confidence, size, video.fps), known)


class _Exported(NamedTuple):
    video: Video
    tracks: Tracks  # all frames
    known: np.ndarray  # [N, T] bool: frames that the path reaches

    def example(self, name: str) -> Example:
        """The video, decoded, and its tracks as labels."""
        return Example(
            name,
            open_video(self.video.path).read(),
            self.tracks.query_points,
            self.tracks.xy,
            ~self.tracks.visible,
            annotated=None if self.known.all() else self.known,
        )


def _examples(chosen: Sequence[_Exported]) -> Iterator[Example]:
    """Each video with its frames, one in memory at a time."""
    stems = [File(exported.video.name).with_suffix("").as_posix() for exported in chosen]
    for stem, exported in zip(stems, chosen, strict=True):
        yield exported.example(stem if stems.count(stem) == 1 else exported.video.name)


def _write_zip(path: File, chosen: Sequence[_Exported], kind: str) -> None:
    with (
        TemporaryDirectory(dir=path.parent, prefix=".export-") as folder,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for video, tracks, _ in chosen:
            part = File(folder) / f"part.{kind}"
            tracks.save(part)
            archive.write(part, f"{video.name}.{kind}")


def _load(file: File, video: Video) -> Tracks:
    """The tracks in a file, in pixels of the video."""
    size = video.height, video.width
    if file.suffix == ".pkl":
        return _load_pickle(file, video)
    came = load(file, size if file.suffix == ".csv" else None)
    scale = np.array([size[1] / came.size[1], size[0] / came.size[0]], np.float32)
    asked = came.query_points * np.array([1, scale[1], scale[0]], np.float32)
    xy = came.xy * scale
    return Tracks(asked, xy, came.visible, came.confidence, size, start=came.start)


def _load_pickle(file: File, video: Video) -> Tracks:
    names = {video.name, File(video.name).with_suffix("").as_posix(), File(video.name).stem}
    clips = list(tapvid.read(file))
    fitting = clips if len(clips) == 1 else [clip for clip in clips if clip.name in names]
    if len(fitting) != 1:
        raise ValueError(
            f"{file.name}: expected a clip named {File(video.name).stem!r}, got {len(clips)} "
            f"clips: {', '.join(clip.name for clip in clips[:5])}"
        )
    clip = fitting[0]
    visible = clip.visible
    xy = (clip.points * np.array([video.width, video.height])).astype(np.float32)
    first = np.stack([visible.argmax(axis=1), *np.zeros((2, len(xy)))], axis=1).astype(np.float32)
    sure = visible.astype(np.float32)
    return Tracks(first, xy, visible, sure, (video.height, video.width))


def _imported(tracks: Tracks, n: int, video: Video) -> tuple[Content, Path]:
    """One track as a person can correct it."""
    xy, visible = tracks.xy[n], tracks.visible[n]
    path = Path(tracks.start, xy, visible, np.clip(tracks.confidence[n], 0, 1))
    inside = ((xy >= 0) & (xy <= [video.width, video.height])).all(axis=1)
    good = np.flatnonzero(visible & inside)
    clicks: tuple[Click, ...] = ()
    if len(good):
        asked = round(float(tracks.query_points[n, 0])) - tracks.start
        at = asked if asked in good else int(good[0])
        clicks = (Click(tracks.start + at, *map(float, xy[at])),)
    hidden = ranges(~visible, tracks.start)
    return Content(clicks=clicks, hidden=hidden, assist="imported"), path
