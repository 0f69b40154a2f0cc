"""The videos of a project: files in its folder."""

from __future__ import annotations

from pathlib import Path as File

import numpy as np
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from tapnet.annotation.content import MAX_FRAME
from tapnet.annotation.database import Transaction
from tapnet.annotation.part import Part, found, moment
from tapnet.annotation.records import Video
from tapnet.annotation.schema import jobs, videos
from tapnet.video import open as open_video

# What browsers play: container, codecs, kinds of pixels.
_PLAYED = {
    "mov,mp4,m4a,3gp,3g2,mj2": {"h264", "av1", "vp9"},
    "matroska,webm": {"vp8", "vp9", "av1"},
}
_PIXELS = {"yuv420p", "yuvj420p", None}


class Videos(Part):
    """Which files are annotated."""

    def add_video(self, path: str | File) -> Video:
        """The video of a file, or folder of images, in the project's folder; it is read once.

        `path` is relative to the folder, or absolute. Raises ValueError when it lies outside, links
        of the file system followed, or is no video, and FileNotFoundError.
        """
        place = self._place(path)
        with self._database.reading() as read:
            row = read.execute(sa.select(videos).where(videos.c.path == place, _there())).first()
        file = self.folder / place
        stat = file.stat()
        state = {"size": stat.st_size, "modified": stat.st_mtime}
        if row is not None and (row.size, row.modified) == (stat.st_size, stat.st_mtime):
            return self._video(row)
        values = {"path": place, **_read(file), **state}
        if row is not None:
            return self._same_video(row, values)
        try:
            with self._database.writing() as write:
                made = videos.insert().values(**values, added=write.now, removed=False)
                row = write.execute(made.returning(videos)).one()
                write.tell(row.id, "video", {"id": row.id, "name": place, "kind": "add"})
        except IntegrityError:  # another process added it meanwhile
            return self.add_video(path)
        return self._video(row)

    def videos(self) -> list[Video]:
        """All that are not removed, by name."""
        rows = sa.select(videos).where(_there()).order_by(videos.c.path)
        with self._database.reading() as read:
            return [self._video(row) for row in read.execute(rows)]

    def video(self, video_id: int) -> Video:
        """The video of that number. KeyError when it is not there, or removed."""
        with self._database.reading() as read:
            return self._video(video_row(read, video_id))

    def remove_video(self, video_id: int) -> None:
        """Takes it from the project and stops its jobs; the file, tracks and history stay."""
        with self._database.writing() as write:
            row = video_row(write.connection, video_id)
            write.execute(videos.update().where(videos.c.id == video_id).values(removed=True))
            waiting = jobs.c.state.in_(("queued", "running"))
            write.execute(
                jobs.update()
                .where(jobs.c.video_id == video_id, waiting)
                .values(state="cancelled", ended=write.now)
            )
            write.tell(video_id, "video", {"id": video_id, "name": row.path, "kind": "remove"})

    def restore_video(self, video_id: int) -> Video:
        """Takes back `remove_video`. ValueError when its file was added again since."""
        try:
            with self._database.writing() as write:
                back = videos.update().where(videos.c.id == video_id).values(removed=False)
                row = found(write.execute(back.returning(videos)).first(), "video", video_id)
                write.tell(video_id, "video", {"id": video_id, "name": row.path, "kind": "add"})
        except IntegrityError as error:
            raise ValueError(
                f"video {video_id}: its file was added again since; remove that video first"
            ) from error
        return self._video(row)

    def _same_video(self, row: sa.Row, values: dict) -> Video:
        """Its file was touched: fine while the frames are the same."""
        for key in ("frames", "width", "height"):
            if values[key] != getattr(row, key):
                raise ValueError(
                    f"{row.path}: expected the file that was added, {row.frames} frames of "
                    f"{row.width}x{row.height}, got {values['frames']} frames of "
                    f"{values['width']}x{values['height']}; remove the video and add it anew"
                )
        with self._database.writing() as write:
            change = videos.update().where(videos.c.id == row.id).values(**values)
            return self._video(write.execute(change.returning(videos)).one())

    def _place(self, path: str | File) -> str:
        file = (self.folder / path).resolve()
        if not file.is_relative_to(self.folder) or file == self.folder:
            raise ValueError(
                f"{path}: expected a video in {self.folder}, but it lies outside; copy it there"
            )
        if not file.exists():
            raise FileNotFoundError(f"{path}: no such file in {self.folder}")
        return file.relative_to(self.folder).as_posix()

    def _video(self, row: sa.Row) -> Video:
        return Video(
            row.id,
            row.path,
            self.folder / row.path,
            row.width,
            row.height,
            row.frames,
            row.fps,
            np.frombuffer(row.times, "<f8"),
            row.playable,
            moment(row.added),
        )


def video_row(read: sa.Connection, video_id: int) -> sa.Row:
    """The row of a video that is not removed. KeyError."""
    row = read.execute(sa.select(videos).where(videos.c.id == video_id, _there())).first()
    return found(row, "video", video_id)


def check_video(write: Transaction, video_id: int, *, alone: bool = False) -> None:
    """KeyError when there is no such video. `alone`: no other such call goes on before the end."""
    row = sa.select(videos.c.id).where(videos.c.id == video_id, _there())
    found(
        write.execute(row.with_for_update(key_share=True) if alone else row).first(),
        "video",
        video_id,
    )


def _there() -> sa.ColumnElement[bool]:
    return videos.c.removed == sa.false()


def _read(file: File) -> dict[str, object]:
    clip = open_video(file)
    if not 0 < len(clip) <= MAX_FRAME:
        raise ValueError(f"{file}: expected 1 to {MAX_FRAME} frames, got {len(clip)}")
    height, width = clip.size
    times = np.asarray(clip.times, "<f8")
    return {
        "width": width,
        "height": height,
        "frames": len(clip),
        "fps": float(clip.fps),
        "times": (times - times[0]).tobytes(),
        "playable": _is_playable(file),
    }


def _is_playable(file: File) -> bool:
    import av

    if file.is_dir():
        return False
    with av.open(f"file:{file}") as container:
        stream = container.streams.video[0].codec_context
        codecs = _PLAYED.get(container.format.name, set())
        return stream.codec.canonical_name in codecs and stream.pix_fmt in _PIXELS
