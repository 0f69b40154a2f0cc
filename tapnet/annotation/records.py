"""What a project keeps, as values: users, videos, tracks, edits, tasks, jobs, events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path as File
from typing import Any

import numpy as np

from tapnet.annotation.content import Content, Path

PRIVATE = ".tapnet"  # in the folder of a project: what belongs to it, never shown as a video
ROLES = ("annotator", "reviewer", "admin")  # each may do what the ones before it may
STAGES = ("annotate", "refine", "agreed")  # of a track
TASK_STAGES = ("annotate", "refine", "review")
TASK_STATES = ("open", "submitted", "returned")
JOB_STATES = ("queued", "running", "done", "failed", "cancelled")
EVENT_KINDS = ("track", "path", "job", "video", "task")


@dataclass(frozen=True)
class User:
    """Someone who annotates."""

    id: int
    name: str
    role: str  # one of ROLES

    def may(self, role: str) -> bool:
        """Whether the user has that role, or one above it."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, eq=False)
class Video:
    """A video of the project, as it was when it was added."""

    id: int
    name: str
    path: File  # absolute
    width: int
    height: int
    frames: int
    fps: float
    times: np.ndarray  # [frames] float64 seconds of presentation, from the first frame's
    playable: bool  # browsers can play the file as it is
    added: datetime


@dataclass(frozen=True)
class Track:
    """A track as one version of it says."""

    id: int
    video_id: int
    version: int  # from 1, one more with each edit
    content: Content
    stage: str  # one of STAGES
    deleted: bool
    changed_at: datetime
    changed_by: str  # name of the user

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "video_id": self.video_id,
            "version": self.version,
            "content": self.content.to_json(),
            "stage": self.stage,
            "deleted": self.deleted,
            "changed_at": self.changed_at.isoformat(),
            "changed_by": self.changed_by,
        }


@dataclass(frozen=True)
class Edit:
    """One change of a track: who, when, what."""

    version: int  # of the track, after it
    user: str  # name
    time: datetime
    kind: str  # "create", "click", "delete", "restore", "agree", "import" ...: what the user did
    stage: str  # of the track, after it
    content: Content  # of the track, after it


@dataclass(frozen=True)
class StoredPath:
    """The path of a track that was computed last."""

    version: int  # of the track it was computed for
    complete: bool  # False while more of it is being computed
    path: Path


@dataclass(frozen=True)
class Task:
    """A person's pass over a video."""

    id: int
    video_id: int
    video: str  # name
    user_id: int
    user: str  # name
    stage: str  # one of TASK_STAGES
    state: str  # one of TASK_STATES
    note: str  # why it was sent back, or empty
    changed_at: datetime


@dataclass(frozen=True)
class Job:
    """Long work that a worker process does."""

    id: int
    kind: str
    video_id: int
    settings: dict[str, Any]
    state: str  # one of JOB_STATES
    done: int
    total: int  # 0 = not known yet
    message: str
    result: str | None  # a file, relative to the project's folder
    created: datetime
    started: datetime | None
    ended: datetime | None
    by: str  # name of the user who asked for it


@dataclass(frozen=True)
class Event:
    """Something changed: others are told of it. Ids grow, and are seen in their order."""

    id: int
    video_id: int
    kind: str  # one of EVENT_KINDS
    data: dict[str, Any]
    time: datetime


@dataclass(frozen=True)
class Pass:
    """A track as one pass over it left it."""

    stage: str  # "annotate" or "refine"
    version: int
    user: str  # name of who changed it last in that pass
    content: Content
    computed: bool  # False: its path is not there, straight lines between the clicks stand for it


@dataclass(frozen=True)
class Difference:
    """How far two passes over one track are apart, on the frames that both have."""

    track_id: int
    first: Pass
    second: Pass
    agreed: bool  # the track was agreed on
    median: float | None  # pixels, over frames that both call visible; None: there is no such frame
    maximum: float | None  # pixels
    within: dict[int, float]  # pixels -> share of those frames that are no farther apart
    visibility: float | None  # share of frames on which both say the same; None: no frame
    frames: tuple[tuple[int, int], ...]  # half-open ranges of disagreement


class Conflict(Exception):
    """Someone changed the track since: nothing was written.

    `current` is the track as it is now; `merged` holds both changes, or is None where they clash.
    """

    def __init__(self, current: Track, merged: Content | None) -> None:
        super().__init__(
            f"track {current.id} is at version {current.version}, changed by "
            f"{current.changed_by}: take its content or merge yours into it, and send again"
        )
        self.current = current
        self.merged = merged
