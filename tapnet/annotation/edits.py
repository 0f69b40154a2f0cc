"""The edits of tracks: versioned, each with its row of history and its event, all or nothing.

The same `edit_id` again returns what the first call returned, and changes nothing: a client that
did not hear the answer sends the same again. An edit of a version that is not the newest is refused
with `Conflict`; the check is part of the statement that writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from tapnet.annotation.content import Content
from tapnet.annotation.database import Transaction
from tapnet.annotation.merge import merge
from tapnet.annotation.part import Part, found, moment
from tapnet.annotation.paths import bend_imported, carry_path
from tapnet.annotation.records import Conflict, Edit, Track, User
from tapnet.annotation.schema import edits, tracks, videos

MOST_TRACKS = 10_000  # of one call
_KIND = re.compile(r"[a-z][a-z_-]{0,39}")
# Built once, since each click runs them.
_LOCKED = (
    sa.select(tracks, videos.c.frames, videos.c.width, videos.c.height)
    .join(videos)
    .where(tracks.c.id == sa.bindparam("number"))
    .with_for_update(of=tracks, key_share=True)
)
_NEWEST = tracks.update().where(
    tracks.c.id == sa.bindparam("number"), tracks.c.version == sa.bindparam("base")
)
_SAME_EDIT = (
    sa.select(edits, tracks.c.video_id)
    .join(tracks)
    .where(edits.c.edit_id == sa.bindparam("sent"))
    .order_by(edits.c.place)
)


class Edits(Part):
    """What people did to the tracks."""

    def create_tracks(
        self, video_id: int, user: User, contents: Sequence[Content], edit_id: str
    ) -> list[Track]:
        """New tracks at version 1. ValueError when a click lies outside the video."""
        _check_edit("create", edit_id)
        try:
            with self._database.writing() as write:
                made = _first_result(write, edit_id)
                return made or create(write, video_id, user, contents, edit_id, "create")
        except IntegrityError:  # the same edit at the same moment, on PostgreSQL
            with self._database.writing() as write:
                return _first_result(write, edit_id)

    def change_track(
        self,
        track_id: int,
        base_version: int,
        content: Content,
        user: User,
        edit_id: str,
        kind: str = "click",
    ) -> Track:
        """The track with the new content; `kind` is a word for the history, such as "click".

        `kind` "restore" brings back a deleted track. Raises `Conflict` when `base_version` is not
        the newest, ValueError when a click lies outside the video or the track is deleted.
        """
        return self._edit(track_id, base_version, user, edit_id, kind, content=content)

    def delete_track(self, track_id: int, base_version: int, user: User, edit_id: str) -> Track:
        """The track, deleted: `change_track` of kind "restore" brings it back. `Conflict`."""
        return self._edit(track_id, base_version, user, edit_id, "delete", deleted=True)

    def agree(self, track_id: int, base_version: int, user: User, edit_id: str) -> Track:
        """The track as it is, agreed on; a later edit makes its stage "refine". `Conflict`."""
        return self._edit(track_id, base_version, user, edit_id, "agree", stage="agreed")

    def tracks(self, video_id: int, deleted: bool = False) -> list[Track]:
        """The tracks of a video, with `deleted` also those that were deleted."""
        rows = sa.select(tracks).where(tracks.c.video_id == video_id).order_by(tracks.c.id)
        if not deleted:
            rows = rows.where(tracks.c.deleted == sa.false())
        with self._database.glancing() as read:
            return [_track(row) for row in read.execute(rows)]

    def versions(self, video_id: int) -> dict[int, int]:
        """The version of each track of a video, deleted ones aside, by its number."""
        rows = sa.select(tracks.c.id, tracks.c.version).where(
            tracks.c.video_id == video_id, tracks.c.deleted == sa.false()
        )
        with self._database.glancing() as read:
            return {row.id: row.version for row in read.execute(rows)}

    def track_counts(self) -> dict[int, int]:
        """How many tracks a video has, deleted ones aside, by its number; 0 is left out."""
        rows = sa.select(tracks.c.video_id, sa.func.count()).where(tracks.c.deleted == sa.false())
        with self._database.glancing() as read:
            return {row[0]: row[1] for row in read.execute(rows.group_by(tracks.c.video_id))}

    def track(self, track_id: int) -> Track:
        """The track as it is now, deleted or not. KeyError when it never was."""
        with self._database.glancing() as read:
            return current(read, track_id)

    def history(self, track_id: int) -> list[Edit]:
        """All edits of a track, the first one first."""
        rows = sa.select(edits).where(edits.c.track_id == track_id).order_by(edits.c.version)
        with self._database.reading() as read:
            current(read, track_id)
            return [_past_edit(row) for row in read.execute(rows)]

    def _edit(
        self, track_id: int, base: int, user: User, edit_id: str, kind: str, **changes: Any
    ) -> Track:
        _check_edit(kind, edit_id)
        try:
            with self._database.writing() as write:
                return _change(write, track_id, base, user, edit_id, kind, changes)
        except IntegrityError:  # there is an edit of that id
            with self._database.writing() as write:
                return _change(write, track_id, base, user, edit_id, kind, changes, again=True)


def create(
    write: Transaction,
    video_id: int,
    user: User,
    contents: Sequence[Content],
    edit_id: str,
    kind: str,
) -> list[Track]:
    """New tracks of a video, their history and their events, in a transaction that is open."""
    size = sa.select(videos.c.frames, videos.c.width, videos.c.height)
    there = size.where(videos.c.id == video_id, videos.c.removed == sa.false())
    frames, width, height = found(write.execute(there).first(), "video", video_id)
    if len(contents) > MOST_TRACKS:
        raise ValueError(f"tracks: expected {MOST_TRACKS} at most at once, got {len(contents)}")
    for content in contents:
        content.check_within(frames, width, height)
    rows = [
        {
            "video_id": video_id,
            "version": 1,
            "content": content.to_text(),
            "stage": "annotate",
            "deleted": False,
            "changed_at": write.now,
            "changed_by": user.name,
        }
        for content in contents
    ]
    if not rows:
        return []
    insert = tracks.insert().returning(tracks, sort_by_parameter_order=True)
    made = write.execute(insert, rows).all()
    past = [_past(row._asdict(), user, edit_id, kind, n) for n, row in enumerate(made)]
    write.execute(edits.insert(), past)
    new = [_track(row) for row in made]
    _tell(write, new, kind, user.name)
    return new


def current(read: sa.Connection, track_id: int) -> Track:
    """The track as it is now. KeyError when it never was."""
    row = read.execute(sa.select(tracks).where(tracks.c.id == track_id)).first()
    return _track(found(row, "track", track_id))


def change_stage(write: Transaction, chosen: Sequence[int], stage: str, by: str) -> None:
    """Moves tracks to a stage; their versions stay, since their contents do."""
    if not chosen:
        return
    change = tracks.update().where(tracks.c.id.in_(chosen)).values(stage=stage)
    moved = [_track(row) for row in write.execute(change.returning(tracks))]
    _tell(write, moved, "stage", by)


def _change(
    write: Transaction,
    track_id: int,
    base: int,
    user: User,
    edit_id: str,
    kind: str,
    changes: dict[str, Any],
    again: bool = False,
) -> Track:
    """One edit: `changes` may hold content, stage and deleted. `again`: it may have been made."""
    row = write.execute(_LOCKED, {"number": track_id}).first()
    row = found(row, "track", track_id)
    done = _first_result(write, edit_id) if again or row.version != base else []
    if done and done[0].id != track_id:
        raise ValueError(
            f"edit_id: expected a new one for each edit, got that of track {done[0].id}"
        )
    if done:
        return done[0]
    before = _track(row)
    content = changes.get("content", before.content)
    content.check_within(row.frames, row.width, row.height)
    if before.version != base:
        raise _conflict(write, before, base, content)
    if before.deleted and kind not in ("restore", "delete"):
        raise ValueError(f"track {track_id} is deleted; restore it first (an edit of that kind)")
    stage = changes.get("stage", "refine" if before.stage == "agreed" else before.stage)
    values = {
        "version": base + 1,
        "content": content.to_text(),
        "stage": stage,
        "deleted": changes.get("deleted", False),
        "changed_at": max(write.now, row.changed_at),  # clocks may differ, and go back
        "changed_by": user.name,
    }
    changed = write.execute(_NEWEST, {"number": track_id, "base": base, **values})
    assert changed.rowcount == 1, f"track {track_id} changed while it was locked"
    after = {"id": track_id, "video_id": before.video_id, **values}
    write.execute(edits.insert(), _past(after, user, edit_id, kind, 0))
    track = replace(
        before,
        version=base + 1,
        content=content,
        stage=stage,
        deleted=values["deleted"],
        changed_at=moment(values["changed_at"]),
        changed_by=user.name,
    )
    if content.path_of() == before.content.path_of():
        carry_path(write, track_id, base)
    elif content.assist == "imported":
        bend_imported(write, [track])
    _tell(write, [track], kind, user.name)
    return track


def _conflict(write: Transaction, now: Track, base: int, ours: Content) -> Conflict:
    rows = sa.select(edits.c.content).where(edits.c.track_id == now.id, edits.c.version == base)
    then = write.execute(rows).scalar()
    if then is None:
        raise ValueError(f"base_version: expected 1..{now.version} of track {now.id}, got {base}")
    return Conflict(now, None if now.deleted else merge(Content.from_text(then), ours, now.content))


def _first_result(write: Transaction, edit_id: str) -> list[Track]:
    """What the edit of that id made, when there was one."""
    return [
        Track(
            row.track_id,
            row.video_id,
            row.version,
            Content.from_text(row.content),
            row.stage,
            row.deleted,
            moment(row.time),
            row.by,
        )
        for row in write.execute(_SAME_EDIT, {"sent": edit_id})
    ]


def _past(
    row: Mapping[str, Any], user: User, edit_id: str, kind: str, place: int
) -> dict[str, Any]:
    """The row of history that says how a track came to be as its row is."""
    return {
        "track_id": row["id"],
        "version": row["version"],
        "user_id": user.id,
        "by": user.name,
        "time": row["changed_at"],
        "kind": kind,
        "stage": row["stage"],
        "deleted": row["deleted"],
        "content": row["content"],
        "edit_id": edit_id,
        "place": place,
    }


def _past_edit(row: sa.Row) -> Edit:
    content = Content.from_text(row.content)
    return Edit(row.version, row.by, moment(row.time), row.kind, row.stage, content)


def _tell(write: Transaction, changed: Sequence[Track], kind: str, by: str) -> None:
    for track in changed:
        data = {"track": track.id, "version": track.version, "deleted": track.deleted}
        write.tell(track.video_id, "track", {**data, "kind": kind, "stage": track.stage, "by": by})


def _track(row: sa.Row) -> Track:
    return Track(
        row.id,
        row.video_id,
        row.version,
        Content.from_text(row.content),
        row.stage,
        row.deleted,
        moment(row.changed_at),
        row.changed_by,
    )


def _check_edit(kind: str, edit_id: str) -> None:
    if not isinstance(edit_id, str) or not 1 <= len(edit_id) <= 100 or not edit_id.isascii():
        raise ValueError(f"edit_id: expected 1 to 100 ASCII characters, got {str(edit_id)[:40]!r}")
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise ValueError(f"kind: expected a word such as 'click', got {str(kind)[:40]!r}")
