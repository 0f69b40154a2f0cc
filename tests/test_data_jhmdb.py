"""JHMDB: joints are asked for on frame 0, in the pixels of the video that is asked about."""

from __future__ import annotations

from pathlib import Path

import layouts
import numpy as np
import pytest
import vectors

from tapnet import metrics
from tapnet.data import jhmdb, open_dataset

T, H, W = 4, 24, 32


def a_video(seed: int = 0, length: int = T) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (length, H, W, 3), np.uint8)
    return frames, rng.uniform(1, 23, (15, T, 2))


def test_test_videos_are_read_with_their_frames_and_joints(tmp_path: Path) -> None:
    videos = {"wave/a_b.x": a_video(0), "wave/c": a_video(1), "brush_hair/d": a_video(2)}
    folder = layouts.jhmdb(tmp_path / "JHMDB", videos)
    (folder / "Rename_Images" / "wave" / "c" / ".AppleDouble").mkdir()  # as in the archive
    dataset = open_dataset(folder)
    assert (dataset.kind, dataset.name) == ("jhmdb", "jhmdb")
    clips = {clip.name: clip for clip in dataset}
    assert list(clips) == ["brush_hair/d", "wave/a_b.x", "wave/c"]
    for name, (frames, joints) in videos.items():
        np.testing.assert_array_equal(clips[name].video(), frames)
        np.testing.assert_allclose(clips[name].points * [W, H], joints, rtol=1e-12)
        assert not clips[name].has_occlusion_labels
    names = {path.name for path in dataset.files()}
    assert names == {
        *("wave_test_split1.txt", "brush_hair_test_split1.txt", "joint_positions.mat"),
        *(f"0000{t}.png" for t in range(1, T + 1)),
    }


def test_another_set_in_its_layout_is_not_called_jhmdb(tmp_path: Path) -> None:
    folder = layouts.jhmdb(tmp_path / "drawn-people", {"wave/a": a_video(0)})
    assert open_dataset(folder).name == "drawn-people"


def test_queries_are_in_the_pixels_of_the_video_asked_about(tmp_path: Path) -> None:
    """The reference took them before it rescaled them, in pixels of the original video."""
    _, joints = a_video()
    (clip,) = open_dataset(layouts.jhmdb(tmp_path, {"wave/a": a_video()}))
    for height, width in ((256, 256), (H, W)):
        asked = clip.queries((height, width))
        expected = joints[:, 0] * [width / W, height / H]
        np.testing.assert_allclose(asked.query_points[:, :0:-1], expected, rtol=1e-12)
        np.testing.assert_array_equal(asked.query_points[:, 0], 0)
        np.testing.assert_array_equal(asked.trackgroup, np.arange(15))


def test_a_joint_counts_if_it_starts_in_the_image(tmp_path: Path) -> None:
    frames, joints = a_video()
    joints[3, 0] = [W, 5]  # just outside
    joints[4, 0] = [-0.1, 5]
    joints[5, 2:] = [W + 9, -4]  # leaves later
    (clip,) = open_dataset(layouts.jhmdb(tmp_path, {"wave/a": (frames, joints)}))
    counted = np.delete(np.arange(15), [3, 4])
    np.testing.assert_array_equal(clip.queries((H, W)).trackgroup, counted)
    box = np.ptp(joints[counted], axis=0)
    assert clip.person_scale is not None
    np.testing.assert_allclose(clip.person_scale, 0.6 * np.hypot(box[:, 0], box[:, 1]))


def test_frames_after_the_last_label_are_left_out_but_missing_ones_are_an_error(
    tmp_path: Path,
) -> None:
    frames, joints = a_video(length=T + 3)
    (clip,) = open_dataset(layouts.jhmdb(tmp_path, {"wave/a": (frames, joints)}))
    np.testing.assert_array_equal(clip.video(), frames[:T])
    for t in (2, 3, 4, 5):
        (tmp_path / "Rename_Images" / "wave" / "a" / f"0000{t}.png").unlink()
    with pytest.raises(ValueError, match=r"wave.a: expected 4 frames or more.*got 3;.*tue\.mpg"):
        list(open_dataset(tmp_path))


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    layouts.jhmdb(tmp_path, {"wave/a": a_video(0), "wave/b": a_video(1)})
    labels = tmp_path / "joint_positions" / "wave" / "a" / "joint_positions.mat"
    whole = labels.read_bytes()
    for content in (b"", whole[:200], whole[:1000], b"a" * 300):
        labels.write_bytes(content)
        with pytest.raises(ValueError, match=r"joint_positions\.mat: .*(MATLAB|pos_img)"):
            list(open_dataset(tmp_path))
    labels.unlink()
    with pytest.raises(FileNotFoundError, match=r"joint_positions\.mat.*the test video wave/a"):
        list(open_dataset(tmp_path))
    labels.write_bytes(whole)
    split = tmp_path / "splits" / "wave_test_split1.txt"
    split.write_text("a.avi 2\nb.avi\n")
    with pytest.raises(ValueError, match=r"split1\.txt, line 2: expected 'VIDEO.avi 1'"):
        jhmdb.videos(tmp_path)
    split.write_text("a.avi 1\n")
    with pytest.raises(ValueError, match="expected test videos"):
        jhmdb.videos(tmp_path)
    split.unlink()
    with pytest.raises(FileNotFoundError, match=r"splits: expected files ACTION_test_split1\.txt"):
        list(open_dataset(tmp_path))


@pytest.mark.parametrize("path", vectors.all_of("jhmdb_pck*.npz"))
def test_pck_of_what_the_reader_gives_equals_the_reference(path: Path, tmp_path: Path) -> None:
    config, arrays = vectors.read(path)
    numbers = range(config["videos"])
    layouts.jhmdb(
        tmp_path,
        {
            f"wave/{i}": (
                np.zeros((arrays[f"v{i}|pred_pose"].shape[1], *arrays[f"v{i}|im_size"], 3), "u1"),
                arrays[f"v{i}|gt_pose_orig"],
            )
            for i in numbers
        },
    )
    clips = list(open_dataset(tmp_path))
    sizes = [clip.video().shape[1:3] for clip in clips]
    found = metrics.pck(
        (arrays[f"v{i}|pred_pose"], clips[i].points * [sizes[i][1], sizes[i][0]], sizes[i])
        for i in numbers
    )
    expected = {name[7:]: float(a) for name, a in arrays.items() if name.startswith("result|")}
    assert found == pytest.approx(expected, abs=1e-6)
