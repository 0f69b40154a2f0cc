"""TAP-Vid-Kinetics is made as the official tool makes it, in runs that may be stopped."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import layouts
import numpy as np
import pytest

from tapnet import video
from tapnet.data import kinetics, open_dataset
from tapnet.data.kinetics_shards import Report, prepare, read_state

H, W = 32, 48
NAMES = [f"id-{i}_00{i:04}_00{i + 10:04}" for i in range(5)]


def movie(path: Path, length: int, rate: int, first: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = [np.full((H, W, 3), (first + 2 * t) % 256, np.uint8) for t in range(length)]
    video.write(path, grey, rate)
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(5):
        points, occluded = rng.uniform(0, 1, (2, 250, 2)), rng.uniform(size=(2, 250)) < 0.3
        rows.append(((f"id-{i}", i, i + 10), points, occluded))
    return layouts.track_rows(tmp_path / "tapvid_kinetics.csv", rows)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    for i in range(5):
        movie(folder / "archery" / f"{NAMES[i]}.mp4", 12, 30, first=40 * i)
    return folder


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.pkl")}


def test_points_are_half_a_pixel_less_than_in_the_csv_file_as_officially(
    labels: Path, clips: Path, tmp_path: Path
) -> None:
    """At 256x256 that is 0.5 * 256 / W pixels, which the reader does not undo."""
    prepare(labels, clips, tmp_path / "out")
    row = np.array(labels.read_text().splitlines()[0].split(",")[3:], float).reshape(250, 3)
    clip = next(iter(open_dataset(tmp_path / "out")))
    assert clip.name == NAMES[0]
    assert clip.occluded.dtype == bool
    assert clip.points.dtype == np.float64
    length = len(clip)
    expected = (row[:length, :2] * [W, H] - 0.5) / [W, H]
    np.testing.assert_allclose(clip.points[0], expected, atol=1e-12)
    np.testing.assert_array_equal(clip.occluded[0], row[:length, 2] > 0)
    shift = row[:length, :2] * 256 - clip.points[0] * 256
    np.testing.assert_allclose(shift, np.broadcast_to([128 / W, 128 / H], shift.shape), atol=1e-9)


def test_frames_are_those_at_25_a_second_and_no_more_than_250(
    labels: Path, clips: Path, tmp_path: Path
) -> None:
    movie(clips / "archery" / f"{NAMES[1]}.mp4", 104, 10)
    report = prepare(labels, clips, tmp_path / "out", shards=1)
    found = {clip.name: clip for clip in open_dataset(tmp_path / "out")}
    assert [len(clip) for clip in found.values()] == [10, 250, 10, 10, 10]
    assert report.short == {name: 10 for i, name in enumerate(NAMES) if i != 1}
    chosen = kinetics.at_rate(np.arange(104) / 10, 1 / 10)[:250]
    shown = [frame.mean() for frame in found[NAMES[1]].images()]
    assert np.abs(np.array(shown) - 2 * chosen % 256).max() < 4
    assert found[NAMES[1]].points.shape == (2, 250, 2)


def filtered(times: np.ndarray, base: Fraction, lasts: int) -> list[int]:
    """The frames that FFmpeg's own filter gives."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=16, height=16, format="gray", time_base=base)
    rate, sink = graph.add("fps", "fps=25"), graph.add("buffersink")
    source.link_to(rate)
    rate.link_to(sink)
    graph.configure()
    found: list[int] = []
    for i, time_ in [*enumerate(times), (None, None)]:
        frame = None
        if i is not None:
            frame = av.VideoFrame.from_ndarray(np.full((16, 16), i, np.uint8), "gray")
            frame.pts, frame.time_base, frame.duration = int(time_), base, lasts
        graph.push(frame)
        while True:
            try:
                found.append(int(graph.pull().to_ndarray()[0, 0]))
            except (av.BlockingIOError, av.EOFError):
                break
    return found


@pytest.mark.parametrize("rate", ["10", "15", "24", "25", "30000/1001", "30", "50", "60", "uneven"])
def test_frames_are_those_that_ffmpeg_picks(rate: str) -> None:
    base = Fraction(1, 90000)
    if rate == "uneven":
        times = np.sort(np.random.default_rng(0).choice(180000, 40, replace=False))
        times, lasts = times - times[0], 3000
    else:
        lasts = round(1 / Fraction(rate) / base)
        times = np.array([round(i / Fraction(rate) / base) for i in range(40)])
    found = kinetics.at_rate(times * float(base), lasts * float(base))
    assert found.tolist() == filtered(times, base, lasts)


def test_shards_are_dealt_out_and_read_as_the_official_ones(
    labels: Path, clips: Path, tmp_path: Path
) -> None:
    report = prepare(labels, clips, tmp_path / "out", shards=2)
    assert report == Report(
        made=("0000_of_0002.pkl", "0001_of_0002.pkl"),
        kept=(),
        clips=5,
        missing=(),
        damaged={},
        short=dict.fromkeys(NAMES, 10),
    )
    parts = [pickle.loads(content) for _, content in sorted(shards(tmp_path / "out").items())]
    assert [list(part) for part in parts] == [NAMES[:3], NAMES[3:]]
    for clip in parts[0].values():
        assert clip["video"].dtype.kind == "S"
        assert clip["video"][0][:2] == b"\xff\xd8"
        assert len(clip["video"]) == clip["points"].shape[1] == clip["occluded"].shape[1]


def test_what_is_missing_or_damaged_is_left_out_and_reported(
    labels: Path, clips: Path, tmp_path: Path
) -> None:
    files = [clips / "archery" / f"{name}.mp4" for name in NAMES]
    files[0].unlink()
    files[1].write_bytes(b"")
    files[2].write_bytes(files[2].read_bytes()[:200])
    report = prepare(labels, clips, tmp_path / "out", shards=2)
    assert report.clips == 2
    assert report.missing == (NAMES[0],)
    assert list(report.damaged) == [NAMES[1], NAMES[2]]
    assert "the file is empty" in report.damaged[NAMES[1]]
    assert [clip.name for clip in open_dataset(tmp_path / "out")] == NAMES[3:]


def test_a_later_run_makes_what_has_come_or_changed_and_nothing_else(
    labels: Path, clips: Path, tmp_path: Path
) -> None:
    late = clips / "archery" / f"{NAMES[4]}.mp4"
    content = late.read_bytes()
    late.unlink()
    out = tmp_path / "out"
    first = prepare(labels, clips, out, shards=5)
    assert first.missing == (NAMES[4],)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.pkl")}
    assert prepare(labels, clips, out, shards=5).made == ()
    late.write_bytes(content)
    (out / "0001_of_0005.pkl").unlink()
    again = prepare(labels, clips, out, shards=5)
    assert again.made == ("0001_of_0005.pkl", "0004_of_0005.pkl")
    assert (again.clips, again.missing) == (5, ())
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.pkl")}
    assert {name for name in after if after[name] != before[name]} == set(again.made)
    whole = tmp_path / "at_once"
    prepare(labels, clips, whole, shards=5)
    assert shards(out) == shards(whole)
    assert {n: s.sha256 for n, s in read_state(out).items()} == {
        n: s.sha256 for n, s in read_state(whole).items()
    }


def test_processes_make_the_same_files(labels: Path, clips: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    prepare(labels, clips, tmp_path / "a", shards=2)
    prepare(
        *(labels, clips, tmp_path / "b"),
        shards=2,
        workers=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert shards(tmp_path / "a") == shards(tmp_path / "b")
    assert seen == [(n, 5) for n in range(1, 6)]


def test_a_run_that_is_killed_leaves_whole_shards_alone(
    labels: Path, clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    slow = (
        "import sys, time\n"
        "from tapnet.data import kinetics, kinetics_shards\n"
        "make = kinetics_shards.make\n"
        "kinetics_shards.make = lambda *a: (time.sleep(0.5), make(*a))[1]\n"
        "kinetics_shards.prepare(*sys.argv[1:4], shards=5)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", slow, str(labels), str(clips), str(out)])
    began = time.monotonic()
    while not (out / "0001_of_0005.pkl").exists() and time.monotonic() - began < 60:
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    (out / ".prepared-0123abcd.json").write_text("{")  # killed a little later
    done = {name: content for name, content in shards(out).items() if name[0] != "."}
    assert len(open_dataset(out).files()) < 5
    list(open_dataset(out))  # what is there is whole
    report = prepare(labels, clips, out, shards=5)
    assert report.kept[:1] == ("0000_of_0005.pkl",)
    assert report.clips == 5
    assert {name: shards(out)[name] for name in report.kept} == {n: done[n] for n in report.kept}
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"{i:04d}_of_0005.pkl" for i in range(5)), "prepared.json"]
    )


def test_another_csv_file_or_folder_is_refused(labels: Path, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(labels, clips, out, shards=2)
    with pytest.raises(ValueError, match=r"holds 2 shards of a CSV file.*asked were 3 of one"):
        prepare(labels, clips, out, shards=3)
    (out / "prepared.json").write_text("{")
    with pytest.raises(ValueError, match=r"prepared\.json: expected what `tapnet data prepare`"):
        prepare(labels, clips, out, shards=2)
    (out / "prepared.json").write_text(json.dumps({"shards": {"a": {}}}))
    with pytest.raises(ValueError, match=r"prepared\.json: expected what"):
        prepare(labels, clips, out, shards=2)
    with pytest.raises(FileNotFoundError, match="expected one with clips of Kinetics"):
        prepare(labels, tmp_path / "nowhere", out)
    labels.write_text("id,0,10,0.5,0.5,0\n")
    with pytest.raises(ValueError, match=r"expected rows of 753 cells.*got 6; it is in https"):
        prepare(labels, clips, tmp_path / "new")
    labels.write_text("id,zero,10" + ",0.5,0.5,0" * 250)
    with pytest.raises(ValueError, match="id: expected start and end in whole seconds, got zero"):
        prepare(labels, clips, tmp_path / "new")
