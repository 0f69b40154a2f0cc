"""The fixed synthetic validation set: clips of held-out objects, textures and seeds.

40 clips of 24 frames and 10 of 96, 256x256, 64 points each, in the layout of TAP-Vid. Made again
by one command, the same bytes on the same machine; docs/scenes.md describes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tapnet.data import tapvid
from tapnet.data.synthetic import Recipe, Synthetic, loader
from tapnet.files import replacing
from tapnet.scenes import Settings
from tapnet.structs import Example

SEED = 0  # of the validation part, whose scenes have other seeds than any of the training part
SETTINGS = Settings(size=(256, 256), points=64)


@dataclass(frozen=True)
class Group:
    """Clips of one length."""

    clips: int
    frames: int
    first: int = 0  # index of the first clip in the list of the recipe


GROUPS = {"scenes-24": Group(40, 24), "scenes-96": Group(10, 96, first=1000)}


def write(
    out: str | Path,
    pack: str | Path | None = None,
    *,
    workers: int = 0,
    groups: Mapping[str, Group] = GROUPS,
    settings: Settings = SETTINGS,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Renders the set into folder `out`: a pickle for each group and validation.json about them.

    Returns the SHA-256 of each file. `pack` None = the shipped pack; the set of a large pack is
    another one. Errors as `Recipe.example` and `tapvid.write`.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    total, done = sum(group.clips for group in groups.values()), 0
    recipe = Recipe(SEED, settings, pack, "validation")

    def counted(clips: Iterator[Example]) -> Iterator[Example]:
        nonlocal done
        for clip in clips:
            done += 1
            if progress:
                progress(done, total)
            yield clip

    hashes = {}
    for name, group in groups.items():
        part = replace(recipe, settings=of_length(settings, group.frames))
        path = folder / f"{name}.pkl"
        tapvid.write(
            path, counted(loader(Synthetic(part, group.clips, start=group.first), workers))
        )
        hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    about = {
        "seed": SEED,
        "part": "validation",
        "assets": recipe.assets().fingerprint,
        "settings": asdict(settings),
        "groups": {name: asdict(group) for name, group in groups.items()},
        "files": hashes,
    }
    with replacing(folder / "validation.json") as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n")
    return hashes


def of_length(settings: Settings, frames: int) -> Settings:
    """The settings for clips of `frames` frames."""
    return replace(settings, frames=frames)
