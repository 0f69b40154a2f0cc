"""Small files in the layouts of the datasets, for tests of their readers."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def png(path: Path, image: np.ndarray) -> Path:
    """Writes an image, and the folders it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def jhmdb(folder: Path, videos: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Path:
    """JHMDB with the given test videos: `ACTION/VIDEO` -> (frames, joints [15, T, 2])."""
    from scipy.io import savemat

    for name, (frames, joints) in videos.items():
        action, _, video = name.partition("/")
        split = folder / "splits" / f"{action}_test_split1.txt"
        split.parent.mkdir(parents=True, exist_ok=True)
        with split.open("a") as file:
            file.write(f"{video}.avi 2\n{video}_of_training.avi 1\n")
        labels = folder / "joint_positions" / name / "joint_positions.mat"
        labels.parent.mkdir(parents=True)
        world = np.zeros((2, 15, joints.shape[1]))
        savemat(labels, {"pos_img": joints.transpose(2, 0, 1), "pos_world": world, "scale": 1.0})
        for t, frame in enumerate(frames):
            png(folder / "Rename_Images" / name / f"{t + 1:05d}.png", frame)
    return folder


def jpeg(image: np.ndarray) -> bytes:
    """An image as the bytes of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


def badja(
    folder: Path, animal: str, frames: np.ndarray, labelled: Mapping[int, tuple[list, list]]
) -> Path:
    """BADJA with one animal on DAVIS frames: frame -> (joints [37, 2], visibility [37]).

    The mask of frame t has t + 1 white pixels.
    """
    rows = []
    for t, frame in enumerate(frames):
        image = f"DAVIS/JPEGImages/Full-Resolution/{animal}/{t:05d}.jpg"
        mask = f"DAVIS/Annotations/Full-Resolution/{animal}/{t:05d}.png"
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).write_bytes(jpeg(frame))
        if t in labelled:
            joints, visibility = labelled[t]
            area = np.zeros(frame.shape[:2], np.uint8)
            area.ravel()[: t + 1] = 255
            png(folder / mask, area)
            rows.append(
                {
                    "segmentation_path": mask,
                    "image_path": image,
                    "visibility": visibility,
                    "joints": joints,
                }
            )
    labels = folder / "joint_annotations" / f"{animal}.json"
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text(json.dumps(rows))
    return folder


Labels = tuple[Sequence[object], np.ndarray, np.ndarray]


def track_rows(path: Path, videos: Sequence[Labels]) -> Path:
    """A CSV file: for each (cells that name a video, points [N, T, 2], occluded [N, T]) N rows."""
    with path.open("w", newline="") as file:
        for cells, points, occluded in videos:
            for track, hidden in zip(points.tolist(), occluded.tolist(), strict=True):
                triples = [f"{x!r},{y!r},{int(h)}" for (x, y), h in zip(track, hidden, strict=True)]
                file.write(",".join([*map(str, cells), *triples]) + "\n")
    return path


def space(path: Path, frames: np.ndarray, **arrays: np.ndarray) -> Path:
    """A file of TAPVid-3D; the frames are stored as an array of byte strings or of objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.array([jpeg(frame) for frame in frames], dtype=object)
    np.savez(path, images_jpeg_bytes=images, **arrays)
    return path


def space_of(path: Path, given: Mapping[str, np.ndarray]) -> Path:
    """The truth of a vector tapvid3d*: its intrinsics are of 256 px, the frames twice as large."""
    t, y, x = given["query_points"].T
    return space(
        path,
        np.zeros((given["gt_occluded"].shape[1], 512, 600, 3), np.uint8),
        tracks_XYZ=given["gt_tracks"].swapaxes(0, 1),
        visibility=~given["gt_occluded"].T,
        queries_xyt=np.stack([2 * x, 2 * y, t], axis=-1),
        fx_fy_cx_cy=2 * given["intrinsics_params"],
    )
