"""What stands before every request: other sites, long bodies; and headers of every answer.

A page of another site can make a browser send requests here. It is kept out by three things:
the host asked for must be this one (a name of theirs that resolves to 127.0.0.1 is not), the
origin must be this one, and changes carry a token (`access`) that only our own page can read.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """`hosts`: names this server goes by, None = any. `longest(path)`: bytes of a body."""

    def __init__(
        self, app: ASGIApp, hosts: tuple[str, ...] | None, longest: Callable[[str], int]
    ) -> None:
        self._app, self._hosts, self._longest = app, hosts, longest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sender = _with_headers(send)
        headers, limit = Headers(scope=scope), self._longest(scope["path"])
        status, detail = self._refusal(scope, headers, limit)
        if detail:
            await JSONResponse({"detail": detail}, status)(scope, receive, sender)
        else:
            await self._app(scope, _limited(receive, limit), sender)

    def _refusal(self, scope: Scope, headers: Headers, limit: int) -> tuple[int, str]:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return 403, f"host: expected {' or '.join(self._hosts)}, got {host!r}; use that address"
        if not scope["path"].startswith("/api/"):
            return 0, ""
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, f"origin: expected a page of {host}, got one of {origin!r}"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return 403, f"expected a page of {host} to ask, got one of another site"
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > limit:
            return 413, _too_long(limit)
        return 0, ""


def _name(host: str) -> str:
    """A Host header without its port: [::1]:80 is ::1."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _too_long(limit: int) -> str:
    return f"expected {limit} bytes at most, got more; send it in smaller parts"


def _limited(receive: Receive, limit: int) -> Receive:
    """`receive` that counts: a body may be longer than it says, or not say."""
    got = 0

    async def counted() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > limit:
            raise HTTPException(413, _too_long(limit))
        return message

    return counted


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sender
