"""Passes over videos: who does which, how they agree, and the figures of quality."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field

from tapnet.annotation.passes import LONGEST_NOTE
from tapnet.annotation.records import Difference, Pass, Task
from tapnet.studio.access import Reviewer, Someone
from tapnet.studio.context import Id, Number, Studying, check_lines

router = APIRouter(prefix="/api", tags=["tasks"])
Note = Annotated[str, Field(max_length=LONGEST_NOTE), AfterValidator(check_lines)]
Stage = Literal["annotate", "refine", "review"]


class NewTask(BaseModel):
    user: Number
    stage: Stage


class Return(BaseModel):
    note: Note = ""


@router.get("/videos/{video_id}/tasks")
def tasks_of_video(video_id: Id, studio: Studying, user: Someone) -> list[dict[str, Any]]:
    studio.project.video(video_id)
    return [shown(task) for task in studio.project.tasks(video_id=video_id)]


@router.post("/videos/{video_id}/tasks")
def assign(video_id: Id, body: NewTask, studio: Studying, user: Reviewer) -> dict[str, Any]:
    task = studio.project.assign(video_id, body.user, body.stage, user)
    studio.changed()
    return shown(task)


@router.get("/tasks")
def my_tasks(studio: Studying, user: Someone) -> list[dict[str, Any]]:
    return [shown(task) for task in studio.project.tasks(user_id=user.id)]


@router.post("/tasks/{task_id}/submit")
def submit(task_id: Id, studio: Studying, user: Someone) -> dict[str, Any]:
    task = studio.project.submit(task_id, user)
    studio.changed()
    return shown(task)


@router.post("/tasks/{task_id}/return")
def send_back(task_id: Id, body: Return, studio: Studying, user: Reviewer) -> dict[str, Any]:
    task = studio.project.send_back(task_id, user, body.note)
    studio.changed()
    return shown(task)


@router.get("/videos/{video_id}/compare")
def compare(video_id: Id, studio: Studying, user: Someone) -> list[dict[str, Any]]:
    studio.project.video(video_id)
    return [_difference(found) for found in studio.project.compare(video_id)]


@router.get("/quality")
def quality(studio: Studying, user: Someone, video: Number | None = None) -> dict[str, Any]:
    if video is not None:
        studio.project.video(video)
    return studio.project.quality(video)


def shown(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "video_id": task.video_id,
        "video": task.video,
        "user_id": task.user_id,
        "user": task.user,
        "stage": task.stage,
        "state": task.state,
        "note": task.note,
        "changed_at": task.changed_at.isoformat(),
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "track": found.track_id,
        "first": _pass(found.first),
        "second": _pass(found.second),
        "agreed": found.agreed,
        "median": found.median,
        "max": found.maximum,
        "within": found.within,
        "visible_agreement": found.visibility,
        "frames": [frame for start, stop in found.frames for frame in range(start, stop)],
    }


def _pass(left: Pass) -> dict[str, Any]:
    return {
        "user": left.user,
        "stage": left.stage,
        "version": left.version,
        "content": left.content.to_json(),
        "computed": left.computed,
    }
