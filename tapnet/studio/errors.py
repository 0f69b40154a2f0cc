"""Every error as one sentence: {"detail": "what was expected, what came, what to do"}."""

from __future__ import annotations

import errno
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tapnet.annotation.content import short
from tapnet.annotation.records import Conflict
from tapnet.faults import is_told_to_users

_FULL = (errno.ENOSPC, errno.EDQUOT)
_AWAY = (None, errno.EBUSY, errno.EROFS, errno.EIO)  # None: made by the project, with a sentence
_log = logging.getLogger(__name__)


def answer_errors(app: FastAPI) -> None:
    """Makes `app` answer what the project and the requests raise."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Conflict, _conflict)
    app.add_exception_handler(ValueError, _told(422))
    app.add_exception_handler(KeyError, _told(404))
    app.add_exception_handler(OSError, _system)
    app.add_exception_handler(Exception, _fault)


def refusal(status: int, detail: str, **more: Any) -> JSONResponse:
    clean = detail.encode("utf-8", "replace").decode()  # lone surrogates cannot be sent
    return JSONResponse({"detail": clean, **more}, status)


def _http(request: Request, error: Any) -> JSONResponse:
    answer = refusal(error.status_code, f"{error.detail}")
    answer.headers.update(error.headers or {})
    return answer


def _invalid(request: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].replace("Input should", "should").replace("Value error, ", "")
    got = "" if first["type"] == "missing" else f", got {short(first.get('input'))}"
    return refusal(422, f"{place}: {message[:1].lower()}{message[1:]}{got}")


def _conflict(request: Request, error: Any) -> JSONResponse:
    merged = None if error.merged is None else error.merged.to_json()
    return refusal(409, str(error), current=error.current.to_json(), merged=merged)


def _told(status: int) -> Any:
    """For errors that a `raise` of ours made; others are faults of ours."""

    def handler(request: Request, error: Any) -> JSONResponse:
        if not is_told_to_users(error):
            return _fault(request, error)
        return refusal(status, str(error.args[0]) if error.args else type(error).__name__)

    return handler


def _system(request: Request, error: Any) -> JSONResponse:
    if error.errno in _FULL:
        return refusal(507, "the disk of the server is full: nothing was saved; free some space")
    if isinstance(error, PermissionError) and error.errno is None:
        return refusal(403, str(error))
    if error.errno in _AWAY:
        return refusal(503, error.strerror or str(error))
    return _fault(request, error)


def _fault(request: Request, error: Any) -> JSONResponse:
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    return refusal(500, f"the studio has a fault ({type(error).__name__}); its log has the details")
