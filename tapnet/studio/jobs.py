"""Long work: asked for here, done by worker processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, Field
from starlette.requests import Request

from tapnet.annotation.records import Job
from tapnet.studio.access import Someone
from tapnet.studio.context import Id, Number, Studying

router = APIRouter(prefix="/api", tags=["jobs"])


class Settings(BaseModel, extra="forbid"):
    """Of a job; each kind has its own, all with defaults."""

    tracks: Annotated[list[Number], Field(max_length=10_000)] | None = None  # None: all
    format: Literal["npz", "csv", "pkl"] | None = None  # of an export
    trail: Annotated[int, Field(ge=0, le=1000)] | None = None  # frames, of an overlay


class NewJob(BaseModel):
    kind: Literal["assist", "overlay", "export", "proxy"]
    settings: Settings = Settings()


@router.get("/videos/{video_id}/jobs")
def jobs_of_video(video_id: Id, studio: Studying, user: Someone) -> list[dict[str, Any]]:
    studio.project.video(video_id)
    return [shown(job) for job in studio.project.jobs(video_id)]


@router.post("/videos/{video_id}/jobs")
def ask_for(video_id: Id, body: NewJob, studio: Studying, user: Someone) -> dict[str, Any]:
    settings = body.settings.model_dump(exclude_none=True)
    if body.kind == "export":
        settings.setdefault("format", "npz")
    job = studio.project.enqueue(body.kind, video_id, settings, user)
    studio.changed()
    return shown(job)


@router.get("/jobs/{job_id}")
def job(job_id: Id, studio: Studying, user: Someone) -> dict[str, Any]:
    return shown(studio.project.job(job_id))


@router.post("/jobs/{job_id}/cancel")
def cancel(job_id: Id, studio: Studying, user: Someone) -> dict[str, Any]:
    found = studio.project.cancel(job_id)
    studio.changed()
    return shown(found)


@router.get("/jobs/{job_id}/result", response_class=FileResponse)
def result(job_id: Id, studio: Studying, user: Someone) -> FileResponse:
    """The file that the job wrote."""
    found = studio.project.job(job_id)
    if found.state != "done" or not found.result:
        raise HTTPException(
            404, f"job {job_id}: expected one that wrote a file, it is {found.state}"
        )
    path = studio.options.folder / found.result
    if not path.is_file():
        raise HTTPException(404, f"{path.name}: the file was removed; ask for it again")
    stem = Path(studio.project.video(found.video_id).name).stem
    name = f"{stem}-{'tracks' if found.kind == 'export' else found.kind}{path.suffix}"
    return FileResponse(path, filename=name, content_disposition_type="attachment")


@router.get("/models")
def models(user: Someone) -> list[dict[str, Any]]:
    """Trackers that are ready to use, the default first."""
    from tapnet.studio.trackers import ready

    return [{"name": name, "online": online} for name, online in ready().items()]


@router.get("/events", response_class=StreamingResponse)
async def events(
    request: Request,
    studio: Studying,
    user: Someone,
    video: Annotated[Number | None, Query()] = None,
    after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
) -> StreamingResponse:
    """What others do, as server-sent events; after a break from `Last-Event-ID` on."""
    seen = request.headers.get("last-event-id", "")
    after = int(seen) if seen.isdecimal() and len(seen) < 19 else after
    return StreamingResponse(
        studio.hub.stream(video, after),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def shown(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": job.kind,
        "video": job.video_id,
        "settings": job.settings,
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "message": job.message,
        "has_result": job.result is not None,
        "by": job.by,
        "created": job.created.isoformat(),
        "started": job.started.isoformat() if job.started else None,
        "ended": job.ended.isoformat() if job.ended else None,
    }
