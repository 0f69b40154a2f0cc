"""The work of a team on a folder of videos, kept in a database: no edit lost, none overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path as File
from typing import Any

from tapnet.annotation.content import Content, Path
from tapnet.annotation.records import (
    Difference,
    Edit,
    Event,
    Job,
    StoredPath,
    Task,
    Track,
    User,
    Video,
)


class Project:
    """Videos of a folder, and all that people and workers do with them.

    Every call is synchronous and may come from any thread or process. What changes something is
    one transaction, on disk when the call returns. Raises ValueError for what a caller got wrong,
    KeyError for an id that is not there, OSError when the database cannot be written.
    """

    @classmethod
    def open(cls, folder: str | File, database: str | None = None) -> Project:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    # users
    def add_user(self, name: str, password: str, role: str) -> User:
        raise NotImplementedError

    def users(self) -> list[User]:
        raise NotImplementedError

    def set_password(self, user_id: int, password: str) -> None:
        raise NotImplementedError

    def set_role(self, user_id: int, role: str) -> User:
        raise NotImplementedError

    def remove_user(self, user_id: int) -> None:
        raise NotImplementedError

    def check_password(self, name: str, password: str) -> User | None:
        raise NotImplementedError

    def local_user(self) -> User:
        raise NotImplementedError

    def new_session(self, user_id: int, seconds: float) -> str:
        raise NotImplementedError

    def session(self, token: str) -> User | None:
        raise NotImplementedError

    def end_session(self, token: str) -> None:
        raise NotImplementedError

    # videos
    def add_video(self, path: str | File) -> Video:
        raise NotImplementedError

    def videos(self) -> list[Video]:
        raise NotImplementedError

    def video(self, video_id: int) -> Video:
        raise NotImplementedError

    def remove_video(self, video_id: int) -> None:
        raise NotImplementedError

    # tracks
    def create_tracks(
        self, video_id: int, user: User, contents: Sequence[Content], edit_id: str
    ) -> list[Track]:
        raise NotImplementedError

    def change_track(
        self,
        track_id: int,
        base_version: int,
        content: Content,
        user: User,
        edit_id: str,
        kind: str = "click",
    ) -> Track:
        raise NotImplementedError

    def delete_track(self, track_id: int, base_version: int, user: User, edit_id: str) -> Track:
        raise NotImplementedError

    def tracks(self, video_id: int, deleted: bool = False) -> list[Track]:
        raise NotImplementedError

    def track(self, track_id: int) -> Track:
        raise NotImplementedError

    def history(self, track_id: int) -> list[Edit]:
        raise NotImplementedError

    # paths
    def write_paths(self, video_id: int, paths: Iterable[tuple[int, int, Path, bool]]) -> None:
        """Each (track id, version, path, complete)."""
        raise NotImplementedError

    def paths(self, video_id: int, track_ids: Iterable[int] | None = None) -> dict[int, StoredPath]:
        raise NotImplementedError

    def suggestions(self, video_id: int) -> list[dict[str, Any]]:
        raise NotImplementedError

    def write_suggestions(self, video_id: int, suggestions: Sequence[dict[str, Any]]) -> None:
        raise NotImplementedError

    # tasks
    def assign(self, video_id: int, user_id: int, stage: str, by: User | None = None) -> Task:
        raise NotImplementedError

    def tasks(self, user_id: int | None = None, video_id: int | None = None) -> list[Task]:
        raise NotImplementedError

    def submit(self, task_id: int, user: User) -> Task:
        raise NotImplementedError

    def send_back(self, task_id: int, user: User, note: str) -> Task:
        raise NotImplementedError

    def compare(self, video_id: int) -> list[Difference]:
        raise NotImplementedError

    def agree(self, track_id: int, base_version: int, user: User, edit_id: str) -> Track:
        raise NotImplementedError

    def quality(self, video_id: int | None = None) -> dict[str, Any]:
        raise NotImplementedError

    # jobs
    def enqueue(self, kind: str, video_id: int, settings: dict[str, Any], user: User) -> Job:
        raise NotImplementedError

    def claim(self, worker: str) -> Job | None:
        raise NotImplementedError

    def progress(self, job_id: int, worker: str, done: int, total: int) -> bool:
        raise NotImplementedError

    def finish(
        self, job_id: int, worker: str, state: str, message: str = "", result: str | None = None
    ) -> bool:
        raise NotImplementedError

    def cancel(self, job_id: int) -> Job:
        raise NotImplementedError

    def requeue_lost(self, older_than_seconds: float) -> int:
        raise NotImplementedError

    def job(self, job_id: int) -> Job:
        raise NotImplementedError

    def jobs(self, video_id: int | None = None) -> list[Job]:
        raise NotImplementedError

    # events
    def events(self, after: int, video_id: int | None = None, limit: int = 500) -> list[Event]:
        raise NotImplementedError

    def newest_event(self) -> int:
        raise NotImplementedError

    # transfer
    def export(self, video_ids: Sequence[int] | None, kind: str, out: str | File) -> File:
        raise NotImplementedError

    def import_tracks(self, video_id: int, file: str | File, user: User) -> list[Track]:
        raise NotImplementedError
