"""Drawing cameras: still, hand-held, travelling, panning, circling, zooming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tapnet.scenes.camera import cameras
from tapnet.scenes.world import Camera, Curve, Room, Scene, Settings, Vector

MODES = ("still", "hand-held", "travelling", "panning", "circling", "zooming")
_SHARES = (0.07, 0.31, 0.22, 0.18, 0.12, 0.10)


def vector(values: np.ndarray | list[float]) -> Vector:
    """Three floats, rounded so that a scene stays small on disk."""
    x, y, z = (float(f"{value:.5g}") for value in values)
    return x, y, z


@dataclass(frozen=True)
class Rig:
    """A camera and the room it moves in."""

    camera: Camera
    room: Room

    @property
    def focal(self) -> float:
        """In units of the frame's longer side."""
        return float(np.exp(self.camera.log_focal.offset[0]))

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
        """(position, right, down, forward, focal length in frame sizes) at a time."""
        scene = Scene(0, (1, 1), 1, 0, 1, room=self.room, camera=self.camera)
        row = cameras(scene, np.array([time]))[0]
        return row[12:15], row[3:6], row[6:9], row[9:12], float(row[0])


def smooth(
    random: np.random.Generator,
    components: int,
    speed: float,
    periods: tuple[float, float],
    offset: float = 0.0,
    waves: int = 2,
) -> Curve:
    """A smooth random curve around `offset` with about the given speed (units per frame)."""
    period = np.exp(random.uniform(np.log(periods[0]), np.log(periods[1]), waves))
    rate = 2 * np.pi / period
    amplitude = random.normal(size=(waves, components)) * speed / rate[:, None] / waves**0.5 * 1.4
    phase = random.uniform(0, 2 * np.pi, (waves, components))
    return Curve(
        (round(offset, 5),) * components,
        _rounded(amplitude) if speed else (),
        tuple(float(f"{r:.5g}") for r in rate) if speed else (),
        _rounded(phase) if speed else (),
    )


def _rounded(values: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{v:.5g}") for v in row) for row in values)


def draw_camera(random: np.random.Generator, settings: Settings, room: Room) -> Rig:
    """A camera that looks at the middle of the room from a few units away, in one of `MODES`."""
    mode = MODES[int(random.choice(len(MODES), p=_SHARES))]
    away = random.uniform(2.6, max(2.8, min(5.5, 0.9 * min(room.high[0], room.high[1]))))
    around = random.uniform(0, 2 * np.pi)
    height = random.uniform(0.5, min(2.8, room.high[2] - 0.4))
    place = np.array([away * np.cos(around), away * np.sin(around), height])
    target = random.normal(size=3) * [0.35, 0.35, 0.15] + [0, 0, 0.75]
    speed = settings.camera_speed * float(np.exp(random.uniform(np.log(0.013), np.log(0.065))))
    position, look = _still(place), _still(target)
    zoom = Curve((round(random.uniform(-0.15, 0.5), 4),))
    if mode == "travelling":
        position = _line(random, place, speed)
    elif mode == "panning":
        position, look = _line(random, place, 0.5 * speed), _line(random, target, 0.9 * speed)
    elif mode == "circling":
        position = _circle(random, away, around, height, speed)
    elif mode == "zooming":
        zoom = smooth(random, 1, 0.25 * speed, (30, 120), zoom.offset[0], waves=1)
    shaky = 1.0 if mode == "hand-held" else float(random.choice([0.0, 0.3], p=[0.6, 0.4]))
    return Rig(Camera(position, look, _shake(random, settings, shaky), zoom), room)


def _still(place: np.ndarray) -> Curve:
    return Curve(vector(place))


def _line(random: np.random.Generator, start: np.ndarray, speed: float) -> Curve:
    """A nearly straight way through `start`, which turns back after some seconds."""
    way = random.normal(size=3) * [1, 1, 0.35]
    way *= speed / max(float(np.linalg.norm(way)), 1e-9)
    period = random.uniform(90, 240)
    rate, phase = 2 * np.pi / period, random.uniform(-0.6, 0.6)
    amplitude = way / rate
    return Curve(
        vector(start - amplitude * np.sin(phase)),
        (vector(amplitude),),
        (float(f"{rate:.5g}"),),
        ((round(phase, 4),) * 3,),
    )


def _circle(
    random: np.random.Generator, away: float, around: float, height: float, speed: float
) -> Curve:
    """Around the middle of the room at a distance, with a slow rise and fall."""
    rate = float(random.choice([-1, 1])) * speed / away * 1.3
    return Curve(
        vector([0.0, 0.0, height]),
        (vector([away, away, min(0.3, 0.3 * height)]),),
        (float(f"{rate:.5g}"),),
        ((round(around + np.pi / 2, 4), round(around, 4), 0.0),),
    )


def _shake(random: np.random.Generator, settings: Settings, strength: float) -> Curve:
    """Hand-held: slow drift and fast tremble of the three angles; most of it slight."""
    if strength == 0:
        return Curve((0.0, 0.0, 0.0))
    scale = strength * settings.camera_speed
    drift = smooth(random, 3, scale * np.exp(random.uniform(np.log(2e-3), np.log(9e-3))), (20, 70))
    tremble = smooth(random, 3, scale * np.exp(random.uniform(np.log(8e-4), np.log(6e-3))), (3, 9))
    tip = random.normal() * 0.06
    return Curve(
        (0.0, 0.0, round(tip, 4)),
        drift.amplitude + tremble.amplitude,
        drift.rate + tremble.rate,
        drift.phase + tremble.phase,
    )
