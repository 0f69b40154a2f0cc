"""Scenes in which only the camera moves: what structure from motion takes every video for."""

from __future__ import annotations

from dataclasses import replace

from tapnet.scenes.world import Camera, Curve, Scene

# Around the middle of the room at about 3.5 units, to and fro, four degrees a frame at most.
CIRCLING = Camera(
    position=Curve((0.0, -3.2, 1.6), ((1.4, 0.1, 0.2),), (0.1,), ((-0.6, 0.0, 0.5),)),
    target=Curve((0.0, 0.0, 0.6)),
    log_focal=Curve((0.1,)),
)


def circled(scene: Scene) -> Scene:
    """The scene, seen by a camera that circles its middle in constant light."""
    steady = replace(scene.sensor, exposure=Curve((0.0,)), shutter=0.0)
    return replace(scene, camera=CIRCLING, sensor=steady)


def frozen(scene: Scene) -> Scene:
    """The scene with all its bodies standing still; those tied to the camera are left out."""
    bodies = tuple(
        replace(
            body,
            motion="static",
            sway=None,
            kicks=(),
            waves=(),
            joints=tuple(replace(joint, swing=0.0) for joint in body.joints),
            settle=True,
        )
        for body in scene.bodies
        if body.motion not in ("held", "passing")
    )
    return replace(scene, bodies=bodies)
