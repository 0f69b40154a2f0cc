"""Many at once, killed processes, full disks: no edit that was acknowledged is lost."""

from __future__ import annotations

import errno
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path as File

import numpy as np
import pytest
from projects import FRAMES, put_video

from tapnet.annotation.content import Click, Content, Path
from tapnet.annotation.database import Turns
from tapnet.annotation.project import Conflict, Project

THREADS = 6
SECONDS = 60  # that a process of a test may take


def clicked(*frames: int) -> Content:
    return Content(clicks=tuple(Click(f, f + 1.0, 2.0) for f in sorted(frames)), assist="linear")


def at_once(work: Callable[[int], None], count: int = THREADS) -> None:
    """`work` of 0 to count - 1, each in a thread, starting together; the first error is raised."""
    start = threading.Barrier(count)

    def run(n: int) -> None:
        start.wait(SECONDS)
        work(n)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(run, range(count)))


@pytest.fixture
def projects(project: Project, database: str | None) -> Iterator[list[Project]]:
    """The project, opened as often as there are threads: as by so many processes."""
    others = [Project.open(project.folder, database) for _ in range(THREADS - 1)]
    yield [project, *others]
    for other in others:
        other.close()


# --------------------------------------------------------------------------- many at once


def test_edits_of_one_track_from_all_sides_are_all_in_it(projects: list[Project]) -> None:
    video, user = projects[0].add_video("clip.mp4"), projects[0].local_user()
    (track,) = projects[0].create_tracks(video.id, user, [clicked()], "e0")
    mine = [range(n, FRAMES, THREADS) for n in range(THREADS)]  # frames

    def work(n: int) -> None:
        for frame in mine[n]:
            now = projects[n].track(track.id)
            content: Content | None = clicked(*(c.frame for c in now.content.clicks), frame)
            version = 0
            while not version and content is not None:
                try:
                    edit = now.id, now.version, content, user, f"e-{frame}"
                    version = projects[n].change_track(*edit).version
                except Conflict as conflict:
                    now, content = conflict.current, conflict.merged

    at_once(work)
    final = projects[0].track(track.id)
    assert final.content == clicked(*range(FRAMES))
    assert final.version == FRAMES + 1
    past = projects[0].history(track.id)
    assert [edit.version for edit in past] == list(range(1, FRAMES + 2))
    assert [len(edit.content.clicks) for edit in past] == list(range(FRAMES + 1))


def test_one_edit_sent_many_times_at_once_is_done_once(projects: list[Project]) -> None:
    video, user = projects[0].add_video("clip.mp4"), projects[0].local_user()
    made, changed = [], []

    def create(n: int) -> None:
        made.append(projects[n].create_tracks(video.id, user, [clicked(1)], "new")[0])

    def change(n: int) -> None:
        changed.append(projects[n].change_track(made[0].id, 1, clicked(2), user, "move"))

    at_once(create)
    assert len(made) == THREADS
    assert len(set(made)) == 1
    at_once(change)
    assert len(changed) == THREADS
    assert len(set(changed)) == 1
    assert projects[0].track(made[0].id).version == 2
    assert len(projects[0].tracks(video.id)) == 1


def test_a_reader_of_events_misses_none(projects: list[Project]) -> None:
    video, user = projects[0].add_video("clip.mp4"), projects[0].local_user()
    writing, seen = threading.Event(), []

    def read() -> None:
        last = 0
        while True:
            over = not writing.is_set()
            new = projects[0].events(last)
            seen.extend(event.id for event in new)
            last = seen[-1] if seen else 0
            if over and not new:
                return

    def write(n: int) -> None:
        for i in range(15):
            projects[n].create_tracks(video.id, user, [clicked(i)], f"e-{n}-{i}")

    writing.set()
    reader = threading.Thread(target=read)
    reader.start()
    try:
        at_once(write)
    finally:
        writing.clear()
        reader.join(SECONDS)
    assert seen == [event.id for event in projects[0].events(0)]
    assert len(seen) == 1 + 15 * THREADS


def test_a_lock_has_as_many_places_as_it_was_given() -> None:
    turns = Turns(2)
    with turns.mine(1) as first, turns.mine(1) as second, turns.mine(0.01) as third:
        assert (first, second, third) == (True, True, False)
    with turns.mine(0.01) as first, turns.mine(0.01) as second:
        assert first
        assert second


def test_a_lock_goes_round_in_turns() -> None:
    turns, order = Turns(), []

    def work(n: int) -> None:
        for _ in range(5):
            with turns.mine(SECONDS) as got:
                assert got
                order.append(n)
                time.sleep(0.002)  # so that the others wait by now

    at_once(work, 3)
    rounds = [set(order[i : i + 3]) for i in range(3, 12, 3)]
    assert rounds == [{0, 1, 2}] * 3
    with turns.mine(1), turns.mine(0.01) as got:
        assert not got
    with turns.mine(0.01) as got:
        assert got


def test_many_edits_of_many_kinds_at_once_all_succeed(projects: list[Project]) -> None:
    video, user = projects[0].add_video("clip.mp4"), projects[0].local_user()
    tracks = projects[0].create_tracks(video.id, user, [clicked(1)] * 12, "new")
    numbers = [track.id for track in tracks]
    seen, sure = np.ones(FRAMES, bool), np.ones(FRAMES, np.float32)
    path = Path(0, np.ones((FRAMES, 2), np.float32), seen, sure)

    def work(n: int) -> None:
        mine = projects[n]
        for i in range(4):
            shuffled = numbers[n:] + numbers[:n]
            mine.write_paths(video.id, [(number, 1, path, True) for number in shuffled])
            look = {"frame": i, "track": numbers[n], "reason": "jump", "score": 1.0}
            mine.write_suggestions(video.id, [look], {numbers[n]: 1})
            task = mine.assign(video.id, user.id, "annotate", user)
            mine.submit(task.id, user)
            mine.send_back(task.id, user, "again")
            job = mine.enqueue("assist", video.id, {"tracks": [i]}, user)
            mine.cancel(job.id)
            with suppress(Conflict):
                track = mine.track(numbers[i])
                mine.change_track(track.id, track.version, clicked(n, 9), user, f"e-{n}-{i}")

    at_once(work)
    # Each wrote those for a track of its own.
    assert {one["track"] for one in projects[0].suggestions(video.id)} == set(numbers[:THREADS])
    paths = projects[0].paths(video.id)
    assert sorted(paths) == numbers
    for number in numbers[4:]:
        assert projects[0].track(number).version == 1


# --------------------------------------------------------------------------- killed

_WRITER = """
import sys, threading
from tapnet.annotation.content import Click, Content, Path
from tapnet.annotation.database import Turns
from tapnet.annotation.project import Project

folder, database, run = sys.argv[1], sys.argv[2] or None, sys.argv[3]
project = Project.open(folder, database)
video, user = project.videos()[0], project.local_user()

def write(n):
    content = Content(clicks=(Click(0, 1.0, 2.0),), assist="linear")
    (track,) = project.create_tracks(video.id, user, [content], f"{run}-{n}-0")
    for i in range(1, 1_000_000):
        content = Content(name=f"{run} {n} {i}", clicks=content.clicks, assist="linear")
        track = project.change_track(track.id, track.version, content, user, f"{run}-{n}-{i}")
        sys.stdout.write(f"{track.id} {track.version} {content.name}\\n")
        sys.stdout.flush()

for n in range(3):
    threading.Thread(target=write, args=[n], daemon=True).start()
threading.Event().wait()
"""


def test_what_was_acknowledged_is_there_after_a_kill(
    project: Project, database: str | None
) -> None:
    project.add_video("clip.mp4")
    wait = random.Random()
    for run in range(2):
        command = [sys.executable, "-c", _WRITER, project.folder, database or "", str(run)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        try:
            lines = [child.stdout.readline() for _ in range(20)]
            time.sleep(wait.uniform(0, 0.3))
        finally:
            child.kill()  # SIGKILL
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait(SECONDS)
        told = [line.split(maxsplit=2) for line in lines if line.endswith("\n")]
        assert len(told) >= 20
        past = {number: project.history(int(number)) for number in {first for first, *_ in told}}
        for number, version, name in told:
            edit = past[number][int(version) - 1]
            assert (edit.version, edit.content.name) == (int(version), name.rstrip("\n"))
        for number, edits in past.items():
            assert project.track(int(number)).version == len(edits)
    if database is None:
        assert _integrity(project) == "ok"


def test_a_lost_connection_is_made_again(project: Project, database: str | None) -> None:
    if database is None:
        pytest.skip("of PostgreSQL alone")
    import psycopg
    import sqlalchemy

    video = project.add_video("clip.mp4")
    url = sqlalchemy.make_url(database)
    with psycopg.connect(f"host={url.query['host']} user=postgres", autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [url.database],
        ).fetchall()
        assert ended
        left = "SELECT 1 FROM pg_stat_activity WHERE datname = %s"
        while admin.execute(left, [url.database]).fetchone():
            time.sleep(0.01)
    assert project.create_tracks(video.id, project.local_user(), [clicked(1)], "e1")


def _integrity(project: Project) -> str:
    with project._database.reading() as read:
        return str(read.exec_driver_sql("PRAGMA integrity_check").scalar())


# --------------------------------------------------------------------------- full disks


def _write_until_full(project: Project, video_id: int) -> tuple[int, OSError]:
    """How many edits were acknowledged before the error."""
    user = project.local_user()
    content = Content(name="x" * 200, clicks=clicked(*range(FRAMES)).clicks, assist="linear")
    for done in range(100_000):
        try:
            project.create_tracks(video_id, user, [content] * 20, f"full-{done}")
        except OSError as error:
            return done, error
    raise AssertionError("the disk never was full")


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], File]]:
    """Makes a disk of so many MiB, for all users; skips where that is not allowed."""
    place = File(tempfile.mkdtemp(prefix="disk-"))  # PostgreSQL may not enter pytest's folders

    def mount(size: int) -> File:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "none", place]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"a small disk cannot be mounted: {error}")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "-l", place], check=True, timeout=SECONDS)
    place.rmdir()


def test_a_full_disk_is_told_and_the_database_stays_whole(
    tmp_path: File, small_disk: Callable[[int], File]
) -> None:
    disk = small_disk(2)
    (disk / "filler").write_bytes(bytes(500_000))
    put_video(tmp_path / "clip.mp4")
    project = Project.open(tmp_path, f"sqlite:///{disk / 'studio.sqlite'}")
    video = project.add_video("clip.mp4")
    done, error = _write_until_full(project, video.id)
    assert error.errno == errno.ENOSPC
    assert "no space left for the database; free some" in str(error)
    assert len(project.tracks(video.id)) == 20 * done  # the call that failed left nothing
    assert len(project.events(0, limit=100_000)) == 20 * done + 1
    assert _integrity(project) == "ok"
    (disk / "filler").unlink()
    project.create_tracks(video.id, project.local_user(), [clicked(1)], "after")  # goes on
    project.close()
    again = Project.open(tmp_path, f"sqlite:///{disk / 'studio.sqlite'}")
    assert len(again.tracks(video.id)) == 20 * done + 1
    again.close()


def test_a_full_disk_of_postgresql_is_told(
    project: Project, database: str | None, small_disk: Callable[[int], File]
) -> None:
    if database is None:
        pytest.skip("of PostgreSQL alone")
    import pwd

    import psycopg
    import sqlalchemy

    project.close()
    disk, url = small_disk(16), sqlalchemy.make_url(database)
    place, name = disk / "space", f"{url.database}_small"
    place.mkdir()
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(2_000_000))
    with suppress(KeyError, PermissionError):
        entry = pwd.getpwnam("postgres")
        os.chown(place, entry.pw_uid, entry.pw_gid)
    server = f"host={url.query['host']} user=postgres"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'")
        connection.execute(f"CREATE DATABASE {name} TABLESPACE {name}")
    small = Project.open(project.folder, url.set(database=name).render_as_string(False))
    try:
        video = small.add_video("clip.mp4")
        done, error = _write_until_full(small, video.id)
        assert error.errno == errno.ENOSPC
        assert len(small.tracks(video.id)) == 20 * done
    finally:
        small.close()
        ballast.unlink()  # the server may write what it still holds of that database
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name}")
            connection.execute(f"DROP TABLESPACE {name}")


def test_a_file_that_may_not_grow_is_told_and_the_database_stays_whole(tmp_path: File) -> None:
    put_video(tmp_path / "clip.mp4")
    project = Project.open(tmp_path)
    video = project.add_video("clip.mp4")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        done, error = _write_until_full(project, video.id)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.errno in (errno.EIO, errno.ENOSPC)
    assert "what was saved before is whole" in str(error)
    assert len(project.tracks(video.id)) == 20 * done
    assert _integrity(project) == "ok"
    project.create_tracks(video.id, project.local_user(), [clicked(1)], "after")
    project.close()
