"""Passes over a video: who makes one, what the passes made of each track, and what they cost.

The first pass (stage "annotate") ends when its task is submitted, or when a second one is assigned
and no first one is open: its tracks go to stage "refine", and the version it left is remembered
with its path. A track that was agreed on has the stage "agreed".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from tapnet.annotation import quality
from tapnet.annotation.content import Content, Path
from tapnet.annotation.database import Transaction
from tapnet.annotation.edits import change_stage
from tapnet.annotation.part import Part, found, moment
from tapnet.annotation.paths import path_of
from tapnet.annotation.people import user_of
from tapnet.annotation.records import TASK_STAGES, Difference, Pass, Task, User
from tapnet.annotation.schema import edits, passes, paths, tasks, tracks, users, videos
from tapnet.annotation.videos import check_video

LONGEST_NOTE = 2000  # characters


class Passes(Part):
    """Who works on what, and what came of it."""

    def assign(self, video_id: int, user_id: int, stage: str, by: User | None = None) -> Task:
        """The task of a user to go over a video; one that was there already is open again."""
        if stage not in TASK_STAGES:
            raise ValueError(f"stage: expected {', '.join(TASK_STAGES)}, got {stage!r}")
        with self._database.writing() as write:
            check_video(write, video_id, alone=True)
            user = user_of(write.connection, user_id)
            same = sa.and_(
                tasks.c.video_id == video_id, tasks.c.user_id == user_id, tasks.c.stage == stage
            )
            values = {"state": "open", "note": "", "changed_at": write.now}
            change = tasks.update().where(same).values(**values).returning(tasks.c.id)
            number = write.execute(change).scalar()
            if number is None:
                row = {"video_id": video_id, "user_id": user_id, "stage": stage, **values}
                number = write.execute(tasks.insert().returning(tasks.c.id), row).scalar_one()
            if stage != "annotate" and not _is_open(write, video_id, "annotate"):
                _end_pass(write, video_id, "annotate", (by or user).name)
            return _told(write, number, by or user)

    def tasks(self, user_id: int | None = None, video_id: int | None = None) -> list[Task]:
        """All tasks, of a user and of a video where given; the newest first."""
        rows = _tasks().order_by(tasks.c.id.desc())
        if user_id is not None:
            rows = rows.where(tasks.c.user_id == user_id)
        if video_id is not None:
            rows = rows.where(tasks.c.video_id == video_id)
        with self._database.reading() as read:
            return [_task(row) for row in read.execute(rows)]

    def submit(self, task_id: int, user: User) -> Task:
        """The task, done: its pass ends. Another's task takes a reviewer: else PermissionError."""
        with self._database.writing() as write:
            row = _row(write, task_id)
            if row.user_id != user.id and not user.may("reviewer"):
                raise PermissionError(f"task {task_id} is {row.user}'s; a reviewer may submit it")
            _change(write, task_id, state="submitted", note="")
            if row.stage in ("annotate", "refine"):
                _end_pass(write, row.video_id, row.stage, row.user)
            return _told(write, task_id, user)

    def send_back(self, task_id: int, user: User, note: str) -> Task:
        """The task, to be done again; tracks of the first pass go back to it. For reviewers."""
        if not user.may("reviewer"):
            raise PermissionError(f"sending back a task takes a reviewer, {user.name} is none")
        if len(note) > LONGEST_NOTE:
            raise ValueError(f"note: expected {LONGEST_NOTE} characters at most, got {len(note)}")
        with self._database.writing() as write:
            row = _row(write, task_id)
            _change(write, task_id, state="returned", note=note)
            if row.stage == "annotate":
                _reopen(write, row.video_id, user.name)
            return _told(write, task_id, user)

    def compare(self, video_id: int) -> list[Difference]:
        """What the second pass made of each track of a video, against the first; in track order.

        Tracks that only one pass has worked on are not in it.
        """
        with self._database.reading() as read:
            return [_difference(*pair) for pair in _pairs(read, video_id)]

    def quality(self, video_id: int | None = None) -> dict[str, Any]:
        """Figures of a video, or of all: what tracks cost and how well two passes agree.

        {"tracks", "clicks", "seconds", "clicks_per_track", "seconds_per_track", "compared": tracks
        with two passes, "agreement_px": median distance of the passes, "within": {"1": share, ...},
        "visible_agreement", "drift_px": median distance in the last stretch of "drift",
        "drift": as `quality.drift`, "annotators": as `quality.effort`}; None where there is nothing
        to count. Per track: medians.
        """
        with self._database.reading() as read:
            living = (
                sa.select(tracks.c.id)
                .join(videos)
                .where(tracks.c.deleted == sa.false(), videos.c.removed == sa.false())
            )
            if video_id is not None:
                living = living.where(tracks.c.video_id == video_id)
            rows = sa.select(edits, tracks.c.video_id).join(tracks).order_by(edits.c.time)
            rows = rows.where(edits.c.track_id.in_(living))
            work = [
                quality.Work(
                    row.track_id,
                    row.video_id,
                    row.by,
                    row.time,
                    Content.from_text(row.content),
                    by_hand=row.kind != "import",
                )
                for row in read.execute(rows.order_by(edits.c.id))
            ]
            ids = sa.select(videos.c.id).where(videos.c.removed == sa.false())
            chosen = list(read.execute(ids).scalars()) if video_id is None else [video_id]
            total = read.execute(sa.select(sa.func.count()).select_from(living.subquery())).scalar()
            parts = [
                (first.content.clicks[0].frame, quality.apart(a, b))
                for number in chosen
                for _, _, first, a, _, b in _pairs(read, number)
                if first.content.clicks
            ]
        cost, both = quality.effort(work), quality.figures(part for _, part in parts)
        drift = quality.drift(parts)
        return {
            "tracks": total,
            "clicks": sum(cost["clicks"].values()),
            "seconds": sum(cost["seconds"].values()),
            "clicks_per_track": quality.middle(cost["clicks"].values()),
            "seconds_per_track": quality.middle(cost["seconds"].values()),
            "compared": len(parts),
            "agreement_px": both["median"],
            "within": {str(d): share for d, share in both["within"].items()},
            "visible_agreement": both["visibility"],
            "drift_px": drift[-1]["px"] if drift else None,
            "drift": drift,
            "annotators": cost["annotators"],
        }


def _tasks() -> sa.Select:
    names = (users.c.name.label("user"), videos.c.path.label("video"))
    return (
        sa.select(tasks, *names)
        .join(users, users.c.id == tasks.c.user_id)
        .join(videos, videos.c.id == tasks.c.video_id)
    )


def _row(write: Transaction, task_id: int) -> sa.Row:
    row = write.execute(_tasks().where(tasks.c.id == task_id)).first()
    return found(row, "task", task_id)


def _change(write: Transaction, task_id: int, **values: Any) -> None:
    change = tasks.update().where(tasks.c.id == task_id)
    write.execute(change.values(**values, changed_at=write.now))


def _told(write: Transaction, task_id: int, by: User) -> Task:
    task = _task(_row(write, task_id))
    data = {"task": task.id, "user": task.user, "stage": task.stage, "state": task.state}
    write.tell(task.video_id, "task", {**data, "by": by.name})
    return task


def _task(row: sa.Row) -> Task:
    return Task(
        id=row.id,
        video_id=row.video_id,
        video=row.video,
        user_id=row.user_id,
        user=row.user,
        stage=row.stage,
        state=row.state,
        note=row.note,
        changed_at=moment(row.changed_at),
    )


def _is_open(write: Transaction, video_id: int, stage: str) -> bool:
    of_it = sa.select(tasks.c.id).where(tasks.c.video_id == video_id, tasks.c.stage == stage)
    return write.execute(of_it.where(tasks.c.state != "submitted")).first() is not None


def _end_pass(write: Transaction, video_id: int, stage: str, by: str) -> None:
    """Remembers how a pass left the tracks that are in its stage."""
    if stage == "annotate" and _is_open(write, video_id, stage):
        return  # others are still at it
    inside = sa.select(tracks.c.id, tracks.c.version).where(
        tracks.c.video_id == video_id, tracks.c.stage == stage, tracks.c.deleted == sa.false()
    )
    left = write.execute(inside.order_by(tracks.c.id).with_for_update()).all()
    ids = [track_id for track_id, _ in left]
    before = sa.and_(passes.c.track_id.in_(ids), passes.c.stage == stage)
    write.execute(passes.delete().where(before))
    if left:
        write.execute(
            passes.insert(),
            [
                {"track_id": t, "stage": stage, "version": v, "by": by, "time": write.now}
                for t, v in left
            ],
        )
    if stage == "annotate":
        change_stage(write, ids, "refine", by)


def _reopen(write: Transaction, video_id: int, by: str) -> None:
    """Tracks that nobody has refined yet are in the first pass again."""
    untouched = (
        sa.select(tracks.c.id)
        .join(passes, sa.and_(passes.c.track_id == tracks.c.id, passes.c.stage == "annotate"))
        .where(tracks.c.video_id == video_id, tracks.c.stage == "refine")
        .where(tracks.c.version == passes.c.version)
    )
    locked = untouched.order_by(tracks.c.id).with_for_update(of=tracks)
    change_stage(write, list(write.execute(locked).scalars()), "annotate", by)


# --------------------------------------------------------------------------- comparing

_Pair = tuple[int, bool, Pass, Path, Pass, Path]  # track, agreed, first pass, second pass


def _pairs(read: sa.Connection, video_id: int) -> Iterator[_Pair]:
    """The tracks of a video that two passes worked on."""
    rows = sa.select(tracks.c.id, tracks.c.stage).order_by(tracks.c.id)
    rows = rows.where(tracks.c.video_id == video_id, tracks.c.deleted == sa.false())
    for track_id, stage in read.execute(rows).all():
        ended = sa.select(passes).where(passes.c.track_id == track_id)
        left = {row.stage: row for row in read.execute(ended)}
        if "annotate" not in left:
            continue
        start = left["annotate"].version
        refined = sa.select(sa.func.max(edits.c.version)).where(
            edits.c.track_id == track_id, edits.c.stage == "refine", edits.c.version > start
        )
        end = left["refine"].version if "refine" in left else read.execute(refined).scalar()
        if end is None:
            continue
        by = left["refine"].by if "refine" in left else None
        first = _pass(read, track_id, "annotate", start, left["annotate"].by)
        second = _pass(read, track_id, "refine", end, by)
        yield track_id, stage == "agreed", *first, *second


def _pass(
    read: sa.Connection, track_id: int, stage: str, version: int, by: str | None
) -> tuple[Pass, Path]:
    """What a pass left, and the path of it: the one that was computed, if it is whole."""
    of_it = sa.select(edits).where(edits.c.track_id == track_id, edits.c.version == version)
    edit = read.execute(of_it).one()
    content = Content.from_text(edit.content)
    kept = sa.select(paths).where(paths.c.track_id == track_id, paths.c.version == version)
    row = read.execute(kept.where(paths.c.complete == sa.true())).first()
    path = quality.straight(content) if row is None else path_of(row)
    return Pass(stage, version, by or edit.by, content, row is not None), path


def _difference(
    track_id: int, agreed: bool, first: Pass, a: Path, second: Pass, b: Path
) -> Difference:
    part = quality.apart(a, b)
    figures = quality.figures([part])
    return Difference(track_id, first, second, agreed, **figures, frames=quality.disagreement(part))
