"""Small files in the layouts of the datasets, for tests of their readers."""

from __future__ import annotations

from collections.abc import Mapping
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
