"""Endless synthetic videos with exact point tracks.

scene = scenes.sample(seed)         # what is in the clip: a few kB
example = scenes.render(scene)      # its video, queries and tracks
extras = scenes.extras(scene)       # depth, instances, flow, cameras, 3-D tracks, when asked
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapnet.scenes.world import PRESETS, Scene, Settings

if TYPE_CHECKING:
    from tapnet.scenes.assets import Assets
    from tapnet.scenes.clip import Backend
    from tapnet.scenes.truth import Extras
    from tapnet.structs import Example

__all__ = ["PRESETS", "Scene", "Settings", "extras", "render", "sample"]


def sample(seed: int, settings: Settings | None = None) -> Scene:
    """The scene of a seed: the same for the same seed and settings, whatever the assets."""
    from tapnet.scenes import drawing

    return drawing.sample(seed, settings)


def render(scene: Scene, assets: Assets | None = None, backend: Backend = "numba") -> Example:
    """The clip of a scene: its video, `scene.points` queries, and their exact tracks.

    Equal, byte for byte, for the same scene, assets and backend. `assets` None is the pack shipped
    with the package; the backends are "numba", "triton" (on a GPU) and "reference" (slow, plain).
    """
    from tapnet.scenes import assets as packs
    from tapnet.scenes import clip

    return clip.render(scene, packs.load() if assets is None else assets, backend)


def extras(scene: Scene, assets: Assets | None = None) -> Extras:
    """Depth, instances, flow, cameras and 3-D tracks of the clip, worked out when asked for."""
    from tapnet.scenes import assets as packs
    from tapnet.scenes.truth import Extras

    return Extras(scene, packs.load() if assets is None else assets)
