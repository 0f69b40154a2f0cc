"""Long work for worker processes: queued, claimed by one of them, told of, taken back when lost."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from tapnet.annotation.database import Transaction
from tapnet.annotation.part import Part, found, moment
from tapnet.annotation.records import Job, User
from tapnet.annotation.schema import jobs
from tapnet.annotation.videos import check_video

TRIES = 3  # workers that a job may take down with it
TELL_SECONDS = 0.25  # progress that comes sooner after the last is not written
LISTED = 500  # jobs


class Jobs(Part):
    """What workers do."""

    def enqueue(self, kind: str, video_id: int, settings: dict[str, Any], user: User) -> Job:
        """The job, waiting for a worker; where equal work waits already, that job."""
        text = json.dumps(settings, sort_keys=True, allow_nan=False)
        digest = hashlib.sha256(f"{kind}\n{video_id}\n{text}".encode()).hexdigest()
        waiting = sa.select(jobs).where(jobs.c.hash == digest, jobs.c.state == "queued")
        row = {"kind": kind, "video_id": video_id, "settings": text, "hash": digest}
        while True:
            try:
                with self._database.writing() as write:
                    check_video(write, video_id)
                    same = write.execute(waiting).first()
                    if same is not None:
                        return _job(same)
                    new = {**row, "state": "queued", "by": user.name, "created": write.now}
                    return _told(write, write.execute(jobs.insert().returning(jobs), new).one())
            except IntegrityError:  # the same work at the same moment, on PostgreSQL
                continue

    def claim(
        self, worker: str, video_id: int | None = None, kind: str | Collection[str] | None = None
    ) -> Job | None:
        """A queued job, from now on of this worker alone; None when nothing waits.

        The video with the fewest running jobs comes first, then the job that waits longest. Only
        jobs of that video, of that kind or those kinds, where given.
        """
        kinds = [kind] if isinstance(kind, str) else kind
        queued = sa.select(jobs.c.id).where(jobs.c.state == "queued")
        if video_id is not None:
            queued = queued.where(jobs.c.video_id == video_id)
        if kinds is not None:
            queued = queued.where(jobs.c.kind.in_(kinds))
        with self._database.glancing() as read:
            if read.execute(queued.limit(1)).first() is None:
                return None
        busy = jobs.alias()
        running = (
            sa.select(sa.func.count())
            .where(busy.c.video_id == jobs.c.video_id, busy.c.state == "running")
            .scalar_subquery()
        )
        with self._database.writing() as write:
            write.lock("claim")
            first = write.execute(queued.order_by(running, jobs.c.id).limit(1)).scalar()
            mine = jobs.update().where(jobs.c.id == first, jobs.c.state == "queued")
            values = {"state": "running", "worker": worker, "done": 0, "tries": jobs.c.tries + 1}
            times = {"started": write.now, "heard": write.now}
            row = write.execute(mine.values(**values, **times).returning(jobs)).first()
            return None if row is None else _told(write, row)

    def release(self, job_id: int, worker: str) -> bool:
        """Gives a job back, undone, since the worker stops; False when it is another's by now."""
        with self._database.writing() as write:
            write.lock("claim")
            row = write.execute(_of(job_id, worker).with_for_update()).first()
            if row is not None:
                _requeue(write, row, tries=row.tries - 1)
        return row is not None

    def progress(self, job_id: int, worker: str, done: int, total: int) -> bool:
        """Tells how far the work is, and that the worker lives.

        False: the job was cancelled or given to another; stop. Calls that follow each other closely
        only read, so it may be called as often as is handy.
        """
        with self._database.glancing() as read:
            row = read.execute(_of(job_id, worker)).first()
        if row is None:
            return False
        if time.time() - row.heard < TELL_SECONDS and row.total == total and done < total:
            return True
        with self._database.writing() as write:
            values = {"done": done, "total": total, "heard": write.now}
            row = write.execute(_mine(job_id, worker).values(**values).returning(jobs)).first()
            return row is not None and bool(_told(write, row))

    def finish(
        self, job_id: int, worker: str, state: str, message: str = "", result: str | None = None
    ) -> bool:
        """Ends the job as "done", "failed" or "cancelled"; False when it is another's by now.

        `result` is a file, relative to the project's folder.
        """
        if state not in ("done", "failed", "cancelled"):
            raise ValueError(f"state: expected done, failed or cancelled, got {state!r}")
        with self._database.writing() as write:
            values = {"state": state, "message": message, "result": result, "ended": write.now}
            row = write.execute(_mine(job_id, worker).values(**values).returning(jobs)).first()
            return row is not None and bool(_told(write, row))

    def cancel(self, job_id: int) -> Job:
        """The job, cancelled unless it has ended; its worker hears of it at its next progress."""
        open_ = sa.and_(jobs.c.id == job_id, jobs.c.state.in_(("queued", "running")))
        with self._database.writing() as write:
            change = jobs.update().where(open_).values(state="cancelled", ended=write.now)
            row = write.execute(change.returning(jobs)).first()
            if row is not None:
                return _told(write, row)
        return self.job(job_id)

    def requeue_lost(self, older_than_seconds: float) -> int:
        """Jobs whose worker was not heard for so long wait again, or fail after `TRIES`; how many.

        One whose work waits already in another job is cancelled.
        """
        with self._database.writing() as write:
            write.lock("claim")
            silent = jobs.c.heard < write.now - older_than_seconds
            lost = sa.select(jobs).where(jobs.c.state == "running", silent).with_for_update()
            rows = write.execute(lost).all()
            for row in rows:
                _requeue(write, row, tries=row.tries)
            return len(rows)

    def job(self, job_id: int) -> Job:
        """The job as it is now. KeyError when there is none."""
        with self._database.glancing() as read:
            row = read.execute(sa.select(jobs).where(jobs.c.id == job_id)).first()
        return _job(found(row, "job", job_id))

    def jobs(self, video_id: int | None = None) -> list[Job]:
        """The newest jobs, `LISTED` at most, of a video or of all; the newest first."""
        rows = sa.select(jobs).order_by(jobs.c.id.desc()).limit(LISTED)
        if video_id is not None:
            rows = rows.where(jobs.c.video_id == video_id)
        with self._database.glancing() as read:
            return [_job(row) for row in read.execute(rows)]


def _of(job_id: int, worker: str) -> sa.Select:
    mine = jobs.c.worker == worker
    return sa.select(jobs).where(jobs.c.id == job_id, mine, jobs.c.state == "running")


def _mine(job_id: int, worker: str) -> sa.Update:
    mine = jobs.c.worker == worker
    return jobs.update().where(jobs.c.id == job_id, mine, jobs.c.state == "running")


def _requeue(write: Transaction, row: sa.Row, tries: int) -> None:
    """Makes a running job wait again."""
    same = sa.select(jobs.c.id).where(jobs.c.hash == row.hash, jobs.c.state == "queued")
    values: dict[str, Any] = {"state": "queued", "worker": None, "tries": tries}
    if tries >= TRIES:
        why = f"its worker ended {tries} times before the work was done"
        values |= {"state": "failed", "message": why, "ended": write.now}
    elif write.execute(same).first() is not None:
        why = "its worker ended; the same work waits again"
        values |= {"state": "cancelled", "message": why, "ended": write.now}
    change = jobs.update().where(jobs.c.id == row.id).values(**values)
    _told(write, write.execute(change.returning(jobs)).one())


def _told(write: Transaction, row: sa.Row) -> Job:
    """The job in a row, others being told of it."""
    shown = ("id", "kind", "state", "done", "total", "message", "result", "by")
    write.tell(row.video_id, "job", {key: row._mapping[key] for key in shown})
    return _job(row)


def _job(row: sa.Row) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        video_id=row.video_id,
        settings=json.loads(row.settings),
        state=row.state,
        done=row.done,
        total=row.total,
        message=row.message,
        result=row.result,
        created=moment(row.created),
        started=None if row.started is None else moment(row.started),
        ended=None if row.ended is None else moment(row.ended),
        by=row.by,
    )
