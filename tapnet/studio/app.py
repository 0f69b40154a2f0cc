"""The application: `create_app(options)` with all its routes; it runs while its lifespan does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

import tapnet
from tapnet.annotation.project import Project
from tapnet.studio import access, edits, jobs, tasks, videos
from tapnet.studio.context import Studio, secret_of
from tapnet.studio.errors import answer_errors
from tapnet.studio.events import Hub
from tapnet.studio.filling import Filling
from tapnet.studio.frames import FrameServer
from tapnet.studio.guard import Guard
from tapnet.studio.options import LOOPBACK, MAX_BODY, MAX_CHUNK, Options
from tapnet.studio.uploads import Uploads
from tapnet.studio.workers import Workers

STATIC = Path(__file__).parent / "static"

_log = logging.getLogger(__name__)


def create_app(options: Options) -> FastAPI:
    """The studio of a folder as an ASGI application.

    While it runs, `app.state.studio` holds its parts. Raises what `Project.open` raises when it
    starts. Its description (/openapi.json) is there only without a login.
    """
    app = FastAPI(
        title="tapnet studio",
        version=tapnet.__version__,
        docs_url=None,  # its page comes from another site
        redoc_url=None,
        openapi_url=None if options.login else "/openapi.json",
        lifespan=_running(options),
    )
    for module in (access, videos, edits, tasks, jobs):
        app.include_router(module.router)
    app.add_api_route("/", _page, include_in_schema=False)
    app.mount("/static", _Static(directory=STATIC, check_dir=False))
    answer_errors(app)
    app.add_middleware(
        Guard,
        hosts=None if options.login else LOOPBACK,
        longest=lambda path: _longest(path, options),
    )
    return app


def _running(options: Options):  # type: ignore[no-untyped-def]
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        studio = _studio(options)
        app.state.studio = studio
        studio.frames.start()
        studio.hub.start(asyncio.get_running_loop())
        studio.workers.start()
        studio.filling.start()
        try:
            yield
        finally:
            studio.hub.close()
            await asyncio.to_thread(studio.close)

    return lifespan


def _studio(options: Options) -> Studio:
    project = Project.open(options.folder, options.database)
    hub, workers = Hub(project), Workers(options, project)

    def queued() -> None:
        hub.wake()
        workers.wake()

    return Studio(
        options=options,
        project=project,
        frames=FrameServer(),
        uploads=Uploads(options.folder, options.max_upload),
        hub=hub,
        workers=workers,
        filling=Filling(project, queued),
        secret=secret_of(options.folder),
        local_user=project.local_user(),
        failures=access.Failures(),
    )


def _longest(path: str, options: Options) -> int:
    """Bytes that the body of a request to `path` may have."""
    if path.startswith("/api/uploads/"):
        return MAX_CHUNK
    return options.max_upload if path.endswith("/import") else MAX_BODY


def _page() -> Response:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


class _Static(StaticFiles):
    """Files of the page; browsers ask each time whether they changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        return answer
