"""Tracks: what people click, its versions, and the paths computed from it."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from tapnet.annotation.content import MAX_FRAME, Click, Content
from tapnet.annotation.records import PRIVATE, StoredPath, Track, User
from tapnet.studio.access import Reviewer, Someone
from tapnet.studio.apart import ask
from tapnet.studio.context import Id, Number, Studio, Studying, Text
from tapnet.studio.options import MAX_CONTENTS

router = APIRouter(prefix="/api", tags=["tracks"])
EditId = Annotated[Text, Field(max_length=100)]
Frame = Annotated[int, Field(ge=0, le=MAX_FRAME, strict=True)]
Place = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Assist = Literal["tracker", "flow", "linear"]
Kind = Annotated[str, Field(pattern="^[a-z][a-z_-]{0,31}$")]


class ClickBody(BaseModel):
    frame: Frame
    x: Place
    y: Place


class ContentBody(BaseModel):
    """What a person made of a track; see tapnet/annotation/content.py."""

    name: str = ""
    object: str = ""
    clicks: list[ClickBody] = []
    hidden: list[tuple[Frame, Frame]] = []
    assist: Assist | Literal["imported"] = "tracker"
    model: str = "taplite"

    def content(self) -> Content:
        clicks = tuple(Click(click.frame, click.x, click.y) for click in self.clicks)
        return Content(self.name, self.object, clicks, tuple(self.hidden), self.assist, self.model)


class NewTracks(BaseModel):
    edit_id: EditId
    contents: Annotated[list[ContentBody], Field(min_length=1, max_length=MAX_CONTENTS)]


class Grid(BaseModel):
    edit_id: EditId
    frame: Frame
    count: Annotated[int, Field(ge=1, le=32, description="points a side")]
    assist: Assist = "tracker"
    model: Text = "taplite"


class Change(BaseModel):
    edit_id: EditId
    base_version: Number
    content: ContentBody
    kind: Kind = "click"


class Agreement(BaseModel):
    edit_id: EditId
    base_version: Number


@router.get("/videos/{video_id}/tracks")
def tracks(
    video_id: Id, studio: Studying, user: Someone, deleted: bool = False
) -> list[dict[str, Any]]:
    studio.project.video(video_id)
    return [track.to_json() for track in studio.project.tracks(video_id, deleted)]


@router.post("/videos/{video_id}/tracks")
def create(video_id: Id, body: NewTracks, studio: Studying, user: Someone) -> list[dict[str, Any]]:
    return _create(
        studio, video_id, user, [given.content() for given in body.contents], body.edit_id
    )


@router.post("/videos/{video_id}/grid")
def grid(video_id: Id, body: Grid, studio: Studying, user: Someone) -> list[dict[str, Any]]:
    """count x count points in the middle of equal cells of one frame."""
    video = studio.project.video(video_id)
    if body.frame >= video.frames:
        raise HTTPException(422, f"frame: expected 0 to {video.frames - 1}, got {body.frame}")
    steps = (np.arange(body.count) + 0.5) / body.count
    contents = [
        Content(
            name=f"{row + 1}.{column + 1}",
            clicks=(Click(body.frame, float(x * video.width), float(y * video.height)),),
            assist=body.assist,
            model=body.model,
        )
        for row, y in enumerate(steps)
        for column, x in enumerate(steps)
    ]
    return _create(studio, video_id, user, contents, body.edit_id)


@router.get("/tracks/{track_id}")
def track(track_id: Id, studio: Studying, user: Someone) -> dict[str, Any]:
    return studio.project.track(track_id).to_json()


@router.put("/tracks/{track_id}")
def change(track_id: Id, body: Change, studio: Studying, user: Someone) -> dict[str, Any]:
    """The new version; 409 with what is there now, and both merged, if someone was faster."""
    content = body.content.content()
    track = studio.project.change_track(
        track_id, body.base_version, content, user, body.edit_id, body.kind
    )
    _fill(studio, track.video_id, [track], user)
    return track.to_json()


@router.delete("/tracks/{track_id}")
def delete(
    track_id: Id,
    studio: Studying,
    user: Someone,
    base_version: Number,
    edit_id: Annotated[Text, Query(max_length=100)],
) -> dict[str, Any]:
    track = studio.project.delete_track(track_id, base_version, user, edit_id)
    studio.changed()
    return track.to_json()


@router.post("/tracks/{track_id}/agree")
def agree(track_id: Id, body: Agreement, studio: Studying, user: Reviewer) -> dict[str, Any]:
    track = studio.project.agree(track_id, body.base_version, user, body.edit_id)
    _fill(studio, track.video_id, [track], user)
    return track.to_json()


@router.get("/tracks/{track_id}/history")
def history(track_id: Id, studio: Studying, user: Someone) -> list[dict[str, Any]]:
    return [
        {
            "version": edit.version,
            "user": edit.user,
            "time": edit.time.isoformat(),
            "kind": edit.kind,
            "stage": edit.stage,
            "content": edit.content.to_json(),
        }
        for edit in studio.project.history(track_id)
    ]


@router.get("/videos/{video_id}/paths")
def paths(
    video_id: Id,
    studio: Studying,
    user: Someone,
    tracks: Annotated[str | None, Query(pattern=r"^\d{1,9}(,\d{1,9})*$", max_length=20_000)] = None,
) -> list[dict[str, Any]]:
    """Arrays are base64: xy float32 little endian, visible and confidence (0..255) uint8."""
    studio.project.video(video_id)
    numbers = None if tracks is None else sorted({int(number) for number in tracks.split(",")})
    found = studio.project.paths(video_id, numbers)
    return [_path(number, stored) for number, stored in found.items()]


@router.get("/tracks/{track_id}/paths/{version}")
def path_of_version(track_id: Id, version: Id, studio: Studying, user: Someone) -> dict[str, Any]:
    """The path of an earlier version, as in `paths`; kept of those that a pass ended with."""
    stored = studio.project.path_at(track_id, version)
    if stored is None:
        raise HTTPException(404, f"the path of version {version} of track {track_id} is not kept")
    return _path(track_id, stored)


@router.get("/videos/{video_id}/suggestions")
def suggestions(video_id: Id, studio: Studying, user: Someone) -> list[dict[str, Any]]:
    """Frames where a person should look next, the most doubtful first."""
    studio.project.video(video_id)
    return studio.project.suggestions(video_id)


@router.post("/videos/{video_id}/import")
async def import_tracks(
    video_id: Id, request: Request, studio: Studying, user: Someone, name: Text
) -> list[dict[str, Any]]:
    """The tracks of a file, the body: TAP-Vid pickle, npz or csv as the suffix of `name` says."""
    await run_in_threadpool(studio.project.video, video_id)
    suffix = Path(name).suffix.lower()
    if suffix not in (".pkl", ".npz", ".csv"):
        raise HTTPException(422, f"name: expected one ending in .pkl, .npz or .csv, got {name!r}")
    folder = studio.options.folder / PRIVATE
    with tempfile.NamedTemporaryFile(dir=folder, prefix="import-", suffix=suffix) as file:
        async for chunk in request.stream():
            await run_in_threadpool(file.write, chunk)
        file.flush()
        made = await run_in_threadpool(_import, studio, video_id, Path(file.name), user)
    studio.changed()
    return made


def _import(studio: Studio, video_id: int, file: Path, user: User) -> list[dict[str, Any]]:
    """In a process of its own, which a file from a stranger may not make large or busy for long."""
    options = studio.options
    try:
        said = ask(
            "importing",
            str(options.folder),
            options.database or "",
            str(video_id),
            str(user.id),
            str(file),
            seconds=300,
            late="expected a file that can be read in 5 minutes; cut it in parts",
            broken="the file cannot be read: it is damaged or too large",
        )
    except ValueError as error:
        raise ValueError(str(error).replace(str(file), "the file")) from error
    return said["tracks"]


def _create(
    studio: Studio, video_id: int, user: User, contents: list[Content], edit_id: str
) -> list[dict[str, Any]]:
    made = studio.project.create_tracks(video_id, user, contents, edit_id)
    _fill(studio, video_id, made, user)
    return [track.to_json() for track in made]


def _fill(studio: Studio, video_id: int, changed: list[Track], user: User) -> None:
    """Queues the paths of tracks that changed."""
    numbers = [
        track.id
        for track in changed
        if track.content.clicks and track.content.assist != "imported" and not track.deleted
    ]
    if numbers:
        studio.filling.add(video_id, numbers, user)
    studio.hub.wake()


def _path(number: int, stored: StoredPath) -> dict[str, Any]:
    path = stored.path
    return {
        "track": number,
        "version": stored.version,
        "complete": stored.complete,
        "start": path.start,
        "xy": _base64(path.xy.astype("<f4")),
        "visible": _base64(path.visible.astype(np.uint8)),
        "confidence": _base64(np.round(255 * np.clip(path.confidence, 0, 1)).astype(np.uint8)),
    }


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
