"""Drawn people for tests: figures of textured limbs that walk and wave before a moving background.

Their joints are known on every frame, also when they leave it.
"""

from __future__ import annotations

import cv2
import numpy as np

SIZE = (120, 160)  # (height, width)
# The joints of JHMDB, in its order: where they are on a person standing at (0, 0), y down.
STANDING = np.array(
    [
        *((0, -26), (0, -2), (0, -36)),  # neck, belly, face
        *((8, -24), (-8, -24), (6, 0), (-6, 0)),  # shoulders, hips: right, left
        *((14, -13), (-14, -13), (8, 16), (-8, 16)),  # elbows, knees
        *((16, 0), (-16, 0), (9, 32), (-9, 32)),  # wrists, ankles
    ],
    float,
)
LIMBS = (
    *((0, 1), (0, 3), (0, 4), (1, 5), (1, 6), (3, 7), (4, 8)),
    *((5, 9), (6, 10), (7, 11), (8, 12), (9, 13), (10, 14)),
)
SWINGING = {7: 0.5, 8: 0.5, 11: 1.0, 12: 1.0, 9: 0.4, 10: 0.4, 13: 0.8, 14: 0.8}  # joint: share


def texture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] float: smooth coloured blots around middle grey."""
    noise = np.random.default_rng(seed).normal(size=(*size, 3)).astype(np.float32)
    return 128 + 330 * cv2.GaussianBlur(noise, (0, 0), 2)


def person(seed: int, frames: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """(frames [T, H, W, 3] uint8, joints [15, T, 2] (x, y) pixels) of one person."""
    random = np.random.default_rng(seed)
    start, speed = random.uniform([50, 50], [90, 70]), random.uniform([-3, -0.5], [3, 0.5])
    height, swing = random.uniform(0.9, 1.3), random.uniform(4, 8)
    background = texture(seed + 100, (SIZE[0] + 40, SIZE[1] + 40))
    clothes = [texture(seed * 50 + i, (40, 40)) + random.uniform(-90, 90, 3) for i in range(14)]
    images, joints = [], []
    for t in range(frames):
        pose = STANDING * height
        for joint, share in SWINGING.items():
            side = 1 if joint % 2 else -1
            pose[joint, 0] += side * swing * share * np.sin(t / 2.5)
        pose = pose + start + t * speed
        left = 20 + round(10 * np.sin(t / 6))
        image = background[20 : 20 + SIZE[0], left : left + SIZE[1]].copy()
        for (a, b), cloth in zip(LIMBS, clothes, strict=False):
            _paint(image, pose[a], pose[b], 7, cloth)
        _paint(image, pose[2] - 4, pose[2] + 4, 14, clothes[-1])
        images.append(image.round().clip(0, 255).astype(np.uint8))
        joints.append(pose)
    return np.stack(images), np.stack(joints, axis=1)


def _paint(
    image: np.ndarray, start: np.ndarray, end: np.ndarray, width: float, cloth: np.ndarray
) -> None:
    """A limb from `start` to `end` (x, y), `width` pixels wide, with the cloth turning with it."""
    along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
    across = np.array([-along[1], along[0]]) * width / 2
    side = cloth.shape[0]
    corners = np.stack([start + across, end + across, start - across]).astype(np.float32) - 0.5
    of_cloth = np.array([[0, 0], [side, 0], [0, side]], np.float32)
    matrix = cv2.getAffineTransform(of_cloth, corners)
    size = (image.shape[1], image.shape[0])
    painted = cv2.warpAffine(cloth, matrix, size, borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpAffine(np.ones(cloth.shape[:2], np.float32), matrix, size)[..., None]
    image[...] = image * (1 - mask) + painted.astype(np.float32) * mask
