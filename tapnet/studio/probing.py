"""Whether a file from a stranger is a video that we take: looked at in a process of its own.

That process has little memory and little time; only containers that hold a video themselves are
taken, since playlists would make FFmpeg open other files of this machine.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tapnet.studio.apart import answer, ask, told
from tapnet.studio.options import MAX_FRAMES, MAX_PIXELS

PATIENCE_SECONDS = 120.0

# FFmpeg's names of containers, and the suffixes of their files; the first is for those without.
CONTAINERS = {
    "mov,mp4,m4a,3gp,3g2,mj2": (".mp4", ".m4v", ".mov", ".3gp"),
    "matroska,webm": (".mkv", ".webm"),
    "avi": (".avi",),
    "mpegts": (".ts", ".mts", ".m2ts"),
    "mpeg": (".mpg", ".mpeg", ".vob"),
    "flv": (".flv",),
    "asf": (".wmv", ".asf"),
    "ogg": (".ogv", ".ogg"),
    "gif": (".gif",),
    "mxf": (".mxf",),
    "nut": (".nut",),
    "h264": (".h264", ".264"),
    "hevc": (".hevc", ".265"),
    "ivf": (".ivf",),
}
SUFFIXES = {suffix for suffixes in CONTAINERS.values() for suffix in suffixes}


@dataclass(frozen=True)
class Found:
    """What a file turned out to be."""

    container: str  # a key of CONTAINERS
    width: int
    height: int
    frames: int


def probe(path: Path) -> Found:
    """What video is in the file. Raises ValueError with one sentence when it is not taken."""
    said = ask(
        "probing",
        str(path),
        seconds=PATIENCE_SECONDS,
        late=f"expected a video that can be read in {PATIENCE_SECONDS:.0f} s, "
        "it takes longer; convert it to mp4",
        broken="expected a video, but reading the file fails; convert it to mp4",
    )
    return Found(**said)


def main(path: Path) -> dict[str, Any]:
    """`Found` as a dict, or {"error": sentence}."""
    greedy = "the file asks for more memory than a video may; convert it to mp4"
    said = told(lambda: _look(path), greedy)
    if "error" in said:
        said["error"] = said["error"].replace(f"{path}: ", "")
    return said


def _look(path: Path) -> dict[str, Any]:
    import av

    from tapnet import video

    try:
        with av.open(f"file:{path}") as container:
            kind = container.format.name
            sizes = [
                (s.codec_context.width, s.codec_context.height) for s in container.streams.video
            ]
    except av.FFmpegError:
        kind, sizes = "", []  # tapnet.video says what is wrong
    if kind and kind not in CONTAINERS:
        raise ValueError(f"expected a video, got a file of the kind {kind}; convert it to mp4")
    for width, height in sizes:
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"expected frames of {MAX_PIXELS / 1e6:.0f} million pixels at most, "
                f"got {width}x{height}; make them smaller"
            )
    found = video.open(path)
    if not 0 < len(found) <= MAX_FRAMES:
        raise ValueError(f"expected 1 to {MAX_FRAMES} frames, got {len(found)}; cut the video")
    return {
        "container": kind,
        "width": found.size[1],
        "height": found.size[0],
        "frames": len(found),
    }


if __name__ == "__main__":
    answer(lambda: main(Path(sys.argv[1])))
