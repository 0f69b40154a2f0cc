"""Drawing bodies: furniture, thrown and floating things, figures, cloth, what passes close by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tapnet.scenes import shapes
from tapnet.scenes.drawing_camera import Rig, smooth, vector
from tapnet.scenes.world import Body, Joint, Kick, Motion, Room, Settings, Shape, Skin, Vector, Wave

Random = np.random.Generator


def draw_bodies(random: Random, settings: Settings, room: Room, rig: Rig) -> list[Body]:
    count = int(random.integers(settings.objects[0], settings.objects[1] + 1))
    spread = min(2.2, 0.5 * min(room.high[0], room.high[1])) * max(1.0, (count / 14) ** 0.5)
    makers: list[Callable[[], Body]] = [
        lambda: _standing(random, settings, spread),
        lambda: _thrown(random, settings, spread),
        lambda: _floating(random, settings, spread, rig),
        lambda: _figure(random, settings, spread),
        lambda: _cloth(random, settings, spread),
    ]
    liveliness = random.dirichlet([2.6, 1.8, 2.0, 1.0, 0.8])
    bodies = [makers[int(random.choice(5, p=liveliness))]() for _ in range(count)]
    if count and random.random() < settings.occluders:
        near = _held if random.random() < 0.3 else _passing
        for place in range(min(int(random.integers(1, 4)), count)):
            bodies[place] = near(random, settings, rig)
    return bodies


def _standing(random: Random, settings: Settings, spread: float) -> Body:
    """Furniture: stands on the floor and never moves."""
    solid = random.random() < 0.12
    size = random.uniform(0.5, 1.7)
    stretch = random.uniform(0.25, 1.0, 3) if solid else np.ones(3)
    return Body(
        "box" if solid else "mesh",
        random.random(),
        vector(size * stretch),
        _skin(random, settings, own=not solid),
        position=vector([*random.uniform(-spread, spread, 2), 0.0]),
        rotation=(0.0, 0.0, random.uniform(0, 2 * np.pi)),
        settle=True,
    )


def _thrown(random: Random, settings: Settings, spread: float) -> Body:
    """Falls, bounces off the floor, walls and the others; may be kicked again."""
    speed = _speed(random, settings, 0.02, 0.2)
    kicks = [
        Kick(
            round(random.uniform(0, max(settings.frames, 2)), 2),
            vector(random.normal(size=3) * [1, 1, 0.8] * speed + [0, 0, 0.06]),
            vector(random.normal(size=3) * 0.1),
        )
        for _ in range(random.poisson(settings.frames / 40))
    ]
    shape: Shape = "mesh"
    if random.random() < 0.2:
        shape = "ball" if random.random() < 0.6 else "box"
    return Body(
        shape,
        random.random(),
        (random.uniform(0.25, 0.85),) * 3,
        _skin(random, settings, own=shape == "mesh"),
        "falling",
        vector([*random.uniform(-spread, spread, 2), random.uniform(0.3, 2.4)]),
        vector(random.normal(size=3) * 1.5),
        vector(_direction(random) * speed + [0, 0, random.uniform(0, 0.12)]),
        vector(_direction(random) * _speed(random, settings, 0.004, 0.16)),
        tuple(kicks),
        waves=_waves(random, settings, 0.12),
    )


def _floating(random: Random, settings: Settings, spread: float, rig: Rig) -> Body:
    """Drifts and turns through the air, smoothly or with sudden changes."""
    speed = _speed(random, settings, 0.01, 0.14)
    bends = random.random() < settings.deforming
    spine = bends and random.random() < 0.5
    velocity = _direction(random) * speed * [1, 1, 0.5]
    kicks = [
        Kick(
            round(random.uniform(0, max(settings.frames, 2)), 2),
            vector(_direction(random) * _speed(random, settings, 0.01, 0.12)),
            vector(_direction(random) * _speed(random, settings, 0.005, 0.1)),
        )
        for _ in range(random.poisson(settings.frames / 30) if random.random() < 0.4 else 0)
    ]
    joints = _spine_joints(random) if spine else ()
    solid = random.random() < 0.1
    return Body(
        "box" if solid else "mesh",
        random.random(),
        vector(random.uniform(0.3, 1.1) * (random.uniform(0.2, 1, 3) if solid else np.ones(3))),
        _skin(random, settings, own=not solid),
        "floating",
        vector([*random.uniform(-spread, spread, 2), random.uniform(0.4, 2.2)]),
        vector(random.normal(size=3) * 1.5),
        vector(velocity),
        vector(_direction(random) * _speed(random, settings, 0.003, 0.09)),
        tuple(kicks),
        smooth(random, 3, _speed(random, settings, 0.003, 0.06), (12, 90)),
        joints=joints,
        waves=_waves(random, settings, 1.0 if bends and not spine else 0.0),
    )


def _figure(random: Random, settings: Settings, spread: float) -> Body:
    """A jointed figure that walks, swims or waves."""
    pick = random.random()
    bones = shapes.skeleton(pick)
    rate = 2 * np.pi / random.uniform(10, 45) * min(settings.object_speed, 2.0)
    swing = random.uniform(0.15, 0.7)
    main = _direction(random) * [1, 0.5, 0.5]
    joints = [
        Joint(
            vector(unit(main + 0.5 * random.normal(size=3))),
            random.normal() * 0.25,
            swing * random.uniform(0.3, 1.2),
            round(rate * float(random.choice([1, 1, 1, 2])), 4),
            random.uniform(0, 2 * np.pi),
        )
        for bone in bones
        if bone.parent >= 0
    ]
    upright = pick < 0.5
    walks = random.random() < 0.6
    heading = random.uniform(0, 2 * np.pi)
    speed = _speed(random, settings, 0.006, 0.05) if walks else 0.0
    motion: Motion = "passing" if upright else "floating"
    height = random.uniform(0.6, 1.9)
    return Body(
        "figure",
        pick,
        (height,) * 3,
        _skin(random, settings, own=False),
        motion,
        vector([*random.uniform(-spread, spread, 2), 0 if upright else random.uniform(0.4, 1.8)]),
        (0.0, 0.0, heading) if upright else vector(random.normal(size=3)),
        vector([np.cos(heading) * speed, np.sin(heading) * speed, 0.0]),
        (0.0, 0.0, 0.0) if upright else vector(random.normal(size=3) * 0.02),
        sway=smooth(random, 3, 0.008 * settings.object_speed, (10, 40)),
        joints=tuple(joints),
        settle=upright,
    )


def _cloth(random: Random, settings: Settings, spread: float) -> Body:
    """A sheet that hangs, waves or flies."""
    flies = random.random() < 0.5
    size = random.uniform(0.6, 1.6)
    waves = [
        Wave(
            vector([0.02 * random.normal(), depth, 0.02 * random.normal()]),
            vector(random.normal(size=3) * [5, 0, 5]),
            round(2 * np.pi / random.uniform(8, 50) * min(settings.object_speed, 2.0), 4),
            random.uniform(0, 2 * np.pi),
        )
        for depth in random.uniform(0.02, 0.11, 3)
    ]
    return Body(
        "sheet",
        random.random(),
        vector([size * random.uniform(0.6, 1.4), size, size]),
        _skin(random, settings, own=False, photo=0.6),
        "floating" if flies else "static",
        vector([*random.uniform(-spread, spread, 2), random.uniform(0.6, 1.9)]),
        vector(random.normal(size=3)) if flies else (0.0, 0.0, random.uniform(0, 2 * np.pi)),
        vector(_direction(random) * _speed(random, settings, 0.004, 0.06) * flies),
        vector(_direction(random) * _speed(random, settings, 0.003, 0.06) * flies),
        waves=tuple(waves),
    )


def _held(random: Random, settings: Settings, rig: Rig) -> Body:
    """Something in a hand before the camera: moves with it, and shakes."""
    deep = random.uniform(0.9, 2.2)
    aside = random.uniform(-0.5, 0.5, 2) * deep / rig.focal
    return Body(
        "mesh",
        random.random(),
        (random.uniform(0.25, 0.6) * deep / 1.5,) * 3,
        _skin(random, settings),
        "held",
        vector([*aside, deep]),
        vector(random.normal(size=3) * 1.5),
        spin=vector(_direction(random) * _speed(random, settings, 0.003, 0.08)),
        sway=smooth(random, 3, _speed(random, settings, 0.003, 0.03), (8, 60)),
    )


def _passing(random: Random, settings: Settings, rig: Rig) -> Body:
    """Crosses the view close to the camera, in a straight line, again and again in long clips."""
    frames = max(settings.frames, 2)
    when = random.uniform(0.1, 0.9) * frames
    eye, right, down, forward, focal = rig.at(when)
    deep = random.uniform(1.0, 2.8)
    across = unit(right * random.choice([-1, 1]) + down * random.normal() * 0.35)
    speed = _speed(random, settings, 0.04, 0.3) * deep / 2
    place = eye + forward * deep + down * random.uniform(-0.3, 0.3) * deep / focal
    velocity = across * speed
    slender = random.random() < 0.35
    size = random.uniform(0.3, 0.9) * deep / 2
    stretch = [0.25, 0.25, 3.0] if slender else [1.0, 1.0, 1.0]
    return Body(
        "box" if slender else "mesh",
        random.random(),
        vector(size * np.asarray(stretch)),
        _skin(random, settings, own=not slender),
        "passing",
        vector(place - velocity * when),
        vector(random.normal(size=3) * (0.1 if slender else 1.5)),
        vector(velocity),
        vector(_direction(random) * _speed(random, settings, 0.002, 0.1) * (not slender)),
        period=round(2 * max(when, frames - when) + 8 / max(speed, 0.02), 1)
        if frames <= 200
        else round(8 / max(speed, 0.02) + random.uniform(20, 60), 1),
    )


def _skin(random: Random, settings: Settings, own: bool = True, photo: float = 0.15) -> Skin:
    """Two thirds keep their own texture; the rest are re-covered, some plainly."""
    shine = float(random.choice([0.0, 0.15, 0.6], p=[0.55, 0.3, 0.15]))
    if own and random.random() < 0.62:
        return Skin("own", shine=shine)
    if random.random() < settings.plain:
        if random.random() < 0.5:
            return Skin("plain", tint=shade_of(random, 0.05, 0.9, 0.25), shine=shine)
        return Skin("surface", random.random(), random.uniform(4, 10), shine=shine)
    cover = "photo" if random.random() < photo else "surface"
    return Skin(
        "photo" if cover == "photo" else "surface",
        random.random(),
        1.0 if cover == "photo" else random.uniform(0.7, 2.5),
        shade_of(random, 0.7, 1.0, 0.08),
        shine,
    )


def _waves(random: Random, settings: Settings, chance: float) -> tuple[Wave, ...]:
    """Waves that bend a solid body, with the given chance."""
    if random.random() >= chance:
        return ()
    return tuple(
        Wave(
            vector(random.normal(size=3) * random.uniform(0.02, 0.08)),
            vector(random.normal(size=3) * 3.0),
            round(2 * np.pi / random.uniform(10, 60) * min(settings.object_speed, 2.0), 4),
            random.uniform(0, 2 * np.pi),
        )
        for _ in range(3)
    )


def _spine_joints(random: Random) -> tuple[Joint, ...]:
    return tuple(
        Joint(
            vector(_direction(random)),
            random.normal() * 0.2,
            random.uniform(0.1, 0.6),
            round(2 * np.pi / random.uniform(12, 60), 4),
            random.uniform(0, 2 * np.pi),
        )
        for _ in range(shapes.SPINE - 1)
    )


def _speed(random: Random, settings: Settings, low: float, high: float) -> float:
    """A speed between low and high, all orders of magnitude alike, times the settings' factor."""
    return settings.object_speed * float(np.exp(random.uniform(np.log(low), np.log(high))))


def _direction(random: Random) -> np.ndarray:
    return unit(random.normal(size=3))


def unit(values: np.ndarray) -> np.ndarray:
    return values / max(float(np.linalg.norm(values)), 1e-9)


def shade_of(random: Random, low: float, high: float, color: float) -> Vector:
    """A linear colour: a grey between low and high, tinged."""
    return vector(np.clip(random.uniform(low, high) * (1 + random.normal(size=3) * color), 0, 1))
