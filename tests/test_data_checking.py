"""What lies at a path: counted, verified, and what is wrong is named."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
from test_cli import Run, run
from test_data_csv import movie, tracks
from test_data_kinetics import clips, labels
from test_data_tapvid3d import FRAMES, arrays

import tapnet
from tapnet.data import DATASETS
from tapnet.data.checking import check
from tapnet.evaluate import evaluate

__all__ = ["clips", "labels", "run"]  # fixtures

T, H, W = 3, 8, 12


def a_clip(seed: int = 0, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    clip = {
        "video": [layouts.jpeg(frame) for frame in rng.integers(0, 255, (T, H, W, 3), np.uint8)],
        "points": rng.uniform(0, 1, (4, T, 2)),
        "occluded": np.zeros((4, T), bool),
    }
    clip["occluded"][0, 1:] = True
    return clip | changes


def put(path: Path, content: Any) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


def test_a_whole_set_is_counted(tmp_path: Path) -> None:
    annotated = np.ones((4, T), bool)
    annotated[:, 0] = False
    path = put(tmp_path / "a.pkl", {"a": a_clip(), "b": a_clip(1, annotated=annotated)})
    seen: list[tuple[int, int]] = []
    found = check(path, progress=lambda done, total: seen.append((done, total)))
    assert (found.files, found.bytes) == (1, path.stat().st_size)
    assert (found.clips, found.tracks, found.frames) == (2, 8, 2 * T)
    assert (found.labelled, found.visible) == (12 + 8, 10 + 6)
    assert found.sizes == ((H, W),)
    assert found.verified == ("labels are well formed", "every frame decodes")
    assert found.problems == ()
    assert seen == [(1, 2), (2, 2)]


def test_frames_that_do_not_decode_are_named_each(tmp_path: Path) -> None:
    good = a_clip()
    bad = good | {"video": [good["video"][0], good["video"][1][:30], b"nothing"]}
    path = put(tmp_path / "a.pkl", {"good": good, "bad": bad, "worse": bad})
    found = check(path)
    assert [problem.partition(": ")[0] for problem in found.problems] == [
        f"{path}, clip 'bad', frame 1",
        f"{path}, clip 'worse', frame 1",
    ]
    assert check(path, decode=False).problems == ()
    many = put(tmp_path / "many.pkl", [bad] * 30)
    assert len(check(many).problems) == 21
    assert check(many).problems[-1] == "and 10 more problems"


def test_labels_that_cannot_be_read_end_the_check_but_tell_what_was_there(tmp_path: Path) -> None:
    path = put(tmp_path / "a.pkl", {"a": a_clip(), "b": a_clip(points=np.zeros((4, T + 1, 2)))})
    found = check(path)
    assert found.clips == 1
    assert len(found.problems) == 1
    assert "clip 'b': points: expected [N 3 2]" in found.problems[0]
    empty = check(put(tmp_path / "b.pkl", {}))
    assert empty.problems == (f"{tmp_path / 'b.pkl'}: expected one video or more, got none",)


def test_a_published_set_has_its_number_of_videos(tmp_path: Path) -> None:
    path = put(tmp_path / "tapvid_davis.pkl", {str(i): a_clip(i) for i in range(30)})
    assert "30 videos, as published" in check(path).verified
    put(path, {str(i): a_clip(i) for i in range(29)})
    assert check(path).problems == (f"{path}: expected 30 videos as published, got 29",)
    splits = tmp_path / "unpacked"
    splits.mkdir()
    for i in range(2):
        put(splits / f"robotap_split{i}.pkl", {f"{i} {j}": a_clip() for j in range(3)})
    found = check(splits, decode=False)
    assert found.dataset.name == "robotap"
    assert found.problems == (f"{splits}: expected 265 videos as published, got 6",)


def test_shards_are_all_there_and_have_the_hash_they_were_made_with(
    labels: Path, clips: Path, tmp_path: Path
) -> None:
    from tapnet.data.kinetics_shards import prepare

    out = tmp_path / "out"
    prepare(labels, clips, out, shards=2)
    found = check(out)
    assert found.dataset.name == "tapvid-kinetics"
    assert {"all 2 shards", "SHA-256 of 2 files"} <= set(found.verified)
    shard = out / "0001_of_0002.pkl"
    whole = shard.read_bytes()
    shard.write_bytes(whole.replace(b"\xff\xd9", b"\xff\xd8", 1))
    assert any("0001_of_0002.pkl: expected SHA-256" in problem for problem in check(out).problems)
    shard.unlink()
    assert f"{out}: expected 2 shards, got none numbered 0001" in check(out).problems


def test_the_validation_set_has_the_hashes_written_beside_it(tmp_path: Path) -> None:
    path = put(tmp_path / "scenes-24.pkl", {"a": a_clip()})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    about = tmp_path / "validation.json"
    about.write_text(json.dumps({"files": {path.name: digest}}))
    assert "SHA-256 of 1 files" in check(path).verified
    about.write_text(json.dumps({"files": {path.name: "0" * 64}}))
    assert "scenes-24.pkl: expected SHA-256 0000" in check(path).problems[0]
    about.write_text("[")
    assert "validation.json: expected hashes of files" in check(path).problems[0]


def csv(folder: Path) -> Path:
    movie(folder / "v.mp4")
    return layouts.track_rows(folder / "labels.csv", [(("v",), *tracks(0))])


def space(folder: Path) -> Path:
    return layouts.space(folder / "a.npz", FRAMES, **arrays())


def people(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    video = rng.integers(0, 255, (T, H, W, 3), np.uint8), rng.uniform(0, 8, (15, T, 2))
    return layouts.jhmdb(folder, {"wave/a": video})


@pytest.mark.parametrize("make", [csv, space, people])
def test_every_kind_can_be_checked(make: Callable[[Path], Path], tmp_path: Path) -> None:
    found = check(make(tmp_path))
    assert found.problems == ()
    assert found.clips == 1
    assert found.sizes


@pytest.mark.parametrize(
    ("make", "score"),
    [
        (csv, "average_pts_within_thresh"),
        (space, "average_pts_within_thresh"),
        (people, "PCK@0.1"),
    ],
)
def test_every_kind_can_be_evaluated_by_its_own_score(
    make: Callable[[Path], Path], score: str, tmp_path: Path
) -> None:
    result = evaluate(make(tmp_path), tapnet.load("klt"), resolution=(32, 32))
    assert [(row.frames > 0, row.points > 0) for row in result.rows] == [(True, True)]
    assert 0 <= result.mean[score].value <= 1


def test_a_video_that_is_cut_short_is_a_problem(tmp_path: Path) -> None:
    path = csv(tmp_path)
    file = tmp_path / "v.mp4"
    file.write_bytes(file.read_bytes()[:-400])
    assert check(path).problems


def test_the_command_tells_and_its_exit_code_says_whether_it_is_whole(
    run: Run, tmp_path: Path
) -> None:
    path = put(tmp_path / "a.pkl", {"a": a_clip(), "b": a_clip(1)})
    code, out, err = run("data", "check", path)
    assert (code, err) == (0, "")
    assert "videos   2, 6 frames of 12x8" in out
    assert "tracks   8: 24 labels, 20 of visible points" in out
    assert "whole    as far as can be told" in out
    put(path, {"a": a_clip(video=[b"nothing"] * T)})
    code, out, err = run("data", "check", path)
    assert code == 2
    assert "problem  " in out
    assert "a.pkl: not whole; the set is had from https://github.com" in err
    assert run("data", "check", path, "--labels-only")[0] == 0
    code, out, _ = run("data", "list")
    assert code == 0
    assert all(name in out for name in DATASETS)


def test_kinetics_is_made_by_one_command(
    run: Run, labels: Path, clips: Path, tmp_path: Path
) -> None:
    next((clips / "archery").iterdir()).unlink()
    words = ("data", "prepare", "kinetics", "--csv", labels, "--videos", clips)
    words += ("--out", tmp_path / "out", "--shards", 2, "--workers", 0)
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert "wrote 2 shards" in out
    assert "4 clips; 4 are shorter than 250 frames" in out
    assert "1 clips have no video:\n  id-" in out
    assert "wrote 0 shards" in run(*words)[1]
    code, _, err = run("data", "prepare", "davis", *words[3:])
    assert code == 2
    assert "kinetics" in err
