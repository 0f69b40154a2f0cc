"""What a synthetic scene is: a few kB of parameters, no pixels.

The world is measured in units of about a metre, z up, the floor at z = 0; time in frames, so a
longer clip of the same scene simply goes on. Which mesh or texture of an asset pack is meant is
written as a fraction 0..1 of the pack's list: one scene can be rendered with any pack.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tapnet.files import replacing

Vector = tuple[float, float, float]
Pair = tuple[float, float]
Motion = Literal["static", "falling", "floating", "held", "passing"]
Shape = Literal["mesh", "sheet", "figure", "box", "ball"]
Cover = Literal["own", "surface", "photo", "plain"]

MOST_SAMPLES = 64
MOST_BYTES = 8 << 30  # of the frames of a clip


@dataclass(frozen=True)
class Settings:
    """What scenes to draw. Speeds are factors on the default mix, shares are 0..1."""

    size: tuple[int, int] = (256, 256)  # (height, width) in pixels
    frames: int = 24
    points: int = 256  # queries per clip
    samples: int = 4  # moments averaged into a frame: anti-aliasing and motion blur
    objects: tuple[int, int] = (7, 20)  # fewest and most
    camera_speed: float = 1.0
    object_speed: float = 1.0
    deforming: float = 0.35  # share of moving objects that bend, wave or walk
    plain: float = 0.2  # share of surfaces of one colour or with a small repeated pattern
    outdoors: float = 0.4  # share of scenes on open ground
    occluders: float = 0.45  # share of scenes where something passes close to the camera
    flaws: float = 0.6  # share of clips with noise, soft focus or JPEG blocks

    def __post_init__(self) -> None:
        fewest, most = self.objects
        wanted = {
            "size: at least 1 x 1 pixel": min(self.size) >= 1,
            "frames: at least 1": self.frames >= 1,
            f"frames of {MOST_BYTES >> 30} GB at most, since a clip is held in memory": (
                3 * self.frames * self.size[0] * self.size[1] <= MOST_BYTES
            ),
            "points: at least 0": self.points >= 0,
            f"samples: 1 to {MOST_SAMPLES}": 1 <= self.samples <= MOST_SAMPLES,
            "objects: 0 <= fewest <= most": 0 <= fewest <= most,
            "speeds: at least 0": min(self.camera_speed, self.object_speed) >= 0,
            "shares: 0 to 1": all(
                0 <= share <= 1
                for share in (self.deforming, self.plain, self.outdoors, self.occluders, self.flaws)
            ),
        }
        broken = [rule for rule, kept in wanted.items() if not kept]
        if broken:
            raise ValueError(f"expected {'; '.join(broken)}; got {self}; change that setting")


PRESETS = {
    "default": Settings(),
    "wild": Settings(camera_speed=2.5, object_speed=2.5, occluders=0.7),
}


@dataclass(frozen=True)
class Curve:
    """A smooth motion: offset + Σ amplitude · sin(rate · t + phase), for each of C components."""

    offset: tuple[float, ...]  # [C]
    amplitude: tuple[tuple[float, ...], ...] = ()  # [K][C]
    rate: tuple[float, ...] = ()  # [K] radians per frame
    phase: tuple[tuple[float, ...], ...] = ()  # [K][C] radians

    def at(self, times: np.ndarray) -> np.ndarray:
        """[S, C] values at the times [S] (frames)."""
        values = np.broadcast_to(np.asarray(self.offset, float), (len(times), len(self.offset)))
        if not self.rate:
            return values.copy()
        angles = np.outer(times, self.rate)[:, :, None] + np.asarray(self.phase, float)
        return values + (np.sin(angles) * np.asarray(self.amplitude, float)).sum(1)


@dataclass(frozen=True)
class Wave:
    """Bends a shape: each of its points p moves by amplitude · sin(number · p + rate · t + phase).

    In the shape's own coordinates, where its largest extent is 1.
    """

    amplitude: Vector
    number: Vector
    rate: float
    phase: float


@dataclass(frozen=True)
class Joint:
    """How a bone turns against its parent: about `axis` by rest + swing · sin(rate · t + phase)."""

    axis: Vector
    rest: float
    swing: float
    rate: float
    phase: float


@dataclass(frozen=True)
class Kick:
    """A sudden change of a falling or floating body's motion."""

    frame: float
    velocity: Vector
    spin: Vector


@dataclass(frozen=True)
class Skin:
    """What covers a surface: its own texture, one of the pack's, or a colour."""

    cover: Cover = "own"
    pick: float = 0.0  # which texture of the pack's list, 0..1
    repeat: float = 1.0  # how often the texture repeats across the object; on planes, its size
    tint: Vector = (1.0, 1.0, 1.0)
    shine: float = 0.0


@dataclass(frozen=True)
class Body:
    """One object. Its size multiplies a shape whose largest extent is 1."""

    shape: Shape
    pick: float = 0.0  # which mesh of the pack, or which skeleton, 0..1
    size: Vector = (1.0, 1.0, 1.0)
    skin: Skin = Skin()
    motion: Motion = "static"
    position: Vector = (0.0, 0.0, 0.0)  # held bodies: right, down, forward of the camera
    rotation: Vector = (0.0, 0.0, 0.0)  # axis times angle
    velocity: Vector = (0.0, 0.0, 0.0)  # units per frame
    spin: Vector = (0.0, 0.0, 0.0)  # axis times radians per frame
    kicks: tuple[Kick, ...] = ()
    sway: Curve | None = None  # added to the position
    period: float = 0.0  # passing bodies come again after so many frames; 0 = never
    waves: tuple[Wave, ...] = ()
    joints: tuple[Joint, ...] = ()  # of a figure's bones, or of a mesh's spine
    settle: bool = False  # lowered or raised until it stands on the floor


@dataclass(frozen=True)
class Room:
    """The box that holds everything: walls -x +x -y +y, floor, ceiling. Outdoors it is vast."""

    low: Vector = (-5.0, -5.0, 0.0)
    high: Vector = (5.0, 5.0, 4.0)
    skins: tuple[Skin, Skin, Skin, Skin, Skin, Skin] = (Skin("plain"),) * 6
    fog: float = 0.0  # per unit of distance
    fog_color: Vector = (0.6, 0.65, 0.7)  # linear light


@dataclass(frozen=True)
class Camera:
    """Where the camera is and looks. Focal lengths are in units of the frame's longer side."""

    position: Curve = Curve((0.0, -4.0, 1.5))
    target: Curve = Curve((0.0, 0.0, 0.8))
    shake: Curve = Curve((0.0, 0.0, 0.0))  # radians about right, down, forward
    log_focal: Curve = Curve((0.2,))


@dataclass(frozen=True)
class Light:
    """Sun and sky, in linear light."""

    direction: Vector = (0.3, -0.5, 0.81)  # towards the sun
    sun: Vector = (0.8, 0.78, 0.7)
    sky: Vector = (0.5, 0.52, 0.56)  # what comes from above
    ground: Vector = (0.25, 0.24, 0.22)  # what comes back from below
    shadow: int = 256  # side of the shadow map in texels: fewer are softer


@dataclass(frozen=True)
class Sensor:
    """How light becomes a frame."""

    shutter: float = 0.0  # share of the time between two frames that it stays open
    exposure: Curve = Curve((0.0,))  # log2 gain
    balance: Vector = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    vignette: float = 0.0
    blur: float = 0.0  # standard deviation in pixels
    noise: float = 0.0  # standard deviation at white, 0..1
    jpeg: int = 0  # quality 1..100, 0 = none


@dataclass(frozen=True)
class Scene:
    """Everything a clip is made of, but the assets."""

    seed: int
    size: tuple[int, int]
    frames: int
    points: int
    samples: int
    bodies: tuple[Body, ...] = ()
    room: Room = Room()
    camera: Camera = Camera()
    light: Light = Light()
    sensor: Sensor = field(default=Sensor())

    def save(self, path: str | Path) -> None:
        """Write the scene as JSON."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(self), separators=(",", ":")))

    @staticmethod
    def load(path: str | Path) -> Scene:
        """The scene in a file written by `save`; ValueError says what is wrong with another."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; expected a scene written by Scene.save")
        try:
            return _revive(Scene, json.loads(path.read_text()))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{path}: expected a scene written by Scene.save, but {error}; write it again"
            ) from error


def _revive(hint: Any, value: Any) -> Any:
    """A value of JSON as the type that `hint` names: dataclasses and tuples are built again."""
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        unknown = set(value) - set(hints)
        if unknown:
            raise ValueError(f"{hint} has no {sorted(unknown)}")
        return hint(**{name: _revive(hints[name], item) for name, item in value.items()})  # type: ignore[operator]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_revive(kind, item) for kind, item in zip(kinds, value, strict=True))
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _revive(inner[0], value)
    return value
