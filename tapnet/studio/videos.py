"""Videos: what there is, the file, single frames, uploads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from tapnet.annotation.records import Task, Video
from tapnet.studio.access import Admin, Someone
from tapnet.studio.context import Id, Studio, Studying, Text
from tapnet.studio.frames import FORMATS
from tapnet.studio.tasks import shown as task_shown
from tapnet.studio.uploads import OutOfStep
from tapnet.studio.work import browser_copy, stamp
from tapnet.video.writing import written_rate

FOR_EVER = "private, max-age=31536000, immutable"
RENEWED = "private, no-cache"
WRITE_BYTES = 1 << 20  # collected before they are written

router = APIRouter(prefix="/api", tags=["videos"])
FrameNumber = Annotated[int, Field(ge=0, le=10_000_000)]
Height = Annotated[int, Query(ge=16, le=8192)]
Format = Literal["jpg", "png", "webp"]
UploadId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


@router.get("/videos")
async def videos(studio: Studying, user: Someone) -> list[dict[str, Any]]:
    shown = await run_in_threadpool(_all_shown, studio)
    if len(shown) == 1:  # it will be opened
        found = await run_in_threadpool(studio.project.video, shown[0]["id"])
        studio.aside(studio.frames.prepare(found.path, shown[0]["stamp"]))
    return shown


def _all_shown(studio: Studio) -> list[dict[str, Any]]:
    counts, tasks = studio.project.track_counts(), studio.project.tasks()
    return [
        _shown(studio, video, counts.get(video.id, 0), [t for t in tasks if t.video_id == video.id])
        for video in studio.project.videos()
    ]


@router.get("/videos/{video_id}")
async def video(video_id: Id, studio: Studying, user: Someone) -> dict[str, Any]:
    """The video, and when each frame is shown by what /file plays, in seconds from the first."""
    found = await run_in_threadpool(studio.project.video, video_id)
    shown = await run_in_threadpool(_whole, studio, found)
    studio.workers.warm()
    studio.aside(studio.frames.prepare(found.path, shown["stamp"]))
    return shown


@router.delete("/videos/{video_id}")
def remove_video(video_id: Id, studio: Studying, user: Admin) -> dict[str, Any]:
    studio.project.remove_video(video_id)
    studio.changed()
    return {}


@router.get("/videos/{video_id}/file", response_class=FileResponse)
def file(video_id: Id, studio: Studying, user: Someone, v: str | None = None) -> Response:
    """The video as browsers play it; parts of it by Range."""
    found = studio.project.video(video_id)
    path = _playing(studio, found)
    if path is None:
        raise HTTPException(
            404, f"{found.name}: browsers do not play it; ask for its frames, or for a proxy"
        )
    kind = "video/webm" if path.suffix.lower() == ".webm" else "video/mp4"
    keep = FOR_EVER if v == _stamp(found.path) else RENEWED
    return FileResponse(path, media_type=kind, headers={"Cache-Control": keep})


@router.get("/videos/{video_id}/frames/{frame}", response_class=Response)
async def frame(
    video_id: Id,
    frame: FrameNumber,
    request: Request,
    studio: Studying,
    user: Someone,
    height: Height | None = None,
    format: Format = "jpg",
    v: str | None = None,
) -> Response:
    """Frame `frame` as an image, exactly; `height` makes it smaller, never larger."""
    found = await run_in_threadpool(studio.project.video, video_id)
    if frame >= found.frames:
        raise HTTPException(404, f"frame: expected 0 to {found.frames - 1}, got {frame}")
    height = None if height is None or height >= found.height else height
    mark = _stamp(found.path)
    tag = f'"{mark}-{frame}-{height}-{format}"'
    headers = {"ETag": tag, "Cache-Control": FOR_EVER if v == mark else RENEWED}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    image = await studio.frames.image(
        found.path, mark, frame, height, format, request.is_disconnected
    )
    if image is None:
        return Response(status_code=499)
    return Response(image, media_type=FORMATS[format], headers=headers)


class NewUpload(BaseModel):
    name: Text
    size: Annotated[int, Field(ge=1, le=2**53)]


@router.post("/uploads")
def begin_upload(body: NewUpload, studio: Studying, user: Someone) -> dict[str, Any]:
    upload = studio.uploads.begin(body.name, body.size, user.name)
    return {"id": upload.id, "offset": 0}


@router.get("/uploads/{upload_id}")
def upload(upload_id: UploadId, studio: Studying, user: Someone) -> dict[str, Any]:
    found = studio.uploads.get(upload_id)
    return {"offset": found.offset, "size": found.size}


@router.patch("/uploads/{upload_id}")
async def continue_upload(
    upload_id: UploadId,
    request: Request,
    studio: Studying,
    user: Someone,
    upload_offset: Annotated[int, Header(ge=0, le=2**53)],
) -> Any:
    """Appends the bytes of the body at `Upload-Offset`; what came before a broken line stays."""
    try:
        with studio.uploads.writing(upload_id, upload_offset) as part:
            held = bytearray()
            async for chunk in request.stream():
                held += chunk
                if len(held) >= WRITE_BYTES:
                    await run_in_threadpool(part.append, bytes(held))
                    held.clear()
            await run_in_threadpool(part.append, bytes(held))
            return {"offset": part.offset}
    except OutOfStep as error:
        return JSONResponse({"detail": str(error), "offset": error.offset}, 409)


@router.post("/uploads/{upload_id}/finish")
def finish_upload(upload_id: UploadId, studio: Studying, user: Someone) -> dict[str, Any]:
    """The video that was uploaded; refused, and dropped, if it is none that we take."""
    path = studio.uploads.finish(upload_id)
    try:
        added = studio.project.add_video(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    studio.changed()
    return _whole(studio, added)


def _whole(studio: Studio, video: Video) -> dict[str, Any]:
    """A video with the times of its frames, as what is played has them."""
    count = studio.project.track_counts().get(video.id, 0)
    shown = _shown(studio, video, count, studio.project.tasks(video_id=video.id))
    by_copy = shown["playable"] and not video.playable
    times = np.arange(video.frames) / float(written_rate(video.fps)) if by_copy else video.times
    return shown | {"times": times.tolist()}


def _shown(studio: Studio, video: Video, count: int, tasks: list[Task]) -> dict[str, Any]:
    return {
        "id": video.id,
        "name": video.name,
        "width": video.width,
        "height": video.height,
        "frames": video.frames,
        "fps": video.fps,
        "playable": _playing(studio, video) is not None,
        "stamp": _stamp(video.path) if video.path.exists() else "",
        "tracks": count,
        "tasks": [task_shown(task) for task in tasks],
    }


def _playing(studio: Studio, video: Video) -> Path | None:
    """The file that browsers play: the video itself, or the copy made for them."""
    if video.playable:
        return video.path
    copy = browser_copy(studio.options.folder, video) if video.path.exists() else None
    return copy if copy and copy.is_file() else None


def _stamp(path: Path) -> str:
    """Changes with the file: what browsers may keep of it belongs to one stamp."""
    try:
        return stamp(path)
    except FileNotFoundError:
        raise HTTPException(
            404, f"{path.name}: the file is not in the folder any more; put it back"
        ) from None
