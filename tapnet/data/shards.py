"""Clips rendered once and kept: WebDataset shards (tar files) in a folder.

    dataset.json                 how the clips were made
    clips-00000.tar              for each clip, in order:
        clip-000000.json             its name, size, number of frames, scene seed
        clip-000000.tracks.npz       query_points [N,3], target_points [N,T,2], occluded [N,T]
        clip-000000.frame-0000.jpg   ... one JPEG (4:4:4) per frame

A shard appears when it is whole, never before; a writer that was stopped goes on with the shards
that are missing. Equal recipes give equal files.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset

from tapnet.data.synthetic import Recipe, as_it_is
from tapnet.files import replacing
from tapnet.pickles import UNREADABLE
from tapnet.scenes.assets import load as load_assets
from tapnet.structs import Example

PER_SHARD = 32
QUALITY = 95
Progress = Callable[[int, int], None]  # clips done, clips in all
Files = dict[str, bytes]  # name in the tar -> content
_KINDS = {"query_points": "iuf", "target_points": "iuf", "occluded": "biu"}


def write(
    out: str | Path,
    recipe: Recipe,
    count: int,
    *,
    workers: int = 0,
    per_shard: int = PER_SHARD,
    progress: Progress | None = None,
) -> int:
    """Renders clips 0..count-1 of a recipe into shards; the number of clips rendered now.

    Shards that are there are kept. Raises ValueError when `out` holds clips of another recipe,
    OSError on a full disk (the finished shards stay).
    """
    if count < 0 or per_shard < 1:
        raise ValueError(f"expected count >= 0 and per_shard >= 1, got {count} and {per_shard}")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".clips-*.tar"):
        left.unlink()  # of a writer that was killed
    recipe.assets()  # read once, before processes fork
    _agree(folder, {**_description(recipe), "per_shard": per_shard})
    shards = [
        (
            folder / f"clips-{first // per_shard:05d}.tar",
            range(first, min(first + per_shard, count)),
        )
        for first in range(0, count, per_shard)
    ]
    shards = [(path, clips) for path, clips in shards if not _is_done(path, clips)]
    indices = [index for _, clips in shards for index in clips]
    done = count - len(indices)
    encoded = iter(
        DataLoader(_Encoded(recipe, indices), None, num_workers=workers, collate_fn=as_it_is)
    )
    for path, clips in shards:
        try:
            with replacing(path) as temporary, tarfile.open(temporary, "w") as tar:
                for _ in clips:
                    add(tar, next(encoded))
                    done += 1
                    if progress:
                        progress(done, count)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            kept = len(list(folder.glob("clips-*.tar")))
            raise OSError(
                errno.ENOSPC,
                f"the disk is full; {kept} finished shards are kept: make room and run again",
                str(folder),
            ) from error
    return len(indices)


def read(path: str | Path) -> Iterator[Example]:
    """The clips of a shard, or of a folder of shards, one in memory at a time.

    Raises FileNotFoundError when there are none, ValueError naming the file that is damaged.
    """
    for shard in files(path):
        with _tar(shard) as tar:
            for name, content in _clips(tar):
                yield _example(shard, name, content)


def places(shard: Path) -> list[tuple[int, int]]:
    """The bytes (first, last + 1) of each clip of a shard, for `read_at`; frames are not read.

    Raises ValueError naming the file if it is damaged.
    """
    found: list[tuple[int, int]] = []
    last = ""
    with _tar(shard) as tar:
        for member in tar:
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            key = _key(member)
            if key == last:
                found[-1] = (found[-1][0], end)
            else:
                found.append((member.offset, end))
            last = key
    return found


def read_at(shard: Path, place: tuple[int, int]) -> Example:
    """The clip in these bytes of a shard. Raises as `read` does."""
    with open(shard, "rb") as file:
        file.seek(place[0])
        data = io.BytesIO(file.read(place[1] - place[0]))
    with _tar(shard, data) as tar:
        for name, content in _clips(tar):
            return _example(shard, name, content)
    raise _damaged(shard, f"there is no clip at byte {place[0]}")


@contextmanager
def _tar(shard: Path, data: io.BytesIO | None = None) -> Iterator[tarfile.TarFile]:
    """The shard, or a part of it, open; errors of tar files become ValueErrors about the shard."""
    try:
        with tarfile.open(shard, fileobj=data) as tar:
            yield tar
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(shard, error) from error


def _damaged(shard: Path, what: object) -> ValueError:
    return ValueError(f"{shard}: expected a tar of clips, but {what}; delete it and render again")


def files(path: str | Path) -> list[Path]:
    """The finished shards in a folder, by name; or the one file given."""
    path = Path(path)
    if path.is_file():
        return [path]
    found = sorted(path.glob("[!.]*.tar"))  # a dot: still being written
    if not found:
        raise FileNotFoundError(
            f"{path}: expected a folder of .tar shards, "
            f"{'there are none in it' if path.is_dir() else 'no such folder'}; "
            f"make some with `tapnet scenes render {path}`"
        )
    return found


class _Encoded(Dataset[Files]):
    """Clips of a recipe as the files of a shard."""

    def __init__(self, recipe: Recipe, indices: Sequence[int]) -> None:
        self._recipe, self._indices = recipe, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> Files:
        index = self._indices[position]
        example = self._recipe.example(index)
        return encode(f"clip-{index:06d}", example, {"scene": self._recipe.scene(index).seed})


def encode(key: str, example: Example, extra: dict[str, Any]) -> Files:
    """The files of one clip. `key` has no dot."""
    described = {
        "name": example.name,
        "frames": len(example.video),
        "size": list(example.size),
        **extra,
    }
    tracks = io.BytesIO()
    np.savez_compressed(
        tracks,
        query_points=example.query_points,
        target_points=example.target_points,
        occluded=example.occluded,
    )
    found = {f"{key}.json": json.dumps(described).encode(), f"{key}.tracks.npz": tracks.getvalue()}
    for number, frame in enumerate(example.video):
        found[f"{key}.frame-{number:04d}.jpg"] = _jpeg(frame)
    return found


def _jpeg(frame: np.ndarray) -> bytes:
    settings = [
        *(cv2.IMWRITE_JPEG_QUALITY, QUALITY),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), settings)
    assert done
    return data.tobytes()


def add(tar: tarfile.TarFile, content: Files) -> None:
    """With no time and no owner, so that equal clips give equal bytes."""
    for name, data in content.items():
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def _description(recipe: Recipe) -> dict[str, Any]:
    """What decides the content of the clips; the place of the pack does not."""
    return {
        "format": 1,
        "seed": recipe.seed,
        "part": recipe.part,
        "backend": recipe.backend,
        "assets": load_assets(recipe.pack).fingerprint,
        "settings": json.loads(json.dumps(dataclasses.asdict(recipe.settings))),
        "jpeg_quality": QUALITY,
    }


def _agree(folder: Path, description: dict[str, Any]) -> None:
    """Writes dataset.json, or checks that the one there says the same."""
    path = folder / "dataset.json"
    if not path.is_file() or not any(folder.glob("*.tar")):
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(description, indent=1) + "\n")
        return
    try:
        there = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, but {error}; delete the folder") from error
    differing = [key for key in description if there.get(key) != description[key]]
    if differing:
        key = differing[0]
        raise ValueError(
            f"{folder}: expected an empty folder or clips made alike; those in it have "
            f"{key} = {there.get(key)}, asked was {description[key]}; take another folder"
        )


def _is_done(path: Path, clips: range) -> bool:
    """Whether the shard is there with all its clips, and whole.

    A smaller one is of a smaller count; one that was cut lacks the zeros at the end of a tar.
    """
    if not path.is_file():
        return False
    end = bytes(2 * tarfile.BLOCKSIZE)
    with open(path, "rb") as file:
        file.seek(-min(path.stat().st_size, len(end)), os.SEEK_END)
        if file.read() != end:
            return False
    try:
        return len(places(path)) >= len(clips)
    except ValueError:
        return False


def _clips(tar: tarfile.TarFile) -> Iterator[tuple[str, Files]]:
    """(key, files by extension) of each clip; the files of a clip follow one another."""
    key = ""
    content: Files = {}
    for member in tar:
        stored = tar.extractfile(member)
        if stored is None:
            continue
        name, extension = _key(member), Path(member.name).name.partition(".")[2]
        if name != key and content:
            yield key, content
            content = {}
        key = name
        content[extension] = stored.read()
    if content:
        yield key, content


def _key(member: tarfile.TarInfo) -> str:
    """What names the clip that a file belongs to."""
    return Path(member.name).name.partition(".")[0]


def _example(shard: Path, key: str, content: Files) -> Example:
    try:
        described = json.loads(content["json"])
        with np.load(io.BytesIO(content["tracks.npz"])) as tracks:
            arrays = {name: tracks[name] for name in tracks}
        for name, kinds in _KINDS.items():
            if arrays[name].dtype.kind not in kinds:
                raise ValueError(f"{name} is of {arrays[name].dtype}")
        if described["frames"] > len(content):
            raise ValueError(f"there are fewer than {described['frames']} frames")
        names = [f"frame-{number:04d}.jpg" for number in range(described["frames"])]
        return Example(
            name=described["name"],
            video=np.stack([_decode(content[name]) for name in names]),
            query_points=arrays["query_points"],
            target_points=arrays["target_points"],
            occluded=arrays["occluded"].astype(bool),
        )
    except (*UNREADABLE, KeyError, ValueError) as error:
        raise ValueError(
            f"{shard}, {key}: expected json, tracks.npz and all frames of a clip, but {error}; "
            "delete the shard and render it again"
        ) from error


def _decode(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise ValueError(f"a frame of {len(data)} bytes does not decode")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
