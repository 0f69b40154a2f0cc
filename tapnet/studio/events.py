"""What others did, told as it happens: server-sent events from the project's table of events.

One thread asks the project for news and hands them to every listener; a listener that comes back
with the last id it saw gets first what it missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tapnet.annotation.project import Project
from tapnet.annotation.records import Event

POLL_SECONDS = 0.2  # other processes write events too; this one says when it does
IDLE_SECONDS = 1.0  # between polls while nobody listens
QUIET_SECONDS = 15.0  # then a comment keeps the connection open
LIFE_SECONDS = 600.0  # then the browser connects again, and is asked again who it is
MOST_MISSED = 5000  # events; who missed more is told to load everything anew
MOST_WAITING = 1000  # events that a slow listener may be behind
MOST_LISTENERS = 500

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Listener:
    video_id: int | None  # None: of all videos
    waiting: asyncio.Queue[Event | None] = field(
        default_factory=lambda: asyncio.Queue(MOST_WAITING)
    )

    def tell(self, event: Event | None) -> bool:
        """False when it is too far behind."""
        try:
            self.waiting.put_nowait(event)
        except asyncio.QueueFull:
            return False
        return True


class Hub:
    """Hands the events of a project to those who listen."""

    _loop: asyncio.AbstractEventLoop

    def __init__(self, project: Project) -> None:
        self._project = project
        self._listeners: set[_Listener] = set()
        self._news, self._closed = threading.Event(), False
        self._newest = 0  # event that was handed out
        self._thread = threading.Thread(target=self._poll, name="events", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._newest = loop, self._project.newest_event()
        self._thread.start()

    def wake(self) -> None:
        """There is something new: do not wait for the next poll."""
        self._news.set()

    def close(self) -> None:
        """Ends all streams, so that the server can stop. From any thread, also more than once."""
        self._closed = True
        self._news.set()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._dismiss)

    def join(self) -> None:
        self._thread.join(5)

    async def stream(self, video_id: int | None, after: int | None) -> AsyncIterator[str]:
        """Server-sent events of a video (None: all) from `after` (None: now) on, without an end."""
        if len(self._listeners) >= MOST_LISTENERS:
            raise ValueError(f"expected {MOST_LISTENERS} listeners at most; close a page")
        listener = _Listener(video_id)
        self._listeners.add(listener)
        try:
            async for text in self._told(listener, after):
                yield text
        finally:
            self._listeners.discard(listener)

    async def _told(self, listener: _Listener, after: int | None) -> AsyncIterator[str]:
        newest = await asyncio.to_thread(self._project.newest_event)
        last = newest if after is None or after > newest else after
        reload = newest - last > MOST_MISSED
        last = newest if reload else last
        yield "retry: 500\n" + _message(last, "hello", {"newest": newest, "reload": reload})
        while missed := await asyncio.to_thread(self._project.events, last, listener.video_id):
            for event in missed:
                yield _told_as(event)
            last = missed[-1].id
        end = time.monotonic() + LIFE_SECONDS
        while not self._closed and time.monotonic() < end:
            try:
                news = await asyncio.wait_for(listener.waiting.get(), QUIET_SECONDS)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if news is None:
                return
            if news.id > last:
                last = news.id
                yield _told_as(news)

    def _poll(self) -> None:
        while not self._closed:
            self._news.wait(POLL_SECONDS if self._listeners else IDLE_SECONDS)
            self._news.clear()
            try:
                events = self._project.events(self._newest)
            except Exception:  # a thread that ends would leave every page without news
                _log.exception("events cannot be read")
                time.sleep(1)
                continue
            if events:
                self._newest = events[-1].id
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._deliver, events)

    def _deliver(self, events: list[Event]) -> None:
        for listener in list(self._listeners):
            for event in events:
                if listener.video_id in (None, event.video_id) and not listener.tell(event):
                    self._drop(listener)
                    break

    def _drop(self, listener: _Listener) -> None:
        """Ends a stream that is too slow; the browser comes back with the last id it saw."""
        self._listeners.discard(listener)
        while not listener.waiting.empty():
            listener.waiting.get_nowait()
        listener.tell(None)

    def _dismiss(self) -> None:
        for listener in list(self._listeners):
            self._drop(listener)


def _told_as(event: Event) -> str:
    return _message(event.id, event.kind, {"video": event.video_id, **event.data})


def _message(number: int, kind: str, data: dict[str, Any]) -> str:
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
