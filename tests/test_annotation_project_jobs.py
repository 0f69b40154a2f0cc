"""The queue of long work: each job is done once, videos take turns, lost workers lose nothing."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tapnet.annotation import jobs
from tapnet.annotation.jobs import TRIES
from tapnet.annotation.project import Project
from tapnet.annotation.records import User, Video


def two_videos(project: Project) -> tuple[Video, Video, User]:
    shutil.copy(project.folder / "clip.mp4", project.folder / "other.mp4")
    return project.add_video("clip.mp4"), project.add_video("other.mp4"), project.local_user()


def test_a_job_runs_from_the_queue_to_its_result(project: Project) -> None:
    video, _, user = two_videos(project)
    job = project.enqueue("export", video.id, {"format": "npz"}, user)
    assert (job.state, job.by, job.settings) == ("queued", "local", {"format": "npz"})
    taken = project.claim("w1")
    assert taken is not None
    assert (taken.id, taken.state) == (job.id, "running")
    assert project.claim("w2") is None
    assert project.progress(job.id, "w1", 3, 10)
    now = project.job(job.id)
    assert (now.done, now.total, now.ended) == (3, 10, None)
    assert project.finish(job.id, "w1", "done", "10 tracks", ".tapnet/results/1.npz")
    ended = project.job(job.id)
    assert (ended.state, ended.message, ended.result) == (
        "done",
        "10 tracks",
        ".tapnet/results/1.npz",
    )
    assert ended.started is not None
    assert ended.ended is not None
    assert ended.created <= ended.started <= ended.ended
    assert not project.finish(job.id, "w1", "failed")
    states = [event.data["state"] for event in project.events(0) if event.kind == "job"]
    assert states == ["queued", "running", "running", "done"]
    with pytest.raises(ValueError, match="expected done, failed or cancelled"):
        project.finish(job.id, "w1", "queued")
    with pytest.raises(KeyError, match="no job 999"):
        project.job(999)


def test_equal_work_waits_once(project: Project) -> None:
    video, other, user = two_videos(project)
    job = project.enqueue("assist", video.id, {"tracks": [1], "more": 2}, user)
    assert project.enqueue("assist", video.id, {"more": 2, "tracks": [1]}, user) == job
    assert project.enqueue("assist", video.id, {"tracks": [2]}, user).id != job.id
    assert project.enqueue("assist", other.id, {"tracks": [1], "more": 2}, user).id != job.id
    project.claim("w1", video.id)
    assert project.enqueue("assist", video.id, {"tracks": [1], "more": 2}, user).id != job.id
    assert len(project.jobs(video.id)) == 3
    assert len(project.jobs()) == 4
    with pytest.raises(KeyError, match="no video 999"):
        project.enqueue("assist", 999, {}, user)


def test_the_video_with_the_fewest_running_jobs_comes_first(project: Project) -> None:
    video, other, user = two_videos(project)
    for n in range(4):
        project.enqueue("assist", video.id, {"tracks": [n]}, user)
    project.enqueue("assist", other.id, {}, user)
    order = [job.video_id for n in range(5) if (job := project.claim(f"w{n}")) is not None]
    assert order == [video.id, other.id, video.id, video.id, video.id]


def test_a_worker_may_take_one_kind_or_one_video_only(project: Project) -> None:
    video, other, user = two_videos(project)
    project.enqueue("assist", video.id, {}, user)
    project.enqueue("overlay", other.id, {}, user)
    assert project.claim("w", kind="export") is None
    assert project.claim("w", other.id, "assist") is None
    taken = project.claim("w", kind=("overlay", "export"))
    assert taken is not None
    assert taken.kind == "overlay"
    assert project.claim("w", video.id, "assist") is not None


def test_each_job_is_claimed_by_one_worker(project: Project, database: str | None) -> None:
    video, other, user = two_videos(project)
    queued = {
        project.enqueue("assist", v.id, {"tracks": [n]}, user).id
        for n in range(15)
        for v in (video, other)
    }
    workers = [Project.open(project.folder, database) for _ in range(6)]
    start, taken = threading.Barrier(len(workers)), []

    def work(n: int) -> None:
        start.wait(30)
        while (job := workers[n].claim(f"w{n}")) is not None:
            taken.append(job.id)
            assert workers[n].finish(job.id, f"w{n}", "done")

    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(work, range(len(workers))))
    for worker in workers:
        worker.close()
    assert sorted(taken) == sorted(queued)
    assert {project.job(number).state for number in queued} == {"done"}


def test_a_cancelled_job_stops_its_worker(project: Project) -> None:
    video, _, user = two_videos(project)
    first = project.enqueue("assist", video.id, {}, user)
    assert project.cancel(first.id).state == "cancelled"
    assert project.claim("w") is None
    second = project.enqueue("assist", video.id, {}, user)
    project.claim("w")
    project.cancel(second.id)
    assert not project.progress(second.id, "w", 1, 2)
    assert not project.finish(second.id, "w", "done")
    assert project.cancel(second.id).state == "cancelled"
    assert project.job(second.id).ended is not None


def test_a_lost_workers_job_is_done_by_another(project: Project) -> None:
    video, _, user = two_videos(project)
    job = project.enqueue("assist", video.id, {}, user)
    project.claim("lost")
    assert project.requeue_lost(60) == 0
    time.sleep(0.05)
    assert project.requeue_lost(0.01) == 1
    assert project.job(job.id).state == "queued"
    assert not project.progress(job.id, "lost", 1, 2)  # it was not dead but slow
    taken = project.claim("w2")
    assert taken is not None
    assert taken.id == job.id
    assert not project.finish(job.id, "lost", "done")
    assert project.progress(job.id, "w2", 1, 2)


def test_a_job_that_takes_its_workers_down_fails_in_the_end(project: Project) -> None:
    video, _, user = two_videos(project)
    job = project.enqueue("assist", video.id, {}, user)
    for n in range(TRIES):
        assert project.claim(f"w{n}") is not None
        time.sleep(0.01)
        project.requeue_lost(0.001)
    assert project.job(job.id).state == "failed"
    assert f"its worker ended {TRIES} times" in project.job(job.id).message
    assert project.claim("w") is None


def test_a_worker_that_stops_gives_its_job_back(project: Project) -> None:
    video, _, user = two_videos(project)
    job = project.enqueue("assist", video.id, {}, user)
    for n in range(TRIES + 1):  # as often as it likes
        assert project.claim(f"w{n}") is not None
        assert project.release(job.id, f"w{n}")
    assert not project.release(job.id, "w0")
    assert project.job(job.id).state == "queued"
    project.claim("w")
    project.enqueue("assist", video.id, {}, user)  # the same work came in meanwhile
    assert project.release(job.id, "w")
    assert [found.state for found in project.jobs()] == ["queued", "cancelled"]


@pytest.mark.parametrize(("seconds", "written"), [(3600, 2), (0, 11)])
def test_progress_that_comes_often_is_not_all_written(
    project: Project, monkeypatch: pytest.MonkeyPatch, seconds: float, written: int
) -> None:
    monkeypatch.setattr(jobs, "TELL_SECONDS", seconds)
    video, _, user = two_videos(project)
    job = project.enqueue("assist", video.id, {}, user)
    project.claim("w")
    before = project.newest_event()
    for n in range(11):
        assert project.progress(job.id, "w", n, 10)
    assert project.job(job.id).done == 10
    assert len(project.events(before)) == written  # the first, which tells the total, and the last
