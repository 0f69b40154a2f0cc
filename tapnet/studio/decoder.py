"""A process that decodes one video for the server, so that a hostile file can harm only this one.

Asked on stdin, a line of JSON a time; answers on stdout with a line of JSON, {"size": n} or
{"error": sentence}, then n bytes. While nothing is asked it reads ahead in the direction of travel.
"""

from __future__ import annotations

import json
import queue
import signal
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, BinaryIO

import cv2
import numpy as np

from tapnet import video
from tapnet.studio.options import DECODER_MEMORY, limit_memory

KEPT_BYTES = 160 << 20  # of decoded frames
NEAR = 32  # frames that are decoded on the way rather than sought
MOST_AHEAD = 16  # frames read before they are asked for
LONGEST_BLOCK = 48  # frames decoded together on the way back: each block starts at a keyframe
MOST_CURSORS = 4  # places of the file that are open: people look at different ones

_SETTINGS = {
    "jpg": [cv2.IMWRITE_JPEG_QUALITY, 90],
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    "webp": [cv2.IMWRITE_WEBP_QUALITY, 80],
}


class Pictures:
    """Frames of one video in any order, encoded; the last ones decoded stay in memory."""

    def __init__(self, path: str) -> None:
        self._video = video.open(path)
        height, width = self._video.size
        room = max(2, KEPT_BYTES // (3 * height * width))  # frames
        self._room, self._ahead = room, min(MOST_AHEAD, room // 3)
        self._block = min(LONGEST_BLOCK, room // 2)
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._cursors: OrderedDict[int, Iterator[np.ndarray]] = OrderedDict()  # by their next frame
        self._last, self._backward = -1, False  # so that frame 0 is read ahead

    def picture(self, n: int, height: int | None, kind: str) -> bytes:
        """Frame `n` as an image of `kind`, made smaller to `height` if it is higher."""
        self._backward, self._last = n < self._last, n
        image = self._frame(n)
        if height is not None and height < image.shape[0]:
            width = max(1, round(image.shape[1] * height / image.shape[0]))
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        encoded, content = cv2.imencode(
            f".{kind}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _SETTINGS[kind]
        )
        if not encoded:
            raise ValueError(f"frame {n}: the image of {image.shape} cannot be written as {kind}")
        return content.tobytes()

    def read_ahead(self) -> bool:
        """Decodes one frame that is likely to be asked for next; False if there is none."""
        step = -1 if self._backward else 1
        wanted = range(self._last + step, self._last + step * (self._ahead + 1), step)
        for n in wanted:
            if 0 <= n < len(self._video) and n not in self._kept:
                self._frame(n)
                return True
        return False

    def _frame(self, n: int) -> np.ndarray:
        if n not in self._kept:
            self._decode(n)
        self._kept.move_to_end(n)
        return self._kept[n]

    def _decode(self, n: int) -> None:
        if not 0 <= n < len(self._video):
            raise ValueError(f"frame {n}: the video has frames 0 to {len(self._video) - 1}")
        at = max((place for place in self._cursors if n - NEAR <= place <= n), default=None)
        if at is None:
            at = max(0, n + 1 - self._block) if self._backward else n
            frames = self._video.frames(at)
        else:
            frames = self._cursors.pop(at)
        for place in range(at, n + 1):
            self._kept[place] = next(frames)
        self._cursors[n + 1] = frames
        while len(self._cursors) > MOST_CURSORS:
            self._cursors.popitem(last=False)
        while len(self._kept) > self._room:
            self._kept.popitem(last=False)


def main() -> None:
    """Answers until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this one
    limit_memory(DECODER_MEMORY)
    cv2.setNumThreads(1)
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_lines, args=[asked], daemon=True).start()
    pictures: Pictures | None = None
    while True:
        while asked.empty() and pictures is not None and _quietly(pictures):
            pass
        line = asked.get()
        if not line:
            return
        pictures = _answer(json.loads(line), pictures, answers)


def _read_lines(asked: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        asked.put(line)
    asked.put("")


def _quietly(pictures: Pictures) -> bool:
    """Reads ahead; what goes wrong is told when the frame is asked for."""
    try:
        return pictures.read_ahead()
    except (ValueError, OSError, MemoryError, StopIteration):
        return False


def _answer(
    request: dict[str, Any], pictures: Pictures | None, answers: BinaryIO
) -> Pictures | None:
    content = b""
    try:
        if pictures is None:
            pictures = Pictures(request["path"])
        if "frame" in request:
            content = pictures.picture(request["frame"], request["height"], request["format"])
        said: dict[str, Any] = {"size": len(content)}
    except (ValueError, OSError) as error:
        said = {"error": " ".join(str(error).split())}
    except (MemoryError, cv2.error):
        said = {"error": "the video asks for more memory than it may have; convert it to mp4"}
    answers.write(json.dumps(said).encode() + b"\n" + content)
    answers.flush()
    return pictures


if __name__ == "__main__":
    main()
