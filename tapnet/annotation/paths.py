"""Paths that assists computed, paths that were imported, and where to look next.

Of each track the path of its newest version is kept, while that is computed the one before, and the
paths that a pass over the video ended with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from tapnet.annotation.attention import worst
from tapnet.annotation.content import Content, Path
from tapnet.annotation.database import Transaction
from tapnet.annotation.part import Part
from tapnet.annotation.records import StoredPath, Track
from tapnet.annotation.schema import edits, imports, passes, paths, suggestions, tracks
from tapnet.annotation.videos import check_video, video_row

_AT_ONCE = 64  # paths of one transaction: others write in between
_PATH = sa.select(paths).where(
    paths.c.track_id == sa.bindparam("track"), paths.c.version == sa.bindparam("same")
)
_FORGET = paths.delete().where(  # the row to write, and earlier ones that did not end a pass
    paths.c.track_id == sa.bindparam("track"),
    sa.or_(
        paths.c.version == sa.bindparam("same"),
        sa.and_(
            paths.c.version < sa.bindparam("below"),
            ~sa.exists().where(
                passes.c.track_id == paths.c.track_id, passes.c.version == paths.c.version
            ),
        ),
    ),
)


class Paths(Part):
    """What was computed from the tracks."""

    def write_paths(self, video_id: int, given: Iterable[tuple[int, int, Path, bool]]) -> None:
        """Stores paths, each as (track id, version it was computed for, path, complete).

        Hidden frames become invisible. Those of versions that are no longer wanted, and incomplete
        ones where a complete one is there, are passed over. Raises ValueError when a path is not
        finite or reaches out of the video.
        """
        given = list(given)
        with self._database.reading() as read:
            frames = video_row(read, video_id).frames
        for track_id, _, path, _ in given:
            _check(path, track_id, frames)
        for i in range(0, len(given), _AT_ONCE):
            with self._database.writing() as write:
                stored = _store(write, video_id, given[i : i + _AT_ONCE])
                for complete in (False, True):
                    chosen = [track_id for track_id, done in stored if done == complete]
                    if chosen:
                        write.tell(video_id, "path", {"tracks": chosen, "complete": complete})

    def paths(self, video_id: int, track_ids: Iterable[int] | None = None) -> dict[int, StoredPath]:
        """The newest path of each track that has one, by the track's id."""
        any_ = paths.alias()
        newest = sa.select(sa.func.max(any_.c.version)).where(any_.c.track_id == tracks.c.id)
        rows = (
            sa.select(paths)
            .join(tracks)
            .where(tracks.c.video_id == video_id, tracks.c.deleted == sa.false())
            .where(paths.c.version == newest.scalar_subquery())
        )
        if track_ids is not None:
            rows = rows.where(tracks.c.id.in_(list(track_ids)))
        with self._database.glancing() as read:
            return {
                row.track_id: StoredPath(row.version, row.complete, path_of(row))
                for row in read.execute(rows)
            }

    def computed(self, video_id: int) -> set[tuple[int, int]]:
        """Which versions of the tracks of a video have a whole path: (track id, version)."""
        rows = sa.select(paths.c.track_id, paths.c.version).join(tracks)
        rows = rows.where(tracks.c.video_id == video_id, paths.c.complete == sa.true())
        with self._database.glancing() as read:
            return {(track_id, version) for track_id, version in read.execute(rows)}

    def path_at(self, track_id: int, version: int) -> StoredPath | None:
        """The path of that version of a track, where it is kept."""
        with self._database.glancing() as read:
            row = read.execute(_PATH, {"track": track_id, "same": version}).first()
        return None if row is None else StoredPath(row.version, row.complete, path_of(row))

    def suggestions(self, video_id: int) -> list[dict[str, Any]]:
        """Frames to look at next, [{"frame", "track", "reason", "score"}], as written last."""
        with self._database.glancing() as read:
            return _looks(read, video_id)["frames"]

    def looked_at(self, video_id: int) -> dict[int, int]:
        """The versions of the tracks that the suggestions are for, by track."""
        with self._database.glancing() as read:
            of = _looks(read, video_id)["of"]
        return {int(track): version for track, version in of.items()}

    def write_suggestions(
        self, video_id: int, given: Sequence[dict[str, Any]], looked_at: Mapping[int, int]
    ) -> None:
        """Replaces the suggestions for the tracks in `looked_at`; those for others stay.

        As in `suggestions` and `looked_at`; of tracks that are gone there are none.
        """
        with self._database.writing() as write:
            check_video(write, video_id, alone=True)
            here = sa.select(tracks.c.id).where(
                tracks.c.video_id == video_id, tracks.c.deleted == sa.false()
            )
            there = set(write.execute(here).scalars())
            looks = _looks(write.connection, video_id)
            others = [one for one in looks["frames"] if one["track"] not in looked_at]
            frames = [one for one in [*others, *given] if one["track"] in there]
            of = {int(track): version for track, version in looks["of"].items()} | dict(looked_at)
            of = {track: version for track, version in of.items() if track in there}
            text = json.dumps({"frames": worst(frames), "of": of}, allow_nan=False)
            write.execute(suggestions.delete().where(suggestions.c.video_id == video_id))
            write.execute(suggestions.insert(), {"video_id": video_id, "content": text})


def _looks(read: sa.Connection, video_id: int) -> dict[str, Any]:
    rows = sa.select(suggestions.c.content).where(suggestions.c.video_id == video_id)
    text = read.execute(rows).scalar()
    return {"frames": [], "of": {}} if text is None else json.loads(text)


def path_of(row: sa.Row) -> Path:
    """The path in a row of `paths` or `imports`."""
    return Path(
        row.start,
        np.frombuffer(row.xy, "<f4").reshape(-1, 2),
        np.frombuffer(row.visible, np.uint8).astype(bool),
        np.frombuffer(row.confidence, "<f4"),
    )


def row_of(path: Path) -> dict[str, Any]:
    """What a row of `paths` or `imports` says of a path."""
    return {
        "start": path.start,
        "xy": np.ascontiguousarray(path.xy, "<f4").tobytes(),
        "visible": np.ascontiguousarray(path.visible, np.uint8).tobytes(),
        "confidence": np.ascontiguousarray(path.confidence, "<f4").tobytes(),
    }


def bent(path: Path, content: Content) -> Path:
    """An imported path, moved so that it goes through the clicks.

    A frame between two clicks is moved by the mean of both clicks' corrections, weighed by how near
    they are; frames before the first and after the last click are moved as that one is. Frames
    whose click moves the path are certain. The content alone says which frames are hidden: it got
    those that came hidden when it was imported.
    """
    inside = [click for click in content.clicks if path.start <= click.frame < path.stop]
    xy, confidence = path.xy.astype(np.float64), path.confidence.copy()
    if inside:
        at = np.array([click.frame - path.start for click in inside])
        missed = np.array([[click.x, click.y] for click in inside]) - xy[at]
        frames = np.arange(len(path))
        xy += np.stack([np.interp(frames, at, missed[:, axis]) for axis in (0, 1)], axis=1)
        confidence[at[missed.any(axis=1)]] = 1
    seen = content.visible(path.start, path.stop)
    return Path(path.start, xy.astype(np.float32), seen, confidence)


def carry_path(write: Transaction, track_id: int, version: int) -> None:
    """The path of a version becomes that of the next one, whose content asks for the same."""
    row = write.execute(_PATH, {"track": track_id, "same": version}).first()
    if row is not None:
        write.execute(_FORGET, {"track": track_id, "same": version + 1, "below": version + 1})
        write.execute(paths.insert(), {**row._mapping, "version": version + 1})


def bend_imported(write: Transaction, changed: Sequence[Track]) -> None:
    """The paths of tracks whose assist is "imported": made at once, no job is needed for them."""
    ids = [track.id for track in changed]
    rows = write.execute(sa.select(imports).where(imports.c.track_id.in_(ids)))
    came = {row.track_id: path_of(row) for row in rows}
    missing = [track_id for track_id in ids if track_id not in came]
    if missing:
        raise ValueError(
            f"assist: track {missing[0]} was not imported; choose tracker, flow or linear"
        )
    made = [(t.id, t.version, bent(came[t.id], t.content), True) for t in changed]
    video_id = changed[0].video_id
    _store(write, video_id, made)
    write.tell(video_id, "path", {"tracks": ids, "complete": True})


def write_imported(write: Transaction, given: Sequence[tuple[Track, Path]]) -> None:
    """Keeps paths as they were imported, and as the contents of their new tracks bend them."""
    if given:
        rows = [{"track_id": track.id, **row_of(path)} for track, path in given]
        write.execute(imports.insert(), rows)
        bend_imported(write, [track for track, _ in given])


def _store(
    write: Transaction, video_id: int, given: Sequence[tuple[int, int, Path, bool]]
) -> list[tuple[int, bool]]:
    """(track, complete) of the paths that are wanted still, and kept; a few statements in all."""
    contents = _contents(write, video_id, given)
    ids = {track_id for track_id, *_ in given}
    known = sa.select(paths.c.track_id, paths.c.version, paths.c.complete)
    there = {(t, v): done for t, v, done in write.execute(known.where(paths.c.track_id.in_(ids)))}
    ended = sa.select(passes.c.track_id, passes.c.version).where(passes.c.track_id.in_(ids))
    pinned = {(t, v) for t, v in write.execute(ended)}
    newest: dict[int, int] = {}
    for track_id, version in there:
        newest[track_id] = max(version, newest.get(track_id, 0))
    rows = {}
    for track_id, version, path, complete in given:
        key = track_id, version
        outdated = newest.get(track_id, 0) > version and key not in pinned
        if outdated or (there.get(key) and not complete):
            continue
        seen = path.visible & contents[key].visible(path.start, path.stop)
        row = row_of(Path(path.start, path.xy, seen, path.confidence))
        rows[key] = {"track_id": track_id, "version": version, "complete": complete, **row}
    if rows:
        write.execute(_FORGET, [{"track": t, "same": v, "below": v} for t, v in rows])
        write.execute(paths.insert(), list(rows.values()))
    return [(row["track_id"], row["complete"]) for row in rows.values()]


def _contents(
    write: Transaction, video_id: int, given: Sequence[tuple[int, int, Path, bool]]
) -> dict[tuple[int, int], Content]:
    """What the paths were computed for, by track and version. KeyError when there is none."""
    wanted = {(track_id, version) for track_id, version, *_ in given}
    rows = (
        sa.select(edits.c.track_id, edits.c.version, edits.c.content)
        .join(tracks, tracks.c.id == edits.c.track_id)
        .where(tracks.c.video_id == video_id, edits.c.track_id.in_({t for t, _ in wanted}))
        .where(edits.c.version.in_({v for _, v in wanted}))
        .order_by(tracks.c.id)
        .with_for_update(of=tracks, key_share=True)  # one writer of their paths at a time
    )
    contents = {
        (t, v): Content.from_text(text) for t, v, text in write.execute(rows) if (t, v) in wanted
    }
    for track_id, version in wanted - contents.keys():
        raise KeyError(f"no track {track_id} of version {version} in video {video_id}")
    return contents


def _check(path: Path, track_id: int, frames: int) -> None:
    whole = np.isfinite(path.xy).all() and np.isfinite(path.confidence).all()
    if not whole or path.stop > frames:
        raise ValueError(
            f"the path of track {track_id}: expected finite numbers for frames 0..{frames - 1} of "
            f"the video, got frames {path.start}..{path.stop - 1}"
            + ("" if whole else ", some not finite")
        )
