"""Single frames of videos as images: a process for each video that is looked at, and a cache."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

FORMATS = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
CACHE_BYTES = 256 << 20  # of encoded frames, all videos together
MOST_DECODERS = 4  # videos that are open at a time
PATIENCE_SECONDS = 30.0  # for one frame: the first of a long video takes a few


class DecoderLost(Exception):
    """The process ended, or took too long."""


class Decoder:
    """The server's end of a `tapnet.studio.decoder`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tapnet.studio.decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.turn = asyncio.Lock()  # of those who ask
        self._lock = threading.Lock()  # of threads whose asker gave up

    def ask(self, request: dict[str, Any]) -> bytes:
        """The bytes of the answer. Raises ValueError with its sentence, and DecoderLost."""
        with self._lock:
            return self._ask(request)

    def _ask(self, request: dict[str, Any]) -> bytes:
        assert self._process.stdin
        assert self._process.stdout
        impatience = threading.Timer(PATIENCE_SECONDS, self._process.kill)
        impatience.start()
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            said = json.loads(self._process.stdout.readline() or "null")
            content = self._process.stdout.read(said.get("size", 0)) if said else b""
        except (OSError, ValueError) as error:  # a pipe that is broken, half a line
            raise DecoderLost from error
        finally:
            impatience.cancel()
        if said is None or len(content) < said.get("size", 0):
            raise DecoderLost
        if "error" in said:
            raise ValueError(said["error"])
        return content

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            with contextlib.suppress(BrokenPipeError):  # what it never read
                pipe.close()


class FrameServer:
    """Frames of any video, asked for from one event loop."""

    def __init__(self) -> None:
        self._decoders: OrderedDict[str, Decoder] = OrderedDict()  # the one used last is last
        self._spare: Decoder | None = None
        self._cache = Cache(CACHE_BYTES)

    def start(self) -> None:
        """Starts a process in advance: importing takes longer than the first frame may."""
        self._spare = self._spare or Decoder()

    def close(self) -> None:
        for decoder in (*self._decoders.values(), *([self._spare] if self._spare else [])):
            decoder.close()
        self._decoders.clear()
        self._spare = None

    async def prepare(self, path: Path, stamp: str) -> None:
        """Opens a video whose frames will be asked for soon."""
        if _name(path, stamp) not in self._decoders:
            decoder = self._decoder(_name(path, stamp))
            with contextlib.suppress(ValueError, DecoderLost):  # told when a frame is asked for
                async with decoder.turn:
                    await asyncio.to_thread(decoder.ask, {"path": str(path)})

    async def image(
        self,
        path: Path,
        stamp: str,
        frame: int,
        height: int | None,
        kind: str,
        gone: Callable[[], Awaitable[bool]],
    ) -> bytes | None:
        """The frame as an image of `kind`; None if who asked is `gone` before its turn.

        `stamp` tells versions of a file apart. Raises ValueError for what cannot be decoded.
        """
        key = (str(path), stamp, frame, height, kind)
        if (image := self._cache.get(key)) is not None:
            return image
        request = {"path": str(path), "frame": frame, "height": height, "format": kind}
        for _ in range(2):  # a process that was lost is started again, once
            decoder = self._decoder(_name(path, stamp))
            async with decoder.turn:
                if (image := self._cache.get(key)) is not None or await gone():
                    return image
                try:
                    image = await asyncio.to_thread(decoder.ask, request)
                except DecoderLost:
                    self._forget(decoder)
                    continue
                self._cache.put(key, image)
                return image
        raise ValueError(
            f"frame {frame}: decoding it took more than {PATIENCE_SECONDS:.0f} s or ended its "
            "process; convert the video to mp4"
        )

    def _decoder(self, name: str) -> Decoder:
        """That of the video, at hand or new; the one that was used longest ago gives way."""
        if name not in self._decoders:
            self._decoders[name] = self._spare or Decoder()
            self._spare = Decoder()
        self._decoders.move_to_end(name)
        if len(self._decoders) > MOST_DECODERS:
            idle = [n for n, decoder in self._decoders.items() if not decoder.turn.locked()]
            self._decoders.pop(idle[0] if idle[0] != name else next(iter(self._decoders))).close()
        return self._decoders[name]

    def _forget(self, lost: Decoder) -> None:
        _log.warning("a process that decodes a video ended; it is started again")
        for name in [n for n, decoder in self._decoders.items() if decoder is lost]:
            del self._decoders[name]
        lost.close()


class Cache:
    """Contents by key, at most `size` bytes of them: those used longest ago are dropped."""

    def __init__(self, size: int) -> None:
        self._size, self._used = size, 0
        self._kept: OrderedDict[Any, bytes] = OrderedDict()

    def get(self, key: Any) -> bytes | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: Any, content: bytes) -> None:
        self._used += len(content) - len(self._kept.pop(key, b""))
        self._kept[key] = content
        while self._used > self._size:
            self._used -= len(self._kept.popitem(last=False)[1])


def _name(path: Path, stamp: str) -> str:
    return f"{path} {stamp}"
