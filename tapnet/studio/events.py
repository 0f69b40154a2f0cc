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
from typing import Any, NamedTuple

from tapnet.annotation.project import Project
from tapnet.annotation.records import Event

SPACE_SECONDS = 0.1  # at least, between two polls: what many do at once goes out together
POLL_SECONDS = 0.2  # other processes write events too; this one says when it does
IDLE_SECONDS = 1.0  # between polls while nobody listens
QUIET_SECONDS = 15.0  # then a comment keeps the connection open
LIFE_SECONDS = 600.0  # then the browser connects again, and is asked again who it is
MOST_MISSED = 5000  # events; who missed more is told to load everything anew
MOST_WAITING = 1000  # events that a slow listener may be behind
MOST_LISTENERS = 500

_log = logging.getLogger(__name__)


class _News(NamedTuple):
    """An event, written once for all who listen."""

    id: int
    video_id: int
    text: str


@dataclass(eq=False)
class _Listener:
    video_id: int | None  # None: of all videos
    waiting: list[_News] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def tell(self, news: list[_News]) -> None:
        """Ends it when it is too far behind: the browser comes back with the last id it saw."""
        self.waiting += [one for one in news if self.video_id in (None, one.video_id)]
        if len(self.waiting) > MOST_WAITING:
            self.end()
        if self.waiting:
            self.told.set()

    def end(self) -> None:
        self.waiting, self.ended = [], True
        self.told.set()

    def taken(self) -> list[_News]:
        news, self.waiting = self.waiting, []
        self.told.clear()
        return news


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
        self._news.set()  # polls come faster from now on
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
            yield "".join(map(_told_as, missed))
            last = missed[-1].id
        end = time.monotonic() + LIFE_SECONDS
        while not (self._closed or listener.ended) and time.monotonic() < end:
            try:
                await asyncio.wait_for(listener.told.wait(), QUIET_SECONDS)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            news = [one for one in listener.taken() if one.id > last]
            if news:
                last = news[-1].id
                yield "".join(one.text for one in news)

    def _poll(self) -> None:
        while not self._closed:
            time.sleep(SPACE_SECONDS)
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
        news = [_News(event.id, event.video_id, _told_as(event)) for event in events]
        for listener in self._listeners:
            listener.tell(news)

    def _dismiss(self) -> None:
        for listener in self._listeners:
            listener.end()


def _told_as(event: Event) -> str:
    return _message(event.id, event.kind, {"video": event.video_id, **event.data})


def _message(number: int, kind: str, data: dict[str, Any]) -> str:
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
