"""How bodies move: thrown, bouncing, floating, held before the camera, passing by.

Bodies are balls to each other and to the room: cheap, and enough for a tracker to learn from.
"""

from __future__ import annotations

import numpy as np

from tapnet.scenes.camera import rotations
from tapnet.scenes.compiled import exact_kernel
from tapnet.scenes.world import Body, Scene

GRAVITY = 0.012  # units per frame²: a third slower than the Earth's at 24 frames per second
_STEPS = 4  # of the simulation, per frame
_BALL = 0.35  # radius of a body for collisions, in units of its largest extent


def poses(scene: Scene, times: np.ndarray, cameras: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rotation [S, O, 3, 3], position [S, O, 3]) of the bodies at the times [S].

    `cameras` [S, 15] at the same times moves the bodies held before the camera.
    """
    bodies = scene.bodies
    count = len(bodies)
    rotation = np.empty((len(times), count, 3, 3))
    position = np.empty((len(times), count, 3))
    if count:
        simulated = [i for i, body in enumerate(bodies) if body.motion in ("falling", "floating")]
        still = [(b.position, _reach(b)) for b in bodies if b.motion == "static"]
        if simulated:
            chosen = [bodies[i] for i in simulated]
            rotation[:, simulated], position[:, simulated] = _simulated(scene, chosen, still, times)
    for i, body in enumerate(bodies):
        if body.motion in ("static", "passing", "held"):
            rotation[:, i], position[:, i] = _direct(scene, body, times)
        if body.sway is not None:
            position[:, i] += body.sway.at(times)
        if body.motion == "held":
            to_world = cameras[:, 3:12].reshape(-1, 3, 3).transpose(0, 2, 1)
            rotation[:, i] = to_world @ rotation[:, i]
            position[:, i] = (to_world @ position[:, i, :, None])[..., 0] + cameras[:, 12:15]
    return rotation, position


def _direct(scene: Scene, body: Body, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Poses of a body that moves evenly; one that passes comes again after `period` frames."""
    start = rotations(np.asarray(body.rotation, float))
    if body.motion == "static":
        return start, np.asarray(body.position, float)
    since = times
    if body.motion == "passing" and body.period > 0:
        since = (times + body.period / 2) % body.period - body.period / 2
    turned = rotations(times[:, None] * np.asarray(body.spin, float)) @ start
    return turned, np.asarray(body.position, float) + since[:, None] * np.asarray(body.velocity)


def _reach(body: Body) -> float:
    return _BALL * max(body.size)


def _simulated(
    scene: Scene, bodies: list[Body], still: list[tuple], times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Poses of bodies that collide, at any times between -1 and the last frame + 1."""
    frames = max(scene.frames, int(np.ceil(times.max())) if len(times) else 0) + 2
    kicks = sorted(
        (kick.frame, i, kick.velocity, kick.spin)
        for i, body in enumerate(bodies)
        for kick in body.kicks
    )
    walk, turn = _simulate(
        np.array([b.position for b in bodies], float),
        _quaternions(np.array([b.rotation for b in bodies], float)),
        np.array([b.velocity for b in bodies], float),
        np.array([b.spin for b in bodies], float),
        np.array([_reach(b) for b in bodies]),
        np.array([b.motion == "falling" for b in bodies]),
        np.array([place for place, _ in still], float).reshape(-1, 3),
        np.array([reach for _, reach in still], float),
        np.array([scene.room.low, scene.room.high], float),
        np.array([k[0] for k in kicks], float),
        np.array([k[1] for k in kicks], np.int64),
        np.array([(k[2], k[3]) for k in kicks], float).reshape(-1, 2, 3),
        frames,
        GRAVITY,
        _STEPS,
    )
    before = np.clip(np.floor(times).astype(int) + 1, 0, frames - 2)
    part = (times + 1 - before)[:, None, None]
    position = walk[before] * (1 - part) + walk[before + 1] * part
    quaternion = turn[before] * (1 - part) + turn[before + 1] * part
    return _matrices(quaternion), position


def _quaternions(vectors: np.ndarray) -> np.ndarray:
    """[N, 4] (w first) of rotation vectors [N, 3]."""
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    axis = vectors / np.maximum(angle, 1e-12)
    return np.concatenate([np.cos(angle / 2), np.sin(angle / 2) * axis], axis=-1)


def _matrices(quaternion: np.ndarray) -> np.ndarray:
    """[..., 3, 3] of quaternions [..., 4] of any length."""
    w, x, y, z = np.moveaxis(quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True), -1, 0)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return np.stack(rows, -1).reshape(*w.shape, 3, 3)


@exact_kernel
def _simulate(  # type: ignore[no-untyped-def]
    position,
    quaternion,
    velocity,
    spin,
    radius,
    falls,
    still,
    still_radius,
    box,
    kick_frame,
    kick_body,
    kick,
    frames,
    gravity,
    steps,
):
    """(position [frames, O, 3], quaternion [frames, O, 4]) at the frames -1, 0, 1 …"""
    count = len(position)
    walk = np.empty((frames, count, 3))
    turn = np.empty((frames, count, 4))
    walk[0], turn[0] = position, quaternion
    next_kick = 0
    for step in range((frames - 1) * steps):
        now = step / steps - 1
        while next_kick < len(kick_frame) and kick_frame[next_kick] <= now:
            i = kick_body[next_kick]
            velocity[i] += kick[next_kick, 0]
            spin[i] += kick[next_kick, 1]
            next_kick += 1
        for i in range(count):
            if falls[i]:
                velocity[i, 2] -= gravity / steps
            position[i] += velocity[i] / steps
            _bounce(position[i], velocity[i], spin[i], radius[i], box, falls[i])
            _turn(quaternion[i], spin[i], 1.0 / steps)
        _collide(position, velocity, radius, still, still_radius)
        if (step + 1) % steps == 0:
            walk[(step + 1) // steps] = position
            turn[(step + 1) // steps] = quaternion
    # consecutive quaternions on the same side, so that they can be mixed
    for t in range(1, frames):
        for i in range(count):
            if (turn[t, i] * turn[t - 1, i]).sum() < 0:
                turn[t, i] *= -1
    return walk, turn


@exact_kernel
def _bounce(position, velocity, spin, radius, box, falls):  # type: ignore[no-untyped-def]
    """A ball against the six planes of its room."""
    for axis in range(3):
        for side in range(2):
            inward = 1.0 - 2.0 * side
            depth = radius - inward * (position[axis] - box[side, axis])
            if depth > 0 and inward * velocity[axis] < 0:
                rest = 0.55 if falls else 0.9
                velocity[axis] *= -rest
                if falls and axis == 2 and side == 0:
                    velocity[0] *= 0.9
                    velocity[1] *= 0.9
                    spin *= 0.75
                    position[2] += depth


@exact_kernel
def _turn(quaternion, spin, part):  # type: ignore[no-untyped-def]
    """Turn `quaternion` by the rotation vector part · spin, in place."""
    angle = np.sqrt((spin * spin).sum()) * part
    if angle < 1e-9:
        return
    scale = np.sin(angle / 2) * part / angle
    a, (x, y, z) = np.cos(angle / 2), (spin[0] * scale, spin[1] * scale, spin[2] * scale)
    w, i, j, k = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    quaternion[0] = a * w - x * i - y * j - z * k
    quaternion[1] = a * i + x * w + y * k - z * j
    quaternion[2] = a * j - x * k + y * w + z * i
    quaternion[3] = a * k + x * j - y * i + z * w
    quaternion /= np.sqrt((quaternion * quaternion).sum())


@exact_kernel
def _collide(position, velocity, radius, still, still_radius):  # type: ignore[no-untyped-def]
    """Balls of equal mass that touch exchange their speed along the line between them."""
    for i in range(len(position)):
        for j in range(i):
            apart = position[i] - position[j]
            distance = np.sqrt((apart * apart).sum()) + 1e-9
            if distance < radius[i] + radius[j]:
                closing = ((velocity[i] - velocity[j]) * apart).sum() / distance
                if closing < 0:
                    velocity[i] -= closing / distance * apart
                    velocity[j] += closing / distance * apart
        for j in range(len(still)):
            apart = position[i] - still[j]
            distance = np.sqrt((apart * apart).sum()) + 1e-9
            if distance < radius[i] + still_radius[j]:
                closing = (velocity[i] * apart).sum() / distance
                if closing < 0:
                    velocity[i] -= 1.7 * closing / distance * apart
