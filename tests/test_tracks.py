import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_pickles import told_of_damage

import tapnet
from tapnet import export, video
from tapnet.tracks import Tracks
from tapnet.video import Video
from tapnet.video import open as open_video


def some_tracks(n: int = 3, t: int = 4, start: int = 0) -> Tracks:
    generator = np.random.default_rng(0)
    visible = generator.random((n, t)) > 0.3
    visible[:, 0] = True
    xy = generator.uniform(0, [20, 10], (n, t, 2)).astype(np.float32)
    query_points = np.column_stack([np.full(n, start), xy[:, 0, 1], xy[:, 0, 0]])
    confidence = generator.random((n, t)).astype(np.float32)
    return Tracks(query_points.astype(np.float32), xy, visible, confidence, (10, 20), 12.5, start)


def arrays(tracks: Tracks) -> dict[str, np.ndarray]:
    names = ("query_points", "xy", "visible", "confidence")
    return {name: getattr(tracks, name) for name in names}


def assert_same_arrays(a: Tracks, b: Tracks) -> None:
    for name, value in arrays(a).items():
        assert getattr(b, name).dtype == value.dtype, name
        np.testing.assert_array_equal(getattr(b, name), value, err_msg=name)


@pytest.mark.parametrize(("n", "t"), [(3, 4), (0, 4), (1, 1)])
def test_npz_gives_everything_back(tmp_path: Path, n: int, t: int) -> None:
    tracks = some_tracks(n, t, start=7)
    tracks.save(tmp_path / "a.npz")
    back = Tracks.load(tmp_path / "a.npz")
    assert_same_arrays(tracks, back)
    assert (back.size, back.fps, back.start, back.stop) == ((10, 20), 12.5, 7, 7 + t)


def test_npz_is_read_by_numpy_alone_with_the_documented_keys(tmp_path: Path) -> None:
    some_tracks().save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert sorted(file) == sorted(
            ["query_points", "xy", "visible", "confidence", "size", "fps", "start"]
        )
        assert file["size"].tolist() == [10, 20]


def test_an_unknown_frame_rate_stays_unknown(tmp_path: Path) -> None:
    tracks = Tracks(**arrays(some_tracks()), size=(10, 20))
    tracks.save(tmp_path / "a.npz")
    assert Tracks.load(tmp_path / "a.npz").fps is None


def test_csv_holds_one_line_per_frame_and_point_and_gives_the_same_numbers_back(
    tmp_path: Path,
) -> None:
    tracks = some_tracks(start=7)
    tracks.save(tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "frame,point,x,y,visible,confidence"
    assert len(lines) == 1 + 3 * 4
    frame, point, x, y, visible, _ = lines[2].split(",")  # second point of the first frame
    assert (frame, point, visible) == ("7", "1", str(int(tracks.visible[1, 0])))
    assert (np.float32(x), np.float32(y)) == tuple(tracks.xy[1, 0])
    back = Tracks.load(tmp_path / "a.csv", size=(10, 20))
    assert_same_arrays(tracks, back)
    assert (back.size, back.start, back.fps) == ((10, 20), 7, None)


def test_a_csv_without_points_is_read_as_no_points(tmp_path: Path) -> None:
    some_tracks(n=0).save(tmp_path / "a.csv")
    assert Tracks.load(tmp_path / "a.csv", size=(10, 20)).xy.shape == (0, 0, 2)


def test_a_csv_that_a_spreadsheet_saved_comes_back(tmp_path: Path) -> None:
    some_tracks().save(tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "b.csv").write_text(text.replace("\n", "\r\n"), "utf-8-sig", newline="")
    assert_same_arrays(Tracks.load(tmp_path / "b.csv", (10, 20)), some_tracks())


def test_the_video_that_was_tracked_is_not_painted_over(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    video.write(path, np.zeros((4, 10, 20, 3), np.uint8), 25)
    before = path.read_bytes()
    tracks = tapnet.load("still").track(path, "grid:2", stop=2)
    (tmp_path / "link.mp4").symlink_to(path)
    for source in (path, tmp_path / "link.mp4", video.open(path)):
        with pytest.raises(ValueError, match=r"a\.mp4: is the video itself; give another name"):
            tracks.draw(source, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere.npz", "nowhere.pkl"])
def test_a_missing_file_is_named(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"{name}: no such file"):
        Tracks.load(name, size=(10, 20))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,point,x,y,visible,confidence\n0,0,1,2,1,1\n", r"give size=\(height, width\)"),
        ("time,x,y\n0,1,2\n", "expected the columns frame,point,x,y"),
        ("frame,point,x,y,visible,confidence\n0,0,1,two,1,1\n", "not a table of numbers"),
        ("frame,point,x,y,visible,confidence\n0,0,1,2,1,1\n1,1,1,2,1,1\n", "one line for every"),
        ("frame,point,x,y,visible,confidence\n0,0,1,2,1,1\n2,0,1,2,1,1\n", "one line for every"),
    ],
)
def test_a_csv_that_is_not_ours_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    size = None if "size" in message else (10, 20)
    with pytest.raises(ValueError, match=message):
        Tracks.load(tmp_path / "a.csv", size)


def test_a_pickle_has_the_layout_of_tap_vid_and_comes_back(tmp_path: Path) -> None:
    tracks = some_tracks(start=2)
    video = np.random.default_rng(1).integers(0, 256, (6, 10, 20, 3), dtype=np.uint8)
    tracks.save(tmp_path / "cat.pkl", video)
    content = pickle.loads((tmp_path / "cat.pkl").read_bytes())  # written just above
    assert list(content) == ["cat"]
    np.testing.assert_array_equal(content["cat"]["video"], video[2:6])
    np.testing.assert_allclose(content["cat"]["points"] * [20, 10], tracks.xy, rtol=1e-6)
    np.testing.assert_array_equal(content["cat"]["occluded"], ~tracks.visible)
    back = Tracks.load(tmp_path / "cat.pkl")
    np.testing.assert_allclose(back.xy, tracks.xy, rtol=1e-6)
    np.testing.assert_array_equal(back.visible, tracks.visible)
    assert (back.size, back.start) == ((10, 20), 0)


def test_a_pickle_wants_the_video_that_was_tracked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give the video"):
        some_tracks().save(tmp_path / "a.pkl")
    for shape in [(4, 11, 20, 3), (3, 10, 20, 3)]:
        with pytest.raises(ValueError, match="give the video that was tracked"):
            some_tracks().save(tmp_path / "a.pkl", np.zeros(shape, np.uint8))
    assert not list(tmp_path.iterdir())


class TooMuch(Video):
    """4.1 GiB of frames, none of which can be had."""

    size, fps, times = (1000, 1000), 25.0, np.arange(1467)

    def _decode(self, start: int, stop: int) -> Iterator[np.ndarray]:
        raise AssertionError("decoded")


def test_a_video_too_large_for_a_pickle_is_not_decoded_first(tmp_path: Path) -> None:
    tracks = Tracks(**arrays(some_tracks(1, 1467)), size=(1000, 1000))
    with pytest.raises(ValueError, match=r"a\.pkl: expected .* less than 4 GiB .* have 4\.1 GiB"):
        tracks.save(tmp_path / "a.pkl", TooMuch())
    with pytest.raises(AssertionError, match="decoded"):  # of a part there is room
        replace(tracks, **arrays(some_tracks(1, 9))).save(tmp_path / "a.pkl", TooMuch())


class Exploit:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch owned",)


def test_a_hostile_file_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.pkl").write_bytes(pickle.dumps(Exploit()))
    np.savez(tmp_path / "a.npz", xy=np.array([Exploit()], dtype=object))
    for name in ("a.pkl", "a.npz"):
        with pytest.raises(ValueError, match=name):
            Tracks.load(name)
    assert not Path("owned").exists()


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut short"])
def test_a_damaged_npz_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: not a tapnet tracks file"):
        Tracks.load(tmp_path / "a.npz")


def test_a_damaged_byte_in_an_npz_gives_other_tracks_or_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    some_tracks().save(path)
    told = told_of_damage(path, Tracks.load, every=7)
    assert told
    assert all(line.startswith(f"{path}: not a tapnet tracks file: ") for line in told)


def some_stored(**changes: Any) -> dict[str, Any]:
    return {**arrays(some_tracks()), "size": (10, 20), "fps": 12.5, "start": 0} | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 10}, r"size: expected \[2\], got \[\]"),
        ({"size": (10, 20, 3)}, r"size: expected \[2\], got \[3\]"),
        ({"size": (10, np.inf)}, "infinity"),
        ({"size": ("10", "20")}, "size: expected real numbers, got <U2"),
        ({"fps": (12.5, 25.0)}, r"fps: expected \[\], got \[2\]"),
        ({"fps": 12.5j}, "fps: expected real numbers, got complex128"),
        ({"start": (0, 1)}, r"start: expected \[\], got \[2\]"),
        ({"start": np.nan}, "NaN"),
        ({"visible": np.ones((3, 4), np.int64)}, "visible: expected bool, got int64"),
        ({"visible": np.full((3, 4), "yes")}, "visible: expected bool, got <U3"),
        ({"xy": np.ones((3, 4, 2), complex)}, "xy: expected real numbers, got complex128"),
        ({"xy": np.full((3, 4, 2), "1")}, "xy: expected real numbers, got <U1"),
        ({"xy": np.ones((3, 5, 2))}, r"visible: expected \[N T\] with N=3, T=5, got \[3, 4\]"),
        ({"query_points": np.ones((3, 3), bool)}, "query_points: expected real numbers, got bool"),
        ({"confidence": np.ones((3, 4), int)}, "confidence: expected floating point, got int64"),
    ],
)
def test_an_npz_with_arrays_of_another_kind_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "a.npz", **some_stored(**changes))
    with pytest.raises(ValueError, match=rf"a\.npz: not a tapnet tracks file: .*{message}"):
        Tracks.load(tmp_path / "a.npz")


def test_whole_numbers_in_an_npz_come_back_as_floating_point(tmp_path: Path) -> None:
    whole = np.arange(24, dtype=np.uint8).reshape(3, 4, 2)
    np.savez(tmp_path / "a.npz", **some_stored(xy=whole))
    back = Tracks.load(tmp_path / "a.npz")
    assert back.xy.dtype == np.float32
    np.testing.assert_array_equal(back.xy, whole)


def test_a_npy_renamed_is_no_tracks_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"a\.npz: not a tapnet tracks file: expected an \.npz"):
        Tracks.load(tmp_path / "a.npz")


def test_an_npz_of_something_else_is_told_what_it_lacks(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", xy=np.zeros(3), other=np.zeros(3))
    with pytest.raises(ValueError, match=r"it lacks query_points, .*; it has xy, other"):
        Tracks.load(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.txt", "a", "a.mp4"])
def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"\.npz, \.csv or \.pkl"):
        some_tracks().save(tmp_path / name)
    with pytest.raises(ValueError, match=r"\.npz, \.csv or \.pkl"):
        Tracks.load(tmp_path / name)


def test_names_as_long_as_the_file_system_lets_them_be(tmp_path: Path) -> None:
    path = tmp_path / f"{'n' * 251}.npz"
    some_tracks().save(path)
    assert (Tracks.load(path).xy == some_tracks().xy).all()


@pytest.mark.parametrize("fps", [4000.0, 1e-4])
def test_a_rate_that_cannot_be_written_is_painted_at_the_nearest(
    tmp_path: Path, fps: float
) -> None:
    video = np.zeros((4, 10, 20, 3), np.uint8)
    some_tracks().draw(open_video(video, fps), tmp_path / "painted.mp4")
    assert len(open_video(tmp_path / "painted.mp4")) == 4


@pytest.mark.parametrize("name", ["a.npz", "a.csv", "a.pkl"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    video = np.zeros((4, 10, 20, 3), np.uint8)
    some_tracks().save(tmp_path / name, video)
    before = (tmp_path / name).read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_write_npz", full)
    monkeypatch.setattr(export, "_write_csv", full)
    monkeypatch.setattr(pickle, "Pickler", full)
    with pytest.raises(OSError, match="No space left"):
        some_tracks(n=5).save(tmp_path / name, video)
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    good = arrays(some_tracks())
    with pytest.raises(ValueError, match="visible: expected"):
        Tracks(**good | {"visible": good["visible"][:, :-1]}, size=(10, 20))
