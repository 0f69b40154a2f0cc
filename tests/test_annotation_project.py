"""People, videos, tracks, paths and events of a project, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path as File
from typing import Any

import numpy as np
import pytest
from projects import FRAMES, HEIGHT, WIDTH, put_video

from tapnet.annotation.content import Click, Content, Path
from tapnet.annotation.project import Conflict, Project
from tapnet.annotation.records import Track


def clicked(*frames: int, **more: Any) -> Content:
    more = {"assist": "linear"} | more
    return Content(clicks=tuple(Click(f, f + 1.0, 2.0) for f in frames), **more)


def a_path(x: float = 1.0, start: int = 0, length: int = FRAMES) -> Path:
    xy = np.full((length, 2), x, np.float32)
    return Path(start, xy, np.ones(length, bool), np.full(length, 0.5, np.float32))


# --------------------------------------------------------------------------- people


def test_a_user_logs_in_with_the_password_alone(project: Project) -> None:
    ada = project.add_user("Ada Ö", "correct horse", "annotator")
    assert project.check_password("Ada Ö", "correct horse") == ada
    assert project.check_password("Ada Ö", "correct horsf") is None
    assert project.check_password("ada ö", "correct horse") is None
    assert project.check_password("Ada Ö", "\udcff") is None  # cannot be encoded: still only wrong
    assert project.users() == [ada]
    project.set_password(ada.id, "battery staple")
    assert project.check_password("Ada Ö", "correct horse") is None
    assert project.check_password("Ada Ö", "battery staple") == ada


def test_neither_passwords_nor_tokens_are_in_the_database(tmp_path: File) -> None:
    project = Project.open(tmp_path)
    user = project.add_user("ada", "correct horse", "annotator")
    token = project.new_session(user.id, 100)
    project.close()  # writes the log into the file
    files = [path.read_bytes() for path in (tmp_path / ".tapnet").iterdir()]
    assert files
    assert not any(b"correct horse" in content or token.encode() in content for content in files)


def test_an_unknown_name_costs_as_much_as_a_known_one(project: Project) -> None:
    project.add_user("ada", "correct horse", "annotator")

    def seconds(name: str) -> float:
        begin = time.process_time()
        project.check_password(name, "something else")
        return time.process_time() - begin

    known, unknown = (min(seconds(name) for _ in range(3)) for name in ("ada", "bob"))
    assert unknown > known / 2


def test_what_no_user_can_be_is_refused(project: Project) -> None:
    project.add_user("ada", "correct horse", "annotator")
    with pytest.raises(ValueError, match="already a user 'ada'"):
        project.add_user("ada", "correct horse", "admin")
    with pytest.raises(ValueError, match="already a user 'local'"):
        project.add_user("local", "correct horse", "admin")
    with pytest.raises(ValueError, match="8 to 1000 characters, got 5"):
        project.add_user("bob", "short", "admin")
    with pytest.raises(ValueError, match="annotator, reviewer, admin, got 'king'"):
        project.add_user("bob", "correct horse", "king")
    with pytest.raises(ValueError, match="name: expected"):
        project.add_user(" ", "correct horse", "admin")
    with pytest.raises(KeyError, match="no user 999"):
        project.remove_user(999)


def test_roles_contain_each_other(project: Project) -> None:
    ada = project.add_user("ada", "correct horse", "annotator")
    assert ada.may("annotator")
    assert not ada.may("reviewer")
    assert project.set_role(ada.id, "admin").may("reviewer")
    assert project.user(ada.id).role == "admin"


def test_a_session_ends_with_its_time_its_user_and_a_logout(project: Project) -> None:
    ada = project.add_user("ada", "correct horse", "annotator")
    tokens = [project.new_session(ada.id, 100) for _ in range(2)]
    assert tokens[0] != tokens[1]
    assert project.session(tokens[0]) == ada
    assert project.session("something") is None
    project.end_session(tokens[0])
    assert project.session(tokens[0]) is None
    assert project.session(tokens[1]) == ada
    assert project.session(project.new_session(ada.id, -1)) is None
    project.set_role(ada.id, "reviewer")
    assert project.session(tokens[1]) is None
    last = project.new_session(ada.id, 100)
    project.remove_user(ada.id)
    assert project.session(last) is None
    assert project.check_password("ada", "correct horse") is None
    assert project.users() == []
    assert project.add_user("ada", "correct horse", "annotator").id != ada.id


def test_the_local_user_is_an_admin_whom_no_password_opens(project: Project) -> None:
    local = project.local_user()
    assert (local.name, local.role) == ("local", "admin")
    assert project.local_user() == local
    assert project.users() == []
    assert project.check_password("local", "") is None
    with pytest.raises(KeyError):
        project.set_password(local.id, "correct horse")


# --------------------------------------------------------------------------- videos


def test_a_video_is_read_once(project: Project) -> None:
    video = project.add_video("clip.mp4")
    assert (video.width, video.height, video.frames) == (WIDTH, HEIGHT, FRAMES)
    assert video.playable
    assert video.times[0] == 0
    np.testing.assert_allclose(np.diff(video.times), 1 / 25, atol=1e-6)
    again = project.add_video(project.folder / "clip.mp4")
    assert again.id == video.id
    os.utime(project.folder / "clip.mp4", (1, 1))
    assert project.add_video("clip.mp4").id == video.id  # touched, but the same
    assert [found.id for found in project.videos()] == [video.id]


def test_another_video_of_the_same_name_is_told(project: Project) -> None:
    from tapnet.video import write

    project.add_video("clip.mp4")
    write(project.folder / "clip.mp4", np.zeros((3, HEIGHT, WIDTH, 3), np.uint8), 25)
    with pytest.raises(ValueError, match=r"expected the file that was added, 20 frames.* got 3"):
        project.add_video("clip.mp4")


def test_a_video_lies_in_the_folder(project: Project, tmp_path_factory: Any) -> None:
    outside = tmp_path_factory.mktemp("outside")
    put_video(outside / "secret.mp4")
    (project.folder / "link.mp4").symlink_to(outside / "secret.mp4")
    climbing = "../" * 12 + str(outside / "secret.mp4").lstrip("/")
    for path in (outside / "secret.mp4", "link.mp4", climbing, "."):
        with pytest.raises(ValueError, match="lies outside"):
            project.add_video(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        project.add_video("absent.mp4")
    (project.folder / "text.mp4").write_text("hello")
    with pytest.raises(ValueError, match="expected a video"):
        project.add_video("text.mp4")


def test_a_folder_of_images_is_a_video_that_no_browser_plays(project: Project) -> None:
    from PIL import Image

    (project.folder / "frames").mkdir()
    for t in range(3):
        Image.new("RGB", (8, 6)).save(project.folder / "frames" / f"{t}.png")
    video = project.add_video("frames")
    assert (video.frames, video.width, video.playable) == (3, 8, False)


def test_a_removed_video_keeps_its_tracks(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    (track,) = project.create_tracks(video.id, user, [clicked(1)], "e1")
    job = project.enqueue("assist", video.id, {}, user)
    project.remove_video(video.id)
    assert project.videos() == []
    assert project.job(job.id).state == "cancelled"
    with pytest.raises(KeyError, match=f"no video {video.id}"):
        project.video(video.id)
    with pytest.raises(KeyError, match=f"no video {video.id}"):
        project.create_tracks(video.id, user, [clicked(1)], "e2")
    assert len(project.history(track.id)) == 1
    assert project.restore_video(video.id).id == video.id
    assert project.tracks(video.id) == [track]


# --------------------------------------------------------------------------- tracks


def test_a_track_has_all_its_versions(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    first, second = project.create_tracks(video.id, user, [clicked(1), clicked(2)], "e1")
    assert (first.version, first.stage, first.deleted) == (1, "annotate", False)
    changed = project.change_track(first.id, 1, clicked(1, 5), user, "e2", kind="drag")
    assert changed == project.track(first.id)
    gone = project.delete_track(first.id, 2, user, "e3")
    assert gone.deleted
    assert project.tracks(video.id) == [second]
    assert project.tracks(video.id, deleted=True) == [gone, second]
    with pytest.raises(ValueError, match="is deleted; restore it first"):
        project.change_track(first.id, 3, clicked(3), user, "e4")
    project.change_track(first.id, 3, clicked(1, 5), user, "e5", kind="restore")
    past = project.history(first.id)
    assert [(edit.version, edit.kind) for edit in past] == [
        (1, "create"),
        (2, "drag"),
        (3, "delete"),
        (4, "restore"),
    ]
    assert [len(edit.content.clicks) for edit in past] == [1, 2, 2, 2]
    assert {edit.user for edit in past} == {"local"}
    assert [edit.time for edit in past] == sorted(edit.time for edit in past)
    with pytest.raises(KeyError, match="no track 999"):
        project.history(999)


def test_an_edit_that_is_sent_again_changes_nothing(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    made = project.create_tracks(video.id, user, [clicked(1), clicked(2)], "e1")
    assert project.create_tracks(video.id, user, [clicked(1), clicked(2)], "e1") == made
    changed = project.change_track(made[0].id, 1, clicked(1, 5), user, "e2")
    project.change_track(made[0].id, 2, clicked(1), user, "e3")
    newest = project.newest_event()
    assert project.change_track(made[0].id, 1, clicked(1, 5), user, "e2") == changed
    assert project.change_track(made[0].id, 2, clicked(1, 5), user, "e2") == changed
    assert project.newest_event() == newest
    assert project.track(made[0].id).version == 3
    assert len(project.tracks(video.id)) == 2
    with pytest.raises(ValueError, match=r"edit_id: expected a new one"):
        project.change_track(made[1].id, 1, clicked(3), user, "e2")


def test_an_edit_of_an_old_version_is_refused_and_merged_if_possible(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    ada = project.add_user("ada", "correct horse", "annotator")
    (track,) = project.create_tracks(video.id, user, [clicked(1)], "e1")
    now = project.change_track(track.id, 1, clicked(1, 5), ada, "e2")
    with pytest.raises(
        Conflict, match=f"track {track.id} is at version 2, changed by ada"
    ) as caught:
        project.change_track(track.id, 1, clicked(1, 9), user, "e3")
    assert caught.value.current == now
    assert caught.value.merged == clicked(1, 5, 9)
    elsewhere = Content(clicks=(Click(1, 2.0, 2.0), Click(5, 50.0, 40.0)), assist="linear")
    with pytest.raises(Conflict) as caught:
        project.change_track(track.id, 1, elsewhere, user, "e4")
    assert caught.value.merged is None
    with pytest.raises(Conflict):
        project.delete_track(track.id, 1, user, "e5")
    assert project.track(track.id) == now
    assert len(project.history(track.id)) == 2
    merged = project.change_track(track.id, 2, clicked(1, 5, 9), user, "e3", kind="merge")
    assert merged.version == 3  # the refused edit left no trace of its id
    with pytest.raises(ValueError, match=r"base_version: expected 1\.\.3"):
        project.change_track(track.id, 7, clicked(1), user, "e6")


def test_an_edit_against_a_deletion_is_a_conflict_without_a_merge(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    (track,) = project.create_tracks(video.id, user, [clicked(1)], "e1")
    project.delete_track(track.id, 1, user, "e2")
    with pytest.raises(Conflict) as caught:
        project.change_track(track.id, 1, clicked(1, 5), user, "e3")
    assert caught.value.current.deleted
    assert caught.value.merged is None


def test_what_no_edit_can_be_is_refused(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    (track,) = project.create_tracks(video.id, user, [clicked(1)], "e1")
    with pytest.raises(ValueError, match=r"expected 0\.\.19, the frames of the video, got 20"):
        project.change_track(track.id, 1, clicked(20), user, "e2")
    outside = Content(clicks=(Click(0, WIDTH + 1.0, 0.0),))
    with pytest.raises(ValueError, match="expected x in"):
        project.create_tracks(video.id, user, [clicked(2), outside], "e3")
    with pytest.raises(ValueError, match="was not imported"):
        project.change_track(track.id, 1, clicked(1, assist="imported"), user, "e4")
    with pytest.raises(ValueError, match="edit_id: expected 1 to 100"):
        project.change_track(track.id, 1, clicked(2), user, "")
    with pytest.raises(ValueError, match="kind: expected a word"):
        project.change_track(track.id, 1, clicked(2), user, "e5", kind="<b>")
    with pytest.raises(KeyError, match="no track 999"):
        project.change_track(999, 1, clicked(2), user, "e6")
    assert project.tracks(video.id) == [track]


def test_a_random_walk_of_edits_leaves_what_plain_lists_would(project: Project) -> None:
    random = np.random.default_rng(3)
    video, user = project.add_video("clip.mp4"), project.local_user()
    kinds = ("click", "delete", "restore", "agree", "stale")
    past: dict[int, list[tuple[Content, str, bool]]] = {}  # content, stage, deleted
    for n in range(12):
        (track,) = project.create_tracks(video.id, user, [clicked(n)], f"new-{n}")
        past[track.id] = [(clicked(n), "annotate", False)]
    for n in range(120):
        number = int(random.choice(list(past)))
        kind = str(random.choice(kinds))
        content, stage, deleted = past[number][-1]
        version = len(past[number])
        if kind == "stale":
            if version > 1:
                with pytest.raises(Conflict):
                    project.change_track(number, version - 1, clicked(1), user, f"e-{n}")
        elif deleted and kind not in ("restore", "delete"):
            with pytest.raises(ValueError, match="is deleted"):
                project.change_track(number, version, clicked(1), user, f"e-{n}")
        elif kind == "delete":
            project.delete_track(number, version, user, f"e-{n}")
            past[number].append((content, "refine" if stage == "agreed" else stage, True))
        elif kind == "agree":
            project.agree(number, version, user, f"e-{n}")
            past[number].append((content, "agreed", False))
        else:
            content = clicked(*sorted({int(f) for f in random.integers(0, FRAMES, 3)}))
            project.change_track(number, version, content, user, f"e-{n}", kind=kind)
            past[number].append((content, "refine" if stage == "agreed" else stage, False))
    for track in project.tracks(video.id, deleted=True):
        assert (track.content, track.stage, track.deleted) == past[track.id][-1]
        edits = project.history(track.id)
        assert [edit.version for edit in edits] == list(range(1, track.version + 1))
        found = [(edit.content, edit.stage) for edit in edits]
        assert found == [(content, stage) for content, stage, _ in past[track.id]]
    edits_told = [event for event in project.events(0, limit=10_000) if event.kind == "track"]
    assert len(edits_told) == sum(map(len, past.values()))


# --------------------------------------------------------------------------- paths


def test_a_path_belongs_to_a_version(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    (track,) = project.create_tracks(video.id, user, [clicked(1, hidden=((2, 4),))], "e1")
    project.write_paths(video.id, [(track.id, 1, a_path(1, start=1, length=5), False)])
    partial = project.paths(video.id)[track.id]
    assert (partial.version, partial.complete, partial.path.start) == (1, False, 1)
    np.testing.assert_array_equal(partial.path.visible, [1, 0, 0, 1, 1])  # hidden by the content
    project.write_paths(video.id, [(track.id, 1, a_path(2), True)])
    project.write_paths(video.id, [(track.id, 1, a_path(3), False)])  # late, of a lost worker
    assert project.paths(video.id)[track.id].path.xy[0, 0] == 2
    project.change_track(track.id, 1, clicked(1, 5), user, "e2")
    assert project.paths(video.id)[track.id].version == 1  # the old one until there is a new one
    project.write_paths(video.id, [(track.id, 2, a_path(4), True)])
    project.write_paths(video.id, [(track.id, 1, a_path(5), True)])  # no longer wanted
    stored = project.paths(video.id)[track.id]
    assert (stored.version, stored.path.xy[0, 0]) == (2, 4)
    assert project.path_at(track.id, 1) is None
    project.delete_track(track.id, 2, user, "e3")
    assert project.paths(video.id) == {}


def test_an_edit_of_words_alone_takes_the_path_along(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    (track,) = project.create_tracks(video.id, user, [clicked(1)], "e1")
    project.write_paths(video.id, [(track.id, 1, a_path(), True)])
    project.change_track(track.id, 1, clicked(1, name="ear"), user, "e2")
    assert project.paths(video.id)[track.id].version == 2
    project.change_track(track.id, 2, clicked(1, 4, name="ear"), user, "e3")
    assert project.paths(video.id)[track.id].version == 2


def test_many_paths_are_stored_and_found_by_track(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    tracks = project.create_tracks(video.id, user, [clicked(1)] * 150, "e1")
    project.write_paths(video.id, [(t.id, 1, a_path(n), True) for n, t in enumerate(tracks)])
    chosen = [tracks[3].id, tracks[140].id]
    found = project.paths(video.id, chosen)
    assert {number: stored.path.xy[0, 0] for number, stored in found.items()} == {
        chosen[0]: 3,
        chosen[1]: 140,
    }
    assert len(project.paths(video.id)) == 150


def test_a_path_that_cannot_be_is_refused(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    (track,) = project.create_tracks(video.id, user, [clicked(1)], "e1")
    with pytest.raises(ValueError, match="some not finite"):
        project.write_paths(video.id, [(track.id, 1, a_path(np.nan), True)])
    with pytest.raises(ValueError, match=r"frames 0\.\.19 of the video, got frames 1\.\.20"):
        project.write_paths(video.id, [(track.id, 1, a_path(start=1), True)])
    with pytest.raises(KeyError, match="no track 999 of version 1"):
        project.write_paths(video.id, [(999, 1, a_path(), True)])
    assert project.paths(video.id) == {}


def look_at(frame: int, track: Track, score: float) -> dict[str, Any]:
    return {"frame": frame, "track": track.id, "reason": "jump", "score": score}


def test_suggestions_are_those_written_last(project: Project) -> None:
    video = project.add_video("clip.mp4")
    assert project.suggestions(video.id) == []
    (track,) = project.create_tracks(video.id, project.local_user(), [clicked(1)], "e")
    project.write_suggestions(video.id, [look_at(1, track, 3.0)], {track.id: 5})
    project.write_suggestions(video.id, [look_at(4, track, 1.0)], {track.id: 6})
    assert [suggestion["frame"] for suggestion in project.suggestions(video.id)] == [4]
    assert project.looked_at(video.id) == {track.id: 6}


def test_suggestions_for_other_tracks_stay_until_their_tracks_go(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    first, second = project.create_tracks(video.id, user, [clicked(1)] * 2, "e")
    project.write_suggestions(video.id, [look_at(3, first, 0.5)], {first.id: 1})
    project.write_suggestions(video.id, [look_at(7, second, 0.9)], {second.id: 1})
    assert [one["frame"] for one in project.suggestions(video.id)] == [7, 3]
    assert project.looked_at(video.id) == {first.id: 1, second.id: 1}
    project.delete_track(first.id, 1, user, "gone")
    project.write_suggestions(video.id, [], {})
    assert [one["frame"] for one in project.suggestions(video.id)] == [7]
    assert project.looked_at(video.id) == {second.id: 1}


# --------------------------------------------------------------------------- events


def test_every_change_writes_its_event(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    (track,) = project.create_tracks(video.id, user, [clicked(1)], "e1")
    project.change_track(track.id, 1, clicked(1, 2), user, "e2")
    project.write_paths(video.id, [(track.id, 2, a_path(), True)])
    project.assign(video.id, user.id, "annotate", user)
    project.enqueue("assist", video.id, {}, user)
    with pytest.raises(Conflict):
        project.change_track(track.id, 1, clicked(3), user, "e3")
    events = project.events(0)
    assert [event.kind for event in events] == ["video", "track", "track", "path", "task", "job"]
    assert events[2].data["version"] == 2
    assert events[3].data == {"tracks": [track.id], "complete": True}
    assert [event.id for event in events] == sorted({event.id for event in events})
    assert project.newest_event() == events[-1].id
    assert project.events(events[3].id) == events[4:]
    assert project.events(0, limit=2) == events[:2]
    assert project.events(0, video_id=video.id + 1) == []


# --------------------------------------------------------------------------- the database


def test_a_project_is_found_again(project: Project, database: str | None) -> None:
    video = project.add_video("clip.mp4")
    content = clicked(1, name="ear")
    (track,) = project.create_tracks(video.id, project.local_user(), [content], "e1")
    project.close()
    again = Project.open(project.folder, database)
    assert again.tracks(video.id) == [track]
    again.close()


def test_two_processes_see_each_other(project: Project, database: str | None) -> None:
    other = Project.open(project.folder, database)
    video = project.add_video("clip.mp4")
    (track,) = other.create_tracks(video.id, other.local_user(), [clicked(1)], "e1")
    project.change_track(track.id, 1, clicked(2), project.local_user(), "e2")
    assert other.track(track.id).version == 2
    other.close()


def test_sqlite_waits_for_the_disk(tmp_path: File) -> None:
    project = Project.open(tmp_path)
    with project._database.reading() as read:
        pragmas = {
            name: read.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    project.close()
    assert pragmas["journal_mode"] == "wal"
    assert pragmas["synchronous"] == 2  # FULL
    assert pragmas["foreign_keys"] == 1
    assert pragmas["busy_timeout"] >= 10_000


def test_a_database_that_cannot_be_used_is_told(tmp_path: File) -> None:
    with pytest.raises(ValueError, match="expected a folder of videos"):
        Project.open(tmp_path / "absent")
    for url in ("mysql://host/name", "nonsense", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(ValueError, match=r"expected a URL such as sqlite:////"):
            Project.open(tmp_path, url)
    (tmp_path / "text.sqlite").write_text("no database at all, but some text" * 100)
    with pytest.raises(ValueError, match="not a database"):
        Project.open(tmp_path, f"sqlite:///{tmp_path / 'text.sqlite'}")
    with pytest.raises(ConnectionError, match="the database does not answer"):
        Project.open(tmp_path, f"postgresql+psycopg://nobody@/none?host={tmp_path}")


def test_a_folder_may_have_any_name(tmp_path: File) -> None:
    folder = tmp_path / "100% a?b=c #ü"
    folder.mkdir()
    Project.open(folder).close()
    assert (folder / ".tapnet" / "studio.sqlite").is_file()


def test_a_database_of_another_version_is_refused(tmp_path: File) -> None:
    project = Project.open(tmp_path)
    with project._database.writing() as write:
        write.connection.exec_driver_sql("UPDATE meta SET version = 99")
    project.close()
    with pytest.raises(ValueError, match="version 1, got version 99"):
        Project.open(tmp_path)


def test_without_sqlalchemy_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["sqlalchemy"] = None
import tapnet, tapnet.annotation.content, tapnet.annotation.merge
import tapnet.annotation.project
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install 'tapnet[studio]'" in done.stderr.splitlines()[-1]


def test_an_object_can_be_named_without_a_new_track(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    (track,) = project.create_tracks(video.id, user, [clicked(1)], "e1")
    named = replace(track.content, object="dog")
    assert project.change_track(track.id, 1, named, user, "e2").content.object == "dog"
