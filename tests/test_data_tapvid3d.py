"""TAPVid-3D: tracks in space, their projections, and predictions judged from files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
import vectors
from PIL import Image
from test_metrics3d import cases

from tapnet import metrics3d
from tapnet.data import open_dataset, tapvid3d

T, N, H, W = 5, 3, 24, 40


def arrays(**changes: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {
        "queries_xyt": np.array([[3.0, 4, 0], [20, 10, 2], [39, 23, 4]]),
        "tracks_XYZ": rng.uniform(1, 2, (T, N, 3)).astype(np.float32),
        "visibility": rng.uniform(size=(T, N)) < 0.7,
        "fx_fy_cx_cy": np.array([30.0, 32, 20, 12]),
    }
    return found | changes


FRAMES = np.random.default_rng(1).integers(0, 256, (T, H, W, 3), np.uint8)


def test_tracks_are_read_in_space_and_in_the_image(tmp_path: Path) -> None:
    stored = arrays()
    layouts.space(tmp_path / "drivetrack" / "a_0.npz", FRAMES, **stored)
    layouts.space(tmp_path / "adt" / "b.npz", FRAMES, **arrays(extrinsics_w2c=np.ones((T, 4, 4))))
    dataset = open_dataset(tmp_path)
    assert dataset.kind == "tapvid3d"
    assert [file.name for file in dataset.files()] == ["b.npz", "a_0.npz"]
    with_cameras, clip = dataset
    assert [with_cameras.name, clip.name] == ["adt/b", "drivetrack/a_0"]
    assert isinstance(clip, tapvid3d.SpaceClip)
    assert isinstance(with_cameras, tapvid3d.SpaceClip)
    assert with_cameras.extrinsics is not None
    assert clip.extrinsics is None
    assert clip.size == clip.video().shape[1:3] == (H, W)
    np.testing.assert_array_equal(clip.tracks_xyz, stored["tracks_XYZ"].swapaxes(0, 1))
    np.testing.assert_array_equal(clip.occluded, ~stored["visibility"].T)
    x, y, z = stored["tracks_XYZ"][2, 1].astype(float)
    np.testing.assert_allclose(clip.points[1, 2] * [W, H], [30 * x / z + 20, 32 * y / z + 12])


@pytest.mark.parametrize("mode", ["first", "strided"])
def test_the_set_says_itself_what_it_asks(mode: Any, tmp_path: Path) -> None:
    layouts.space(tmp_path / "a.npz", FRAMES, **arrays())
    (clip,) = open_dataset(tmp_path / "a.npz")
    asked = clip.queries((2 * H, W), mode)
    np.testing.assert_allclose(asked.query_points, [[0, 8, 3], [2, 20, 20], [4, 46, 39]])
    np.testing.assert_array_equal(asked.trackgroup, [0, 1, 2])


def test_frames_as_padded_byte_strings_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    images = np.array([layouts.jpeg(frame) for frame in FRAMES])
    assert images.dtype.kind == "S"
    np.savez(path, images_jpeg_bytes=images, **arrays())
    (clip,) = open_dataset(path)
    first = np.asarray(Image.open(io.BytesIO(layouts.jpeg(FRAMES[0]))))
    np.testing.assert_array_equal(clip.video()[0], first)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tracks_XYZ": np.zeros((T, N + 1, 3))}, "visibility: expected"),
        ({"tracks_XYZ": np.zeros((T - 1, N, 3))}, r"tracks_XYZ: expected \[T N 3\] with T=5"),
        ({"queries_xyt": np.zeros((N, 2))}, r"queries_xyt: expected \[N 3\]"),
        ({"fx_fy_cx_cy": np.zeros(3)}, r"fx_fy_cx_cy: expected \[4\]"),
        ({"images_jpeg_bytes": FRAMES}, r"images_jpeg_bytes: expected \[T\] encoded frames"),
    ],
)
def test_arrays_of_other_shapes_are_named(
    changes: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    images = np.array([layouts.jpeg(frame) for frame in FRAMES], dtype=object)
    np.savez(path, **{"images_jpeg_bytes": images, **arrays(), **changes})
    with pytest.raises(ValueError, match=rf"a\.npz: {message}.*tapvid3d\.github\.io"):
        list(open_dataset(path))


def test_a_file_that_is_cut_short_or_lacks_something_is_named(tmp_path: Path) -> None:
    path = layouts.space(tmp_path / "a.npz", FRAMES, **arrays())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a\.npz: expected an \.npz file"):
        list(open_dataset(path, "tapvid3d"))
    np.savez(path, **arrays())
    with pytest.raises(ValueError, match=r"a\.npz: expected .*, got no images_jpeg_bytes"):
        list(open_dataset(path, "tapvid3d"))


@pytest.mark.parametrize("path", vectors.all_of("tapvid3d*.npz"))
def test_scores_of_files_equal_the_reference(path: Path, tmp_path: Path) -> None:
    """Truth and prediction written as files, read back, judged: the intrinsics are of 256 px."""
    _, given = vectors.read(path)
    layouts.space_of(tmp_path / "set" / "a.npz", given)
    said = tmp_path / "said.npz"
    visible = ~given["pred_occluded"].T
    np.savez(said, tracks_XYZ=given["pred_tracks"].swapaxes(0, 1), visibility=visible)
    (clip,) = open_dataset(tmp_path / "set")
    assert isinstance(clip, tapvid3d.SpaceClip)
    tracks, occluded = tapvid3d.read_prediction(said, clip)
    for case in cases(given):
        scaling, over, threshold = case.split("|")
        found = metrics3d.tapvid3d(
            clip.occluded,
            clip.tracks_xyz,
            occluded,
            tracks,
            metrics3d.scaled_intrinsics(clip.intrinsics, clip.size),
            scaling=scaling,  # type: ignore[arg-type]
            query_points=clip.queries((256, 300)).query_points,
            fixed=threshold == "fixed",
            trackwise=over == "trackwise",
        )
        for name, value in found.items():
            expected = np.squeeze(given[f"{case}|{name}"])
            np.testing.assert_allclose(value, expected, atol=1e-6, err_msg=f"{case} {name}")
    np.savez(said, tracks_XYZ=np.zeros((len(clip), 2, 3)), visibility=np.zeros((len(clip), 2)))
    with pytest.raises(ValueError, match=r"said\.npz, transposed: tracks_XYZ: expected"):
        tapvid3d.read_prediction(said, clip)
