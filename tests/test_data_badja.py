"""BADJA: twenty joints of an animal on some frames, scored relative to its mask."""

from __future__ import annotations

import json
from pathlib import Path

import layouts
import numpy as np
import pytest

from tapnet import metrics
from tapnet.data import badja, open_dataset

T, H, W = 6, 30, 40


def labels(seed: int) -> tuple[list, list]:
    rng = np.random.default_rng(seed)
    joints = np.stack([rng.integers(0, H, 37), rng.integers(0, W, 37)], axis=-1)  # row, column
    visibility = np.zeros(37, bool)
    visibility[list(badja.JOINTS)] = True
    visibility[8 + seed % 2] = False
    return joints.tolist(), visibility.tolist()


LABELLED = {1: labels(0), 4: labels(1)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).integers(0, 256, (T, H, W, 3), np.uint8)
    return layouts.badja(tmp_path, "camel", frames, LABELLED)


def test_joints_lie_at_the_centre_of_their_pixel_on_the_frames_that_are_labelled(
    folder: Path,
) -> None:
    dataset = open_dataset(folder)
    (clip,) = dataset
    assert (dataset.kind, dataset.name, clip.name) == ("badja", "badja", "camel")
    assert clip.video().shape == (T, H, W, 3)
    assert clip.annotated is not None
    np.testing.assert_array_equal(np.flatnonzero(clip.annotated[0]), [1, 4])
    for t, (joints, visibility) in LABELLED.items():
        chosen = np.array(joints)[list(badja.JOINTS)]
        np.testing.assert_allclose(clip.points[:, t] * [W, H], chosen[:, ::-1] + 0.5)
        np.testing.assert_array_equal(
            clip.occluded[:, t], ~np.array(visibility)[list(badja.JOINTS)]
        )
    asked = clip.queries((H, W))
    assert asked.query_points[0].tolist()[0] == 4  # joint 8 is hidden on frame 1
    assert asked.query_points[1].tolist()[0] == 1
    assert [file.suffix for file in dataset.files()] == [".json", *[".jpg"] * T, ".png", ".png"]


def test_errors_are_relative_to_the_root_of_the_area_of_the_mask(folder: Path) -> None:
    (clip,) = open_dataset(folder)
    assert clip.object_area is not None
    np.testing.assert_array_equal(clip.object_area, [np.nan, 2, np.nan, np.nan, 5, np.nan])
    asked = clip.queries((H, W))
    for error, expected in ((0.43, 1.0), (0.46, 0.0)):  # 0.2 * sqrt(5) = 0.447
        found = metrics.within_object(
            asked.query_points,
            asked.occluded,
            asked.target_points,
            np.add(asked.target_points, (error, 0)),
            clip.object_area,
            "first",
            annotated=asked.annotated,
        )
        assert found == expected


def test_a_mask_of_another_size_is_of_the_same_animal(folder: Path) -> None:
    row = json.loads((folder / "joint_annotations" / "camel.json").read_text())[0]
    mask = np.zeros((2 * H, 2 * W, 3), np.uint8)
    mask[:6, :4, 1] = 9
    layouts.png(folder / row["segmentation_path"], mask)
    (clip,) = open_dataset(folder)
    assert clip.object_area is not None
    assert clip.object_area[1] == pytest.approx(6)


def test_animals_whose_frames_are_not_published_are_left_out(folder: Path) -> None:
    labels = folder / "joint_annotations"
    text = (labels / "camel.json").read_text()
    (labels / "tiger.json").write_text(text.replace("camel", "tiger"))
    assert [clip.name for clip in open_dataset(folder)] == ["camel"]
    (labels / "dog.json").write_text(text.replace("camel", "dog"))
    with pytest.raises(FileNotFoundError, match=r"Full-Resolution.dog: expected the frames that"):
        list(open_dataset(folder))


def test_what_is_missing_or_damaged_is_named(folder: Path) -> None:
    labels = folder / "joint_annotations" / "camel.json"
    rows = json.loads(labels.read_text())
    mask = folder / rows[0]["segmentation_path"]
    whole = mask.read_bytes()
    mask.write_bytes(whole[:40])
    with pytest.raises(ValueError, match=r"00001\.png: expected a mask, but"):
        list(open_dataset(folder))
    mask.unlink()
    with pytest.raises(FileNotFoundError, match=r"00001\.png: expected the animal's mask"):
        list(open_dataset(folder))
    mask.write_bytes(whole)
    (folder / rows[1]["image_path"]).unlink()
    with pytest.raises(FileNotFoundError, match=r"00004\.jpg: expected a frame that camel\.json"):
        list(open_dataset(folder))
    for content, message in (
        ([{**rows[0], "joints": [[0, 0]] * 9}], r"00001\.jpg: expected joints \[37 2\]"),
        ([{"joints": 1}], "expected a list of objects with image_path"),
        ([], "expected a list of objects"),
    ):
        labels.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=rf"camel\.json.*{message}"):
            list(open_dataset(folder))
    labels.write_text("[{")
    with pytest.raises(ValueError, match=r"camel\.json: expected JSON, but"):
        list(open_dataset(folder))
    labels.unlink()
    with pytest.raises(FileNotFoundError, match=r"joint_annotations: expected ANIMAL\.json files"):
        list(open_dataset(folder))
