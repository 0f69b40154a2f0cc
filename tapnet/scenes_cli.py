"""`tapnet scenes ...`: render clips, build asset packs, describe clips, the validation set."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from tapnet.progress import Progress

if TYPE_CHECKING:
    from tapnet.scenes import Settings
    from tapnet.structs import Example

Pack = Annotated[
    Path | None, arg(metavar="DIR", help_behavior_hint="(default: the pack that is shipped)")
]
Workers = Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: one per CPU)")]
Preset = Literal["default", "wild"]
Size = Annotated[str, arg(metavar="HxW")]
Folders = Annotated[
    tuple[Path, ...], arg(metavar="[DIR ...]", help_behavior_hint="(default: none)")
]


def render(
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    count: int = 100,
    frames: int = 24,
    size: Size = "256x256",
    points: int = 256,
    samples: int = 4,
    preset: Preset = "default",
    seed: int = 0,
    part: Literal["train", "validation"] = "train",
    pack: Pack = None,
    workers: Workers = None,
    backend: Literal["numba", "triton"] = "numba",
) -> None:
    """Render clips with exact tracks into WebDataset shards; a stopped run goes on.

    For example:
      tapnet scenes render clips --count 1000 --frames 24 --size 256x256 --seed 1 --workers 4

    Args:
        out: Folder for the shards; it is made if it is not there.
        count: How many clips. A larger count later adds to those that are there.
        frames: Frames of each clip.
        size: Size of the frames, height first.
        points: Tracks of each clip.
        samples: Moments averaged into each frame: more is smoother and slower.
        preset: default is near real footage; wild moves faster and hides more.
        seed: The same seed gives the same clips, whatever the number of workers.
        part: Which objects, textures and seeds; those of validation are never trained on.
        pack: Objects and textures, as made by `tapnet scenes assets`.
        workers: Processes that render; 0 renders in this one.
        backend: numba renders on CPUs, triton on a GPU.
    """
    from tapnet.data import shards
    from tapnet.data.synthetic import Recipe

    settings = _settings(preset, frames, size, points, samples)
    recipe = Recipe(seed, settings, pack, part, backend)
    with Progress("rendering", "clips") as progress:
        done = shards.write(out, recipe, count, workers=_count(workers), progress=progress)
    others = "" if done == count else ", the others were there"
    print(f"rendered {done} of {count} clips into {out}{others}")


def assets(
    folder: Annotated[Positional[Path], arg(metavar="DIR")],
    /,
    sources: Annotated[
        tuple[str, ...] | None, arg(metavar="NAME ...", help_behavior_hint="(default: all)")
    ] = None,
    photos: Folders = (),
    textures: Folders = (),
    meshes: Folders = (),
    permissive: FlagCreatePairsOff[bool] = False,
    cache: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: downloads are not kept)")
    ] = None,
) -> None:
    """Build a large pack of objects and textures from Debian and PyPI packages and own folders.

    For example:
      tapnet scenes assets pack --sources deb:sweethome3d-furniture pypi:miniworld
      tapnet scenes assets pack --sources none --meshes scans --photos holiday --textures stone

    Args:
        folder: The pack. A build that was stopped goes on when called again.
        sources: Packages to take from; "none" takes only your own folders, beside the
            patterns that are computed.
        photos: Folders of your images to be hung on walls.
        textures: Folders of your images to cover floors and things.
        meshes: Folders of your .obj and .glb files.
        permissive: Leave out what is share-alike, GPL or of unknown licence.
        cache: Folder for downloaded packages, kept and used again.
    """
    from tapnet.scenes import sources as packages

    names = () if sources == ("none",) else sources
    choice = packages.Choice(names, photos, textures, meshes, permissive)
    count = packages.build(
        folder, choice, cache=cache, progress=lambda text: print(text, file=sys.stderr)
    )
    print(f"wrote {folder}: {count} items, listed with their licences in manifest.json")


def stats(
    clips: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="[CLIPS ...]", help_behavior_hint="(default: none)"),
    ] = (),
    /,
    count: int = 20,
    preset: Preset = "default",
    frames: int = 24,
    size: Size = "256x256",
    pack: Pack = None,
    workers: Workers = None,
) -> None:
    """Describe how points move and hide, in rendered clips and in others beside them.

    For example:
      tapnet scenes stats --count 50
      tapnet scenes stats tapvid_davis.pkl --preset wild

    Args:
        clips: TAP-Vid pickles or folders of shards to describe too.
        count: How many clips to render; 0 describes the given ones only.
        preset: Which mix of scenes to render.
        frames: Frames of each clip rendered.
        size: Size of the frames, height first.
        pack: Objects and textures, as made by `tapnet scenes assets`.
        workers: Processes that render; 0 renders in this one.
    """
    from tapnet.data.synthetic import Recipe, Synthetic, loader
    from tapnet.scenes.stats import describe

    names = [path.name for path in clips]
    columns = {
        path.name if names.count(path.name) == 1 else str(path): describe(_clips(path))
        for path in clips
    }
    if count:
        recipe = Recipe(0, _settings(preset, frames, size, 256, 1), pack)
        rendered = loader(Synthetic(recipe, count), _count(workers))
        columns[f"scenes, {preset}"] = describe(rendered)
    if not columns:
        raise ValueError("expected clips to describe, got none; name a file or raise --count")
    print(" " * 24 + "".join(f"{name[-22:]:>24}" for name in columns))
    for row in next(iter(columns.values())):
        print(f"{row:<24}" + "".join(f"{column[row]:>24.3f}" for column in columns.values()))


def validation(
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    pack: Pack = None,
    workers: Workers = None,
) -> None:
    """Render the fixed validation set: 40 clips of 24 frames and 10 of 96, as TAP-Vid pickles.

    For example:
      tapnet scenes validation held_out

    Args:
        out: Folder for scenes-24.pkl, scenes-96.pkl and validation.json.
        pack: Objects and textures, as made by `tapnet scenes assets`.
        workers: Processes that render; 0 renders in this one.
    """
    from tapnet.data import validation as held_out

    with Progress("rendering", "clips") as progress:
        hashes = held_out.write(out, pack, workers=_count(workers), progress=progress)
    for name, digest in hashes.items():
        print(f"wrote {out / name}, SHA-256 {digest}")


SCENES: dict[str, Callable[..., None]] = {
    "render": render,
    "assets": assets,
    "stats": stats,
    "validation": validation,
}


def _settings(preset: Preset, frames: int, size: str, points: int, samples: int) -> Settings:
    from dataclasses import replace

    from tapnet.cli import size_of
    from tapnet.scenes import PRESETS

    return replace(
        PRESETS[preset], frames=frames, size=size_of(size, "size"), points=points, samples=samples
    )


def _count(workers: int | None) -> int:
    if workers is not None and workers < 0:
        raise ValueError(f"workers: expected 0 or more processes, got {workers}")
    return (os.cpu_count() or 1) if workers is None else workers


def _clips(path: Path) -> Iterator[Example]:
    from tapnet.data import shards, tapvid

    if path.suffix == ".tar" or (path.is_dir() and any(path.glob("*.tar"))):
        return shards.read(path)
    return tapvid.examples(path)
