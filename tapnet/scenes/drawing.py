"""Drawing scenes: what a seed and settings become.

The ranges are set so that the default mix moves about as real footage does (see `stats`);
`Settings` scales them.
"""

from __future__ import annotations

import numpy as np

from tapnet.scenes.drawing_bodies import Random, draw_bodies, shade_of, unit
from tapnet.scenes.drawing_camera import draw_camera, smooth, vector
from tapnet.scenes.world import Light, Room, Scene, Sensor, Settings, Skin, Vector


def sample(seed: int, settings: Settings | None = None) -> Scene:
    """The scene of a seed: the same for the same seed and settings, whatever the assets."""
    settings = settings or Settings()
    random = np.random.default_rng([seed, 0])
    outdoors = random.random() < settings.outdoors
    room = _open_ground(random, settings) if outdoors else _room(random, settings)
    rig = draw_camera(random, settings, room)
    bodies = draw_bodies(random, settings, room, rig)
    return Scene(
        seed=seed,
        size=settings.size,
        frames=settings.frames,
        points=settings.points,
        samples=settings.samples,
        bodies=tuple(bodies),
        room=room,
        camera=rig.camera,
        light=_light(random, outdoors),
        sensor=_sensor(random, settings),
    )


def _room(random: Random, settings: Settings) -> Room:
    """Four walls, half of them with photographs, a floor and a ceiling."""
    half = random.uniform(3.5, 8.0, 2)
    height = random.uniform(2.8, 6.0)
    same = random.random() < 0.4
    wall = _plane_skin(random, settings, 0.55)
    walls = [wall if same else _plane_skin(random, settings, 0.55) for _ in range(4)]
    floor = _plane_skin(random, settings, 0.08)
    ceiling = Skin("plain", tint=shade_of(random, 0.45, 0.95, 0.05))
    if random.random() < 0.3:
        ceiling = _plane_skin(random, settings, 0.2)
    return Room(
        low=vector([*-half, 0.0]),
        high=vector([*half, height]),
        skins=(walls[0], walls[1], walls[2], walls[3], floor, ceiling),
        fog=float(random.choice([0.0, random.uniform(0.01, 0.05)], p=[0.85, 0.15])),
        fog_color=shade_of(random, 0.3, 0.8, 0.05),
    )


def _open_ground(random: Random, settings: Settings) -> Room:
    """A wide field: photographs far away all around, a plain sky or a photographed one."""
    half = random.uniform(11, 26)
    height = half * random.uniform(0.7, 1.3)
    walls = [Skin("photo", random.random(), 0.0) for _ in range(4)]
    ground = Skin(
        "surface", random.random(), random.uniform(1.2, 4.0), shade_of(random, 0.6, 1.0, 0.04)
    )
    haze = shade_of(random, 0.55, 0.9, 0.06)
    return Room(
        low=vector([-half, -half, 0.0]),
        high=vector([half, half, height]),
        skins=(walls[0], walls[1], walls[2], walls[3], ground, Skin("plain", tint=_sky(random))),
        fog=float(
            random.choice(
                [0.0, random.uniform(0.005, 0.03), random.uniform(0.05, 0.1)], p=[0.55, 0.38, 0.07]
            )
        ),
        fog_color=haze,
    )


def _sky(random: Random) -> Vector:
    """Blue, white or grey."""
    blue = random.uniform(0, 1)
    bright = random.uniform(0.5, 1.0)
    return vector(bright * (1 - blue * np.array([0.65, 0.4, 0.1])))


def _plane_skin(random: Random, settings: Settings, photo: float) -> Skin:
    """What covers a wall or floor."""
    if random.random() < settings.plain:
        if random.random() < 0.5:
            return Skin("plain", tint=shade_of(random, 0.15, 0.9, 0.12))
        return Skin("surface", random.random(), random.uniform(0.25, 0.7))
    if random.random() < photo:
        size = 0.0 if random.random() < 0.6 else random.uniform(3.0, 7.0)
        return Skin("photo", random.random(), size)
    tint = shade_of(random, 0.6, 1.0, 0.05)
    return Skin("surface", random.random(), random.uniform(1.0, 4.5), tint)


def _light(random: Random, outdoors: bool) -> Light:
    direction = random.normal(size=3)
    direction[2] = abs(direction[2]) + random.uniform(0.25, 1.2)
    warm = random.normal() * 0.1
    sun = random.uniform(0.6, 2.0) if outdoors else random.uniform(0.2, 1.5)
    sky = random.uniform(0.2, 0.55)
    return Light(
        direction=vector(unit(direction)),
        sun=vector(np.clip(sun * np.array([1 + warm, 1.0, 1 - warm]), 0.02, 2)),
        sky=vector(np.clip(sky * np.array([1 - warm, 1.0, 1 + warm]), 0.02, 2)),
        ground=vector(sky * random.uniform(0.2, 0.6) * np.array([1 + warm, 1.0, 1 - warm])),
        shadow=int(random.choice([160, 256, 384])),
    )


def _sensor(random: Random, settings: Settings) -> Sensor:
    def flaw(*values: float) -> float:
        return float(random.choice([0.0, *values])) if random.random() < settings.flaws else 0.0

    drifts = random.random() < 0.2
    return Sensor(
        shutter=float(random.choice([0.0, 0.25, 0.5, 0.9], p=[0.25, 0.25, 0.35, 0.15])),
        exposure=smooth(random, 1, 0.02 if drifts else 0.0, (20, 80), random.normal() * 0.3),
        balance=vector(1 + random.normal(size=3) * 0.05),
        contrast=random.uniform(0.9, 1.3),
        saturation=random.uniform(0.7, 1.4) if random.random() < 0.95 else 0.0,
        vignette=flaw(0.3, 0.8),
        blur=flaw(0.4, 0.6, 1.0),
        noise=flaw(0.005, 0.01, 0.02, 0.035) if random.random() < 0.8 else 0.0,
        jpeg=int(flaw(30, 50, 75, 90)),
    )
