"""Structure from motion by COLMAP, in a process of its own.

J. L. Schönberger and J.-M. Frahm, "Structure-from-motion revisited", CVPR 2016, through pycolmap:
SIFT features, matches between near frames, incremental mapping with one camera for the clip.

pycolmap 4.2 carries copies of libraries that Pillow and OpenCV carry too (zlib, libpng): loaded
before them it makes both crash when they write a PNG. So this file is also the program of a child
process, which loads numpy and pycolmap alone: `python -P colmap.py FOLDER`. A failure inside COLMAP
ends that process, not the caller's, and its thread pools and random seed are its own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOCAL = 1.2  # focal length in units of the longer side: COLMAP's own guess
ERROR = 1.5 / 256, 4.0  # of a match, in units of the longer side; at most, in pixels
ANGLES = 2.0, 0.5  # degrees between rays: of the first two frames; of any point
OVERLAP = 8  # each frame is matched with the next 8, and those 1, 2, 4, ... 128 on
SMALLEST = 16  # pixels: nothing is found in smaller frames
FEWEST = 10  # frames of a model, as COLMAP has it; of shorter clips, all


@dataclass(frozen=True)
class Model:
    """A rigid scene and the cameras that saw it: R frames, P points, O observations.

    A world point X is at `rotation @ X + translation` from a camera whose axes are right, down and
    forward, and falls on `focal * (x, y) / z + centre`, in raster pixels.
    """

    frames: np.ndarray  # [R] int64, ascending
    rotation: np.ndarray  # [R, 3, 3]
    translation: np.ndarray  # [R, 3]
    focal: np.ndarray  # [] pixels
    centre: np.ndarray  # [2] (x, y) pixels
    points: np.ndarray  # [P, 3]
    seen: np.ndarray  # [O, 2] int64: row of `frames`, row of `points`


def check_installed() -> None:
    """Raises ImportError, telling what to install, where pycolmap is missing."""
    if importlib.util.find_spec("pycolmap") is None:
        raise ImportError(
            "structure from motion needs pycolmap, which is not installed; install it with: "
            "pip install 'tapnet[sfm]'"
        )


def reconstruct(frames: Iterable[np.ndarray]) -> list[Model]:
    """The rigid scenes in `frames`, each [H, W] uint8, that COLMAP finds; the largest first.

    None is found where nothing is rigid, or where the camera does not move. The same frames give
    the same models. Raises ImportError where pycolmap is missing.
    """
    check_installed()
    with tempfile.TemporaryDirectory(prefix="tapnet-sfm-") as name:
        folder = Path(name)
        (folder / "frames").mkdir()
        size, count = (0, 0), 0
        for count, frame in enumerate(frames, start=1):
            size = frame.shape[0], frame.shape[1]
            header = f"P5 {size[1]} {size[0]} 255\n".encode()
            (folder / "frames" / f"{count - 1:06d}.pgm").write_bytes(header + frame.tobytes())
        if count < 3 or min(size) < SMALLEST:
            return []
        command = [sys.executable, "-P", __file__, name, str(max(size))]
        alone = os.environ | {"OMP_NUM_THREADS": "1"}  # sums in one order
        done = subprocess.run(command, capture_output=True, text=True, env=alone, check=False)
        if done.returncode:
            raise RuntimeError(f"COLMAP failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
        models = [_read(path) for path in folder.glob("model-*.npz")]
    models = [model for model in models if len(model.frames) >= min(FEWEST, count)]
    return sorted(models, key=lambda model: (-len(model.frames), model.frames[0]))


def _read(path: Path) -> Model:
    with np.load(path, allow_pickle=False) as arrays:
        return Model(**arrays)


# --------------------------------------------------------------------------- the child process


def _main(folder: Path, side: int) -> None:
    """Write model-*.npz into `folder`, from the images in its folder `frames`, `side` px long."""
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.ERROR.value
    pycolmap.set_random_seed(0)
    database = folder / "database.db"
    error = min(side * ERROR[0], ERROR[1])
    _find_features(pycolmap, database, folder / "frames")
    _match(pycolmap, database, error)
    found = _map(pycolmap, database, folder / "mapped", error)
    for number, reconstruction in enumerate(found):
        np.savez(folder / f"model-{number}.npz", **_arrays(reconstruction))


def _find_features(colmap: Any, database: Path, images: Path) -> None:
    extraction = colmap.FeatureExtractionOptions()
    extraction.num_threads = 1
    reader = colmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_PINHOLE"
    reader.default_focal_length_factor = FOCAL
    colmap.extract_features(
        database,
        images,
        camera_mode=colmap.CameraMode.SINGLE,
        reader_options=reader,
        extraction_options=extraction,
    )


def _match(colmap: Any, database: Path, error: float) -> None:
    matching = colmap.FeatureMatchingOptions()
    matching.num_threads = 1
    pairing = colmap.SequentialPairingOptions()
    pairing.num_threads = 1
    pairing.overlap = OVERLAP
    verification = colmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = 0
    verification.ransac.max_error = error
    colmap.match_sequential(database, matching, pairing, verification)


def _map(colmap: Any, database: Path, out: Path, error: float) -> list[Any]:
    """Reconstructions with the focal length held: a short clip does not tell it.

    A wrong one, or a frame squeezed to a square, bends the scene but hardly its projections
    (docs/baselines.md has the numbers). COLMAP's own limits of errors and angles are those of
    large photos taken from all around.
    """
    out.mkdir()
    options = colmap.IncrementalPipelineOptions()
    options.num_threads = options.mapper.num_threads = 1
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = 0
    options.extract_colors = False
    options.init_num_trials = 50
    options.ba_refine_focal_length = options.mapper.abs_pose_refine_focal_length = False
    options.mapper.init_min_tri_angle = ANGLES[0]
    options.mapper.filter_min_tri_angle = options.triangulation.min_angle = ANGLES[1]
    options.mapper.init_max_error = options.mapper.filter_max_reproj_error = error
    options.mapper.abs_pose_max_error = 2 * error
    options.triangulation.merge_max_reproj_error = error
    options.triangulation.complete_max_reproj_error = error
    return list(colmap.incremental_mapping(database, out, out, options).values())


def _arrays(reconstruction: Any) -> dict[str, Any]:
    """The fields of a `Model`."""
    images = sorted(
        (image for image in reconstruction.images.values() if image.has_pose),
        key=lambda image: image.name,
    )
    poses = [image.cam_from_world() for image in images]
    (camera,) = reconstruction.cameras.values()
    row_of_image = {image.image_id: row for row, image in enumerate(images)}
    points = [point for _, point in sorted(reconstruction.points3D.items())]
    seen = [
        (row_of_image[element.image_id], row)
        for row, point in enumerate(points)
        for element in point.track.elements
    ]
    return {
        "frames": np.array([int(Path(image.name).stem) for image in images]),
        "rotation": np.stack([pose.rotation.matrix() for pose in poses]),
        "translation": np.stack([pose.translation for pose in poses]),
        "focal": np.array(camera.params[0]),
        "centre": np.array(camera.params[1:]),
        "points": np.array([point.xyz for point in points]).reshape(-1, 3),
        "seen": np.array(seen, np.int64).reshape(-1, 2),
    }


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
