"""Jobs are done once, told of, stopped within a second, and given back."""

from __future__ import annotations

import io
import os
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from studio_app import FRAMES, add_video, make_video
from studio_app import running as running_studio
from studio_page import write_video
from studio_server import wait_until

from tapnet import video
from tapnet.annotation import jobs
from tapnet.annotation.content import Click, Content, Path
from tapnet.annotation.project import Project
from tapnet.annotation.records import PRIVATE
from tapnet.studio import work, worker, workers
from tapnet.studio.calculator import Calculator
from tapnet.studio.options import Options
from tapnet.studio.worker import Worker
from tapnet.studio.workers import Workers


@pytest.fixture
def project(tmp_path):
    project = Project.open(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        project.add_video(make_video(tmp_path / name))
    yield project
    project.close()


class Slow:
    """Work that takes until it is stopped, or let go."""

    def __init__(self) -> None:
        self.began, self.over = threading.Event(), threading.Event()
        self.stopped_at = 0.0

    def __call__(self, project, jobs, progress) -> tuple[str, None]:
        done = 0
        self.began.set()
        while not self.over.wait(0.02):
            done += 1
            try:
                progress(done, 1000)
            except work.Stopped:
                self.stopped_at = time.monotonic()
                raise
        return "all of it", None


@pytest.fixture
def slow(monkeypatch):
    slow = Slow()
    monkeypatch.setitem(work.KINDS, "assist", slow)
    yield slow
    slow.over.set()


@pytest.fixture
def running(project, monkeypatch):
    """A worker in a thread of this process."""
    ends = []
    monkeypatch.setattr(worker.os, "_exit", ends.append)
    monkeypatch.setattr(worker.sys, "stdin", _endless())
    made = Worker(project, "paths")
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    yield SimpleNamespace(worker=made, thread=thread, ends=ends)
    made._leaving = True
    if made._held:
        made._held.leave()
    made._said.put("")
    thread.join(10)
    assert not thread.is_alive()


def _endless():
    threading.Event().wait()
    yield ""


def state(project: Project, job) -> str:
    return project.job(job.id).state


def test_a_job_is_done_and_tells_how_far_it_is(project, slow, running) -> None:
    job = project.enqueue("assist", 1, {}, project.local_user())
    assert slow.began.wait(10)
    wait_until(lambda: project.job(job.id).done > 3)
    assert state(project, job) == "running"
    slow.over.set()
    wait_until(lambda: state(project, job) == "done")
    assert project.job(job.id).message == "all of it"


def test_a_job_that_is_cancelled_stops_within_a_second(project, slow, running) -> None:
    job = project.enqueue("assist", 1, {}, project.local_user())
    assert slow.began.wait(10)
    project.cancel(job.id)
    cancelled = time.monotonic()
    wait_until(lambda: slow.stopped_at)
    assert slow.stopped_at - cancelled < 1
    assert state(project, job) == "cancelled"
    assert not running.ends


def test_work_that_does_not_listen_ends_with_its_process(project, running, monkeypatch) -> None:
    over = threading.Event()
    deaf = lambda project, jobs, progress: (str(over.wait(20)), None)  # noqa: E731
    monkeypatch.setitem(work.KINDS, "assist", deaf)
    job = project.enqueue("assist", 1, {}, project.local_user())
    wait_until(lambda: state(project, job) == "running")
    project.cancel(job.id)
    wait_until(lambda: running.ends, 5)
    over.set()


def test_a_worker_that_leaves_gives_its_job_back(project, slow, running) -> None:
    job = project.enqueue("assist", 1, {}, project.local_user())
    assert slow.began.wait(10)
    running.worker._leaving = True
    running.worker._held.leave()
    running.thread.join(10)
    assert state(project, job) == "queued"


def test_jobs_of_one_video_that_wait_are_done_at_once(project, monkeypatch, running) -> None:
    together = []
    gate = threading.Event()

    def note(project, jobs, progress):
        together.append([(job.video_id, job.settings["tracks"]) for job in jobs])
        gate.wait(10)
        return "", None

    monkeypatch.setitem(work.KINDS, "assist", note)
    user = project.local_user()
    first = project.enqueue("assist", 1, {"tracks": [1]}, user)
    wait_until(lambda: state(project, first) == "running")
    waiting = [project.enqueue("assist", 1, {"tracks": [n]}, user) for n in (2, 3)]
    other = project.enqueue("assist", 2, {"tracks": [9]}, user)
    gate.set()
    wait_until(lambda: all(state(project, job) == "done" for job in (*waiting, other)))
    assert sorted(together[1:]) == [[(1, [2]), (1, [3])], [(2, [9])]]


def test_a_fault_ends_the_job_not_the_worker(project, monkeypatch, running) -> None:
    monkeypatch.setitem(work.KINDS, "assist", lambda *_: {}["missing"])
    job = project.enqueue("assist", 1, {}, project.local_user())
    wait_until(lambda: state(project, job) == "failed")
    assert "KeyError" in project.job(job.id).message
    again = project.enqueue("assist", 1, {}, project.local_user())
    wait_until(lambda: state(project, again) == "failed")


def create(project: Project, *contents: Content) -> list:
    return project.create_tracks(1, project.local_user(), contents, f"{time.monotonic_ns()}")


def line(n: int) -> Path:
    xy = np.full((FRAMES, 2), n, np.float32)
    return Path(0, xy, np.ones(FRAMES, bool), np.ones(FRAMES, np.float32))


def straight(*clicks: tuple[int, float, float]) -> Content:
    return Content(clicks=tuple(Click(*click) for click in clicks), assist="linear")


@pytest.fixture
def fill(monkeypatch):
    """Stands for the assists: `during` is done in the middle of the work."""
    stand_in = SimpleNamespace(during=lambda: None, given=[], compared=[], steps=60, other=40)

    def fill(self, video, contents, progress, on_partial=None):
        if on_partial is None:  # another assist, to see where the two disagree
            stand_in.compared.append(list(contents))
            progress(0, 1)
            return [line(stand_in.other) for _ in contents]
        stand_in.given.append(list(contents))
        for step in range(stand_in.steps):
            if step == 5:
                stand_in.during()
            progress(step, stand_in.steps)
            on_partial(lambda step=step: {0: line(step)})
            time.sleep(0.02)
        return [line(40) for _ in contents]

    monkeypatch.setattr(Calculator, "fill", fill)
    return stand_in


CLAIMED = SimpleNamespace(video_id=1, settings={})  # a job that no longer waits


def assist(project: Project, *jobs) -> tuple[str, None]:
    return work.assist(project, jobs, lambda done, total: None)


def test_paths_are_there_while_they_are_computed(project, fill) -> None:
    (track,) = create(project, straight((0, 1, 1)))
    seen: list[bool] = []

    def look() -> None:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            stored = project.paths(1).get(track.id)
            if stored is not None:
                seen.append(stored.complete)
                if stored.complete:
                    return
            time.sleep(0.05)

    watcher = threading.Thread(target=look)
    watcher.start()
    assist(project, project.enqueue("assist", 1, {}, project.local_user()))
    watcher.join()
    assert seen[0] is False
    assert seen[-1] is True
    assert project.paths(1)[track.id].path.xy[0, 0] == 40


def test_only_what_is_missing_is_computed(project, fill) -> None:
    fill.steps = 1
    first, second, bare = create(project, straight((0, 1, 1)), straight((0, 2, 2)), Content())
    project.write_paths(1, [(first.id, 1, line(7), True)])
    job = project.enqueue("assist", 1, {}, project.local_user())
    assist(project, job)
    assert fill.given == [[second.content]]
    assert bare.id not in project.paths(1)
    assist(project, job)
    assert len(fill.given) == 1


def test_a_track_that_changes_meanwhile_is_left_to_its_newer_job(project, fill) -> None:
    first, second = create(project, straight((0, 1, 1)), straight((0, 2, 2)))

    def click() -> None:
        project.change_track(second.id, 1, straight((0, 3, 3)), project.local_user(), "later")

    fill.during = click
    assist(project, project.enqueue("assist", 1, {}, project.local_user()))
    assert project.paths(1)[first.id].complete
    stored = project.paths(1).get(second.id)
    assert stored is None or not stored.complete


def test_work_that_nobody_waits_for_any_more_is_dropped(project, fill) -> None:
    (track,) = create(project, straight((0, 1, 1)))
    fill.steps = 10_000
    user = project.local_user()
    fill.during = lambda: project.delete_track(track.id, 1, user, "gone")
    began = time.monotonic()
    assist(project, project.enqueue("assist", 1, {}, user))
    assert time.monotonic() - began < 5


def test_a_model_that_fails_leaves_the_others_their_paths(project) -> None:
    good, bad = create(
        project,
        straight((0, 1, 1), (5, 6, 6)),
        Content(clicks=(Click(0, 1, 1),), assist="tracker", model="nothing"),
    )
    with pytest.raises(ValueError, match="model: expected"):
        assist(project, project.enqueue("assist", 1, {}, project.local_user()))
    assert project.paths(1)[good.id].complete
    assert bad.id not in project.paths(1)


def test_where_to_look_next_is_told_by_the_number_of_the_track(project, fill) -> None:
    fill.steps = 1
    bare, track = create(project, Content(), straight((0, 40, 40)))
    path = line(40)
    path.confidence[12] = 0.1
    project.write_paths(1, [(track.id, 1, path, True)])
    late = create(project, straight((0, 1, 1)))[0]
    project.enqueue("assist", 1, {"tracks": [late.id]}, project.local_user())
    assist(project, project.claim("a worker"))
    (told,) = project.suggestions(1)
    assert (told["track"], told["frame"]) == (track.id, 12)
    assert "10 %" in told["reason"]
    assert bare.id != track.id


def test_a_person_is_told_where_two_assists_disagree(project, fill) -> None:
    fill.steps, fill.other = 1, 90
    (track,) = create(project, Content(clicks=(Click(0, 40, 40),), assist="tracker"))
    assist(project, CLAIMED)
    told = project.suggestions(1)
    assert {one["track"] for one in told} == {track.id}
    assert "tracker and flow are 70.7 pixels apart" in told[0]["reason"]
    assert [[content.assist for content in given] for given in fill.compared] == [["flow"]]


def test_only_tracks_that_changed_are_compared_and_the_others_keep_their_looks(
    project, fill
) -> None:
    fill.steps, fill.other = 1, 90
    first, second = create(project, *[Content(clicks=(Click(0, 40, 40),))] * 2)
    assist(project, CLAIMED)
    fill.other = 40
    content = replace(second.content, clicks=(Click(0, 40, 41),))
    project.change_track(second.id, 1, content, project.local_user(), "later")
    assist(project, CLAIMED)
    assert [len(given) for given in fill.compared] == [2, 1]
    assert {one["track"] for one in project.suggestions(1)} == {first.id}


def test_a_path_that_is_not_whole_yet_is_not_looked_at(project, fill) -> None:
    """Another worker is at it; its job looks when the path is whole."""
    fill.steps, fill.other = 1, 90
    first, second = create(project, *[Content(clicks=(Click(0, 40, 40),))] * 2)
    project.write_paths(1, [(second.id, 1, line(40), False)])
    assist(project, SimpleNamespace(video_id=1, settings={"tracks": [first.id]}))
    assert project.looked_at(1) == {first.id: 1}
    assist(project, SimpleNamespace(video_id=1, settings={"tracks": [second.id]}))
    assert project.looked_at(1) == {first.id: 1, second.id: 1}


def test_what_cannot_be_compared_is_followed_all_the_same(project) -> None:
    content = Content(clicks=(Click(0, 1, 1),), assist="flow", model="nothing")
    (track,) = create(project, content)
    assist(project, CLAIMED)  # the tracker that it would be compared with is unknown
    assert project.paths(1)[track.id].complete
    assert project.looked_at(1) == {track.id: 1}


def test_nobody_waits_for_a_comparison(project, fill) -> None:
    """While other work waits there is none; the next job catches up."""
    fill.steps, fill.other = 1, 90
    (track,) = create(project, Content(clicks=(Click(0, 40, 40),)))
    waiting = project.enqueue("assist", 1, {"tracks": []}, project.local_user())
    assist(project, CLAIMED)
    assert project.paths(1)[track.id].complete
    assert (fill.compared, project.suggestions(1)) == ([], [])
    project.cancel(waiting.id)
    late = create(project, straight((0, 1, 1)))[0]
    assist(project, SimpleNamespace(video_id=1, settings={"tracks": [late.id]}))
    assert len(fill.compared[0]) == 2


def test_a_copy_for_browsers_has_every_frame_and_is_of_the_file_as_it_is(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(jobs, "LISTED", 2)
    greys = (np.full((48, 64, 3), 20 + 9 * n, np.uint8) for n in range(24))
    source = write_video(tmp_path / "never.avi", greys, "mpeg4")
    with running_studio(tmp_path) as client:
        number = add_video(client, source)
        project = client.app.state.studio.project
        assert client.get(f"/api/videos/{number}/file").status_code == 404
        job = project.enqueue("proxy", number, {}, project.local_user())
        told: list[tuple[int, int]] = []
        work.proxy(project, [job], lambda *now: told.append(now))
        assert told[-1] == (24, 24)
        for n in range(3):  # its job is not among the newest any more
            project.enqueue("assist", number, {"tracks": [n]}, project.local_user())
        assert client.get(f"/api/videos/{number}").json()["playable"]
        got = client.get(f"/api/videos/{number}/file")
        assert got.headers["content-type"] == "video/mp4"
        copy = tmp_path / "copy.mp4"
        copy.write_bytes(got.content)
        greys = video.open(copy).read().mean((1, 2, 3))
        np.testing.assert_allclose(greys, 20 + 9 * np.arange(24), atol=3)
        os.utime(source, (1, 1))  # another file took its place
        assert not client.get(f"/api/videos/{number}").json()["playable"]
        work.proxy(project, [job], lambda *now: None)
        assert len(list((tmp_path / PRIVATE / "copies").iterdir())) == 1


def test_more_workers_come_while_all_are_busy_and_go_again(project, monkeypatch) -> None:
    started = []

    class Process:
        def __init__(self, command, **_: object) -> None:
            started.append(command)
            read, write = workers.os.pipe()
            workers.os.close(read)
            self.stdin = io.FileIO(write, "w")
            self.code = None

        def poll(self):
            return self.code

    monkeypatch.setattr(workers.subprocess, "Popen", Process)
    monkeypatch.setattr(workers, "WAIT_SECONDS", -1)
    place = Workers(Options(project.folder, workers=1), project)
    for known in place._places:
        place._revive(known, 100.0)
    assert [command[command.index("--takes") + 1] for command in started] == ["paths", "files"]
    place._look_after_jobs(101.0)
    assert len(started) == 2
    project.enqueue("assist", 1, {}, project.local_user())
    for _ in range(5):
        place._look_after_jobs(102.0)
    assert len(started) == 2 + workers.MOST_HELPERS
    helper = next(known for known in place._places if known.helps)
    helper.process.code = 0
    place._revive(helper, 200.0)
    assert helper.process is None
    assert len(started) == 2 + workers.MOST_HELPERS


def test_a_path_that_is_not_computed_yet_is_not_painted(project) -> None:
    clip, user = project.video(1), project.local_user()
    clicked = [Content(clicks=(Click(0, 3.0 + n, 3.0),)) for n in range(2)]
    one, two = project.create_tracks(clip.id, user, clicked, "e1")
    xy = np.full((FRAMES, 2), 9, np.float32)
    path = Path(0, xy, np.ones(FRAMES, bool), np.ones(FRAMES, np.float32))
    project.write_paths(clip.id, [(one.id, 1, path, True), (two.id, 1, path, False)])

    def paint(**settings: object) -> str:
        project.enqueue("overlay", clip.id, settings, user)
        job = project.claim("w", kind=("overlay",))
        assert job is not None
        return work.overlay(project, [job], lambda done, total: None)[0]

    assert paint(tracks=[one.id]) == f"1 tracks on {FRAMES} frames"
    with pytest.raises(ValueError, match="1 of 2 tracks are not computed yet"):
        paint()
    project.write_paths(clip.id, [(two.id, 1, path, True)])
    assert paint() == f"2 tracks on {FRAMES} frames"
