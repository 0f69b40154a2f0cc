"""TAP-Vid pickles: all layouts give the same examples, damage is named, nothing decoded early."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vectors
from PIL import Image

from tapnet import data, geometry, video
from tapnet.data import tapvid
from tapnet.structs import Example

T, H, W = 7, 6, 10


def a_clip(seed: int = 0, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    clip = {
        "video": rng.integers(0, 255, (T, H, W, 3), np.uint8),
        "points": rng.uniform(0, 1, (3, T, 2)).astype(np.float32),
        "occluded": rng.uniform(size=(3, T)) < 0.4,
    }
    clip["occluded"][0] = True  # never visible
    clip["occluded"][1] = [True, True, False, True, True, False, True]
    clip["occluded"][2] = False
    return clip | changes


def put(path: Path, content: Any) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_every_layout_gives_the_same_examples(tmp_path: Path) -> None:
    clips = [a_clip(0), a_clip(1)]
    encoded = [clip | {"video": [png(frame) for frame in clip["video"]]} for clip in clips]
    as_array = [clip | {"video": np.array(clip["video"], object)} for clip in encoded]
    folder = tmp_path / "shards"
    folder.mkdir()
    for i in range(2):
        put(folder / f"000{i}_of_0002.pkl", [encoded[i]])
    paths = [
        put(tmp_path / "davis.pkl", dict(zip("ab", clips, strict=True))),
        put(tmp_path / "stacking.pkl", clips),
        put(tmp_path / "kinetics.pkl", encoded),
        put(tmp_path / "arrays.pkl", as_array),
        folder,
    ]
    for path in paths:
        found = list(tapvid.examples(path))
        for example, clip in zip(found, clips, strict=True):
            np.testing.assert_array_equal(example.video, clip["video"], err_msg=str(path))
            expected = clip["points"][1:] * np.array([W, H], np.float64)
            np.testing.assert_array_equal(example.target_points, expected)
            np.testing.assert_array_equal(example.occluded, clip["occluded"][1:])
            np.testing.assert_array_equal(example.query_points[:, 0], [2, 0])
            np.testing.assert_array_equal(example.query_points[0, :0:-1], expected[0, 2])
    assert [clip.name for clip in data.DATASETS["tapvid"](paths[0])] == ["a", "b"]
    assert [clip.name for clip in tapvid.read(paths[1])] == ["stacking-0000", "stacking-0001"]
    shards = [clip.name for clip in tapvid.read(folder)]
    assert shards == ["0000_of_0002-0000", "0001_of_0002-0000"]


def test_byte_strings_as_numpy_pads_them_are_frames(tmp_path: Path) -> None:
    """The official tool stores np.array([jpeg, jpeg, ...]): strings of one length."""
    rng = np.random.default_rng(2)
    frames = rng.integers(0, 255, (T, 40, 50, 3), np.uint8)
    clip = a_clip(video=np.array([png(frame) for frame in frames]))
    assert clip["video"].dtype.kind == "S"
    (found,) = tapvid.read(put(tmp_path / "0000_of_0001.pkl", [clip]))
    np.testing.assert_array_equal(found.video(), frames)


def test_reading_takes_the_memory_of_one_clip_whatever_the_size_of_the_file(
    tmp_path: Path,
) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (T, 100, 200, 3), np.uint8)
    clip = a_clip(video=frames)
    path = put(tmp_path / "a.pkl", [a_clip(video=frames.copy()) for _ in range(30)])
    list(tapvid.read(path))  # imports are not counted
    tracemalloc.start()
    for found in tapvid.read(path):
        np.testing.assert_array_equal(found.video()[-1], clip["video"][-1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frames.nbytes < peak < 3 * frames.nbytes < path.stat().st_size / 5


def test_strided_asks_again_and_says_of_which_track(tmp_path: Path) -> None:
    (example,) = tapvid.examples(put(tmp_path / "a.pkl", [a_clip()]), "strided")
    np.testing.assert_array_equal(example.query_points[:, 0], [0, 5, 5])
    np.testing.assert_array_equal(example.trackgroup, [2, 1, 2])
    (every,) = tapvid.examples(tmp_path / "a.pkl", "strided", stride=1)
    assert len(every.query_points) == T + 2


def test_a_query_needs_a_label(tmp_path: Path) -> None:
    annotated = np.ones((3, T), bool)
    annotated[1, 2] = annotated[2, :3] = False
    points = a_clip()["points"]
    points[~annotated] = np.nan  # nothing is known there
    extra = {"annotated": annotated, "points": points, "object_area": np.full(T, 9), "license": "?"}
    path = put(tmp_path / "a.pkl", {"a": a_clip(has_occlusion_labels=False, **extra)})
    (clip,) = tapvid.read(path)
    assert not clip.has_occlusion_labels
    np.testing.assert_array_equal(clip.object_area, np.full(T, 9))
    example = clip.example()
    np.testing.assert_array_equal(example.query_points[:, 0], [5, 3])
    np.testing.assert_array_equal(example.annotated, annotated[1:])
    assert len(clip.example("strided").query_points) == 2  # both on frame 5


def test_missing_shards_are_told_and_the_rest_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i in (0, 3):
        put(tmp_path / f"000{i}_of_0004.pkl", [a_clip()])
    put(tmp_path / ".0001_of_0004-1a2b.pkl", "left by a writer that was killed")
    dataset = data.open_dataset(tmp_path)
    assert len(list(dataset)) == len(dataset.files()) == 2
    assert f"{tmp_path}: 2 of 4 shards are missing" in caplog.text


def test_a_frame_is_decoded_only_when_its_video_is_asked_for(tmp_path: Path) -> None:
    good = a_clip(video=[png(frame) for frame in a_clip()["video"]])
    bad = good | {"video": [*good["video"][:3], good["video"][3][:40], *good["video"][4:]]}
    path = put(tmp_path / "a.pkl", {"good": good, "bad": bad})
    clips = list(tapvid.read(path))
    assert [len(clip) for clip in clips] == [T, T]
    found = tapvid.examples(path)
    assert next(found).name == "good"
    with pytest.raises(ValueError, match=r"a\.pkl, clip 'bad', frame 3: expected a JPEG or PNG"):
        next(found)


def test_written_examples_come_back(tmp_path: Path) -> None:
    path = put(tmp_path / "a.pkl", {"a": a_clip(annotated=np.ones((3, T), bool)), "b": a_clip(1)})
    for mode in ("first", "strided"):
        tapvid.write(tmp_path / "again.pkl", tapvid.examples(path, mode))
        pairs = zip(
            tapvid.examples(path, mode), tapvid.examples(tmp_path / "again.pkl", mode), strict=True
        )
        for before, after in pairs:
            assert before.name == after.name
            np.testing.assert_array_equal(before.video, after.video)
            np.testing.assert_allclose(before.query_points, after.query_points, rtol=1e-14)
            np.testing.assert_allclose(before.target_points, after.target_points, rtol=1e-14)
            np.testing.assert_array_equal(before.occluded, after.occluded)
            assert (before.annotated is None) == (after.annotated is None)


def test_writing_holds_one_video_in_memory(tmp_path: Path) -> None:
    alive: list[weakref.ref] = []

    def examples() -> Iterator[Example]:
        for name in "abc":
            assert not any(earlier() is not None for earlier in alive), "an earlier one is held"
            video = np.zeros((T, H, W, 3), np.uint8)
            alive.append(weakref.ref(video))
            points, occluded = np.ones((2, T, 2), np.float32), np.zeros((2, T), bool)
            example = Example(name, video, np.zeros((2, 3), np.float32), points, occluded)
            del video
            yield example
            del example

    tapvid.write(tmp_path / "a.pkl", examples())
    with open(tmp_path / "a.pkl", "rb") as file:
        clips = pickle.load(file)
    assert type(clips) is dict
    assert list(clips) == ["a", "b", "c"]
    assert all(clip["video"].shape == (T, H, W, 3) for clip in clips.values())


def test_a_failed_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = put(tmp_path / "a.pkl", {"a": a_clip()})
    before = path.read_bytes()
    twice: list[Example] = list(tapvid.examples(path)) * 2
    with pytest.raises(ValueError, match="different names, got 'a'"):
        tapvid.write(path, twice)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.pkl"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, "expected a dict {name: clip} or a list of clips.*got int"),
        ({"video": np.zeros((T, H, W, 3), np.uint8)}, "clip 'video'.*got ndarray"),
        ([{"video": [], "points": 1}], r"clip 'a-0000'.*got \['video', 'points'\]"),
        ([a_clip(video=np.zeros((T, H, W)))], r"video: expected uint8 \[T, H, W, 3\].*got ndarray"),
        ([a_clip(video=np.zeros((T, H, W), np.uint8))], r"got uint8 \[7, 6, 10\]"),
        ([a_clip(video=[])], "video: expected"),
        ([a_clip(video=np.array([[b"x" * 5000]]))], r"video: expected .*got \|S5000 \[1, 1\]"),
        ([a_clip(points=np.zeros((3, T - 1, 2)))], r"points: expected \[N 7 2\], got \[3, 6, 2\]"),
        ([a_clip(points=np.full((3, T, 2), 40.0))], "shares of .*up to 40; divide pixels"),
        ([a_clip(occluded=np.zeros((2, T), bool))], r"occluded: expected \[3 7\], got \[2, 7\]"),
        ([a_clip(object_area=np.zeros(3))], r"object_area: expected \[7\], got \[3\]"),
        ([a_clip(object_area=np.array(["a"] * T))], "object_area: expected numbers, got <U1"),
        ([a_clip(occluded=np.full((3, T), "a"))], "occluded: expected numbers, got <U1"),
        ([a_clip(video=np.zeros((T, 0, W, 3), np.uint8))], r"video: expected .*uint8 \[7, 0, 10"),
        (
            [
                {
                    k: v[..., :0, :] if k == "points" else v[:, :0] if k == "occluded" else v[:0]
                    for k, v in a_clip().items()
                }
            ],
            "expected one frame or more, got none",
        ),
    ],
)
def test_what_is_no_tapvid_clip_is_refused_by_name(
    tmp_path: Path, content: Any, message: str
) -> None:
    path = put(tmp_path / "a.pkl", content)
    with pytest.raises(ValueError, match=f"a.pkl.*{message}"):
        list(tapvid.read(path))


def test_labels_in_arrays_of_objects_are_read(tmp_path: Path) -> None:
    plain = a_clip(object_area=np.arange(7.0))
    boxed = plain | {k: plain[k].astype(object) for k in ("points", "occluded", "object_area")}
    one, other = (next(tapvid.read(put(tmp_path / "a.pkl", [c]))) for c in (plain, boxed))
    for name in ("points", "occluded", "object_area"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert other.occluded.dtype == bool


def test_a_name_that_no_file_can_hold_is_spelt_out(tmp_path: Path) -> None:
    (clip,) = tapvid.read(put(tmp_path / "a.pkl", {"a\ud800": a_clip()}))
    assert clip.name == "a\\ud800"


def test_files_that_are_cut_foreign_or_absent_are_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.pkl", [a_clip()])
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"a\.pkl: not a readable pickle"):
        list(tapvid.read(path))
    put(path, Path)
    with pytest.raises(ValueError, match=r"a\.pkl.*only numpy arrays"):
        list(tapvid.read(path))
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        list(tapvid.read(tmp_path / "b.pkl"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected a folder of \.pkl files"):
        list(tapvid.read(tmp_path / "empty"))
    put(path, {"a": a_clip()})
    put(tmp_path / "b.pkl", {"a": a_clip()})
    with pytest.raises(ValueError, match=r"b\.pkl: expected clips of different names, got 'a'"):
        list(tapvid.read(tmp_path))


# --------------------------------------------------------------------------- the reference


def layouts(arrays: dict[str, np.ndarray]) -> dict[str, list[dict[str, Any]]]:
    """The clips of the vectors as each subset of TAP-Vid stores them."""
    numbers = range(sum(name.endswith("|points") and name[:2] == "in" for name in arrays))
    labels = [{k: arrays[f"in{i}|{k}"] for k in ("points", "occluded")} for i in numbers]
    frames = [
        [arrays[f"in{i}|jpeg{t}"].tobytes() for t in range(label["points"].shape[1])]
        for i, label in enumerate(labels)
    ]
    found = {"kinetics": [a | {"video": b} for a, b in zip(labels, frames, strict=True)]}
    if "in0|video" in arrays:
        raw = [label | {"video": arrays[f"in{i}|video"]} for i, label in enumerate(labels)]
        found |= {"davis": raw, "robotics": raw}
    return found


@pytest.mark.parametrize(
    "path", [*vectors.all_of("tapvid_kinetics.npz")[:1], *vectors.all_of("tapvid_datasets*.npz")]
)
def test_examples_equal_those_of_the_reference_reader(path: Path, tmp_path: Path) -> None:
    config, arrays = vectors.read(path)
    size: tuple[int, int] = tuple(config["resolution"])
    for layout, clips in layouts(arrays).items():
        content = {f"v{i}": c for i, c in enumerate(clips)} if layout == "davis" else clips
        file = put(tmp_path / f"{layout}.pkl", content)
        for mode in ("first", "strided"):
            for i, example in enumerate(tapvid.examples(file, mode)):
                resized = video.resize_tapvid(example.video, size)
                true = arrays[f"{layout}|{i}|video"]
                if true.dtype != np.uint8:
                    true = np.round((true + 1) * 127.5)[0]
                np.testing.assert_array_equal(resized, true.reshape(resized.shape))
                for name in ("query_points", "target_points"):
                    points = geometry.rescale(getattr(example, name), example.size, size)
                    expected = arrays[f"{layout}|{mode}|{i}|{name}"][0]
                    np.testing.assert_allclose(points, expected, atol=1e-9, err_msg=name)
                expected = arrays[f"{layout}|{mode}|{i}|occluded"][0]
                np.testing.assert_array_equal(example.occluded, expected)
                if mode == "strided":
                    expected = arrays[f"{layout}|{mode}|{i}|trackgroup"][0]
                    np.testing.assert_array_equal(example.trackgroup, expected)
