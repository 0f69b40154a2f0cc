"""Who asks, and whether they may: the local user or a session, roles, the token of changes.

Without a login (loopback) everyone who reaches the server is its local user. With one, a session
is a random token in a cookie that no script can read and no other site can send. Every change
carries `X-CSRF`, which only a page of this origin can have read from /api/me.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import deque
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

import tapnet
from tapnet.annotation.records import ROLES, User
from tapnet.studio.context import Id, Studio, Studying, Text

SESSION_SECONDS = 14 * 24 * 3600
WINDOW_SECONDS = 300  # in which failed log-ins count
MOST_FAILURES = {"name": 10, "address": 30}

router = APIRouter(prefix="/api", tags=["accounts"])
Role = Annotated[str, Field(pattern=f"^({'|'.join(ROLES)})$")]
Password = Annotated[str, Field(min_length=8, max_length=200)]


async def someone(request: Request, studio: Studying) -> User:
    """The user who asks. Refuses who is not logged in, and changes without the token."""
    user: User | None = studio.local_user
    if studio.options.login:
        user = await run_in_threadpool(_user, request, studio)
    if user is None:
        raise HTTPException(401, "expected someone who is logged in; log in first")
    if request.method not in ("GET", "HEAD"):
        given = request.headers.get("x-csrf", "").encode()
        if not hmac.compare_digest(given, _token(request, studio).encode()):
            raise HTTPException(
                403, "X-CSRF: expected the token that /api/me gives, got another; reload the page"
            )
    return user


def at_least(role: str) -> Any:
    """Of users with this role or a higher one."""

    async def allowed(user: Someone) -> User:
        if not user.may(role):
            raise HTTPException(
                403, f"expected the role {role}, {user.name} is {user.role}; ask an admin"
            )
        return user

    return Depends(allowed)


Someone = Annotated[User, Depends(someone)]
Reviewer = Annotated[User, at_least("reviewer")]
Admin = Annotated[User, at_least("admin")]


def _user(request: Request, studio: Studio) -> User | None:
    if not studio.options.login:
        return studio.local_user
    token = request.cookies.get(_cookie(studio))
    return studio.project.session(token) if token else None


def _token(request: Request, studio: Studio) -> str:
    """Of the session of who asks; the same after a restart of the server."""
    session = request.cookies.get(_cookie(studio), "") if studio.options.login else "local"
    return _signed(studio, session)


def _cookie(studio: Studio) -> str:
    """Its name: browsers send cookies to all ports of a host, where other studios may be."""
    return f"tapnet_{hashlib.sha256(studio.secret).hexdigest()[:8]}"


def _signed(studio: Studio, session: str) -> str:
    return hmac.new(studio.secret, session.encode(), hashlib.sha256).hexdigest()


class Failures:
    """Failed log-ins of the last minutes, by name and by address."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], deque[float]] = {}
        self._lock = threading.Lock()

    def wait(self, name: str, address: str, now: float) -> int:
        """Seconds until another try is allowed; 0 = now."""
        with self._lock:
            self._forget(now)
            waits = [
                times[0] + WINDOW_SECONDS - now
                for key in (("name", name), ("address", address))
                if len(times := self._times.get(key, deque())) >= MOST_FAILURES[key[0]]
            ]
        return int(max(waits, default=-1.0)) + 1

    def add(self, name: str, address: str, now: float) -> None:
        with self._lock:
            for key in (("name", name), ("address", address)):
                self._times.setdefault(key, deque()).append(now)

    def forgive(self, name: str, address: str, now: float) -> None:
        """Takes back what was added at `now`: the log-in went well."""
        with self._lock:
            for key in (("name", name), ("address", address)):
                if now in self._times.get(key, ()):
                    self._times[key].remove(now)

    def _forget(self, now: float) -> None:
        for key, times in list(self._times.items()):
            while times and times[0] <= now - WINDOW_SECONDS:
                times.popleft()
            if not times:
                del self._times[key]


class Credentials(BaseModel):
    name: Text
    password: Annotated[str, Field(max_length=200)]


@router.get("/me")
def me(request: Request, studio: Studying) -> dict[str, Any]:
    user = _user(request, studio)
    return _me(studio, user, _token(request, studio) if user else "")


@router.post("/login")
def login(
    body: Credentials, request: Request, response: Response, studio: Studying
) -> dict[str, Any]:
    if not studio.options.login:
        raise HTTPException(409, "expected no log-in: this studio is for one person; go on")
    address = request.client.host if request.client else ""
    now = time.monotonic()
    if wait := studio.failures.wait(body.name, address, now):
        raise HTTPException(
            429, f"too many failed log-ins; try again in {wait} s", {"Retry-After": str(wait)}
        )
    studio.failures.add(body.name, address, now)  # before the slow check: tries in parallel count
    with studio.checking:
        user = studio.project.check_password(body.name, body.password)
    if user is None:
        raise HTTPException(401, "the name or the password is wrong; try again or ask an admin")
    studio.failures.forgive(body.name, address, now)
    session = studio.project.new_session(user.id, SESSION_SECONDS)
    response.set_cookie(
        _cookie(studio),
        session,
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return _me(studio, user, _signed(studio, session))


@router.post("/logout")
def logout(request: Request, response: Response, studio: Studying, user: Someone) -> dict[str, Any]:
    if token := request.cookies.get(_cookie(studio)):
        studio.project.end_session(token)
    response.delete_cookie(_cookie(studio), httponly=True, samesite="strict")
    return {}


def _me(studio: Studio, user: User | None, token: str) -> dict[str, Any]:
    return {
        "name": user.name if user else None,
        "role": user.role if user else None,
        "csrf": token,
        "login_required": studio.options.login,
        "version": tapnet.__version__,
    }


class NewUser(BaseModel):
    name: Text
    password: Password
    role: Role


class ChangedUser(BaseModel):
    password: Password | None = None
    role: Role | None = None


@router.get("/users")
def users(studio: Studying, user: Someone) -> list[dict[str, Any]]:
    """Everyone may know who there is: tasks are given to them."""
    return [_shown(other) for other in studio.project.users()]


@router.post("/users")
def add_user(body: NewUser, studio: Studying, user: Admin) -> dict[str, Any]:
    return _shown(studio.project.add_user(body.name, body.password, body.role))


@router.patch("/users/{user_id}")
def change_user(user_id: Id, body: ChangedUser, studio: Studying, user: Admin) -> dict[str, Any]:
    if body.role is not None:
        if user_id == user.id and body.role != user.role:
            raise HTTPException(422, "role: expected another admin to change yours; ask one")
        studio.project.set_role(user_id, body.role)
    if body.password is not None:
        studio.project.set_password(user_id, body.password)
    return _shown(studio.project.user(user_id))


@router.delete("/users/{user_id}")
def remove_user(user_id: Id, studio: Studying, user: Admin) -> dict[str, Any]:
    if user_id == user.id:
        raise HTTPException(422, "expected another admin to remove you; ask one")
    studio.project.remove_user(user_id)
    return {}


def _shown(user: User) -> dict[str, Any]:
    return {"id": user.id, "name": user.name, "role": user.role}
