"""A video file, read frame by frame and exactly, with PyAV (FFmpeg).

A frame is named by its presentation time, never by `i / fps`: the index is the sorted presentation
times of the packets, made without decoding. Packets that an edit list discards are left out, so a
cut made by copying the stream (a phone's trim) has the frames that a player shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tapnet.video.reading import DEFAULT_FPS, Video

# Containers that find a keyframe by its time. Others are decoded from the start: MPEG program
# streams, for one, give frames another time after a seek than they had before (measured).
_SEEKABLE = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "flv", "avi"}
# No presentation times but decoding times, which these codecs shuffle: frames go by their order.
_NO_TIMES = {"avi", "h264", "hevc"}
_REORDERING = {"h264", "hevc"}
_TEXT = {"tty", "bin", "xbin", "adf", "idf"}  # FFmpeg paints text files as videos of a terminal


@dataclass(frozen=True)
class _Index:
    """The frames of a file, from its packets alone."""

    places: np.ndarray  # [T] int64, increasing: what names a frame; presentation times in ticks
    times: np.ndarray  # [T] float64 seconds
    keys: np.ndarray  # [K] int64: places where decoding can start; none = only at the beginning
    by_order: bool  # places count the frames as they come out of the decoder instead
    warnings: list[str]


class FileVideo(Video):
    """A video file. Every iteration opens the file for itself, so several can run at once."""

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self._stored, self._matrix = _probe(path)
        self._index, rate = _read_index(path)
        height, width = self._stored
        self.size = (width, height) if _on_its_side(self._matrix) else (height, width)
        self.times = self._index.times
        self.fps = _average_rate(self.times, rate)
        self.warnings = self._index.warnings

    def _decode(self, start: int, stop: int) -> Iterator[np.ndarray]:
        shown = self._converter()
        wanted = iter(self._index.places[start:stop].tolist())
        place, last = next(wanted), None
        for at, frame in self._decoded_from(start):
            while place is not None and place <= at:
                if place < at:
                    self._warn("some frames do not decode: the one before is shown in their place")
                yield shown(frame if place == at or last is None else last)
                place = next(wanted, None)
            if place is None:
                return
            last = frame
        self._warn("the last frames do not decode: the last good one is shown in their place")
        for _ in (place, *wanted):
            yield shown(last)

    def _decoded_from(self, start: int) -> Iterator[tuple[int, Any]]:
        """(place, frame) from a keyframe at or before frame `start` on."""
        wanted = self._index.places[start]
        for key in self._keys_before(wanted):
            with _open(self.path) as container:
                stream = _video_stream(container, self.path)
                stream.thread_type = "AUTO"
                if key is not None:
                    container.seek(key, stream=stream)
                frames = _frames(container, stream, self._warn)
                if self._index.by_order:
                    yield from enumerate(frames)
                    return
                frames = (frame for frame in frames if frame.pts is not None)
                first = next(frames, None)
                if first is not None and (key is None or first.pts <= wanted):
                    yield from ((frame.pts, frame) for frame in chain([first], frames))
                    return

    def _keys_before(self, place: int) -> Iterator[int | None]:
        """Where to try to start: the last keyframe, earlier ones in widening steps, None = 0."""
        k, step = int(np.searchsorted(self._index.keys, place, "right")) - 1, 1
        while k > 0:
            yield int(self._index.keys[k])
            k, step = k - step, step * 2
        yield None

    def _converter(self) -> Callable[[Any], np.ndarray]:
        from av.video.reformatter import VideoReformatter

        reformatter, (height, width) = VideoReformatter(), self._stored

        def shown(frame: Any) -> np.ndarray:
            if (frame.height, frame.width) != (height, width):
                self._warn("not all frames have the size of the first: they are resized to it")
            rgb = reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
            return rgb if self._matrix is None else _turn(rgb, self._matrix)

        return shown

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def _open(path: Path) -> Any:
    """The file's container; "file:" keeps FFmpeg from taking `a:b.mp4` for a protocol."""
    import av

    if not path.is_file():
        raise ValueError(
            f"{path}: expected a file, got a pipe or a device; save it to a file first"
        )
    if path.stat().st_size == 0:
        raise ValueError(
            f"{path}: expected a video, but the file is empty; copy or record it again"
        )
    unknown = ValueError(
        f"{path}: expected a video, but FFmpeg does not know this format; "
        "check that the file is a video and that it is complete"
    )
    try:
        container = av.open(f"file:{path}")
    except av.FFmpegError as error:
        with path.open("rb") as file:
            head = file.read(8)
        if head[4:] == b"ftyp":
            raise ValueError(
                f"{path}: expected a whole mp4, but its index (moov) is missing: the recording "
                "or the copy was cut short; copy it again, or mend it with a tool such as untrunc"
            ) from error
        raise unknown from error
    if container.format.name in _TEXT:
        container.close()
        raise unknown
    return container


def _video_stream(container: Any, path: Path) -> Any:
    from av.stream import Disposition

    best = container.streams.best("video")  # not a cover, though it be the first
    for stream in (*([best] if best else ()), *container.streams.video):
        if not stream.disposition & Disposition.attached_pic:
            return stream
    kinds = {"a cover" if s.type == "video" else s.type for s in container.streams}
    raise ValueError(
        f"{path}: expected a video, but the file holds only {' and '.join(sorted(kinds))}; "
        "choose another file"
    )


def _packets(container: Any, stream: Any, warn: Callable[[str], None]) -> Iterator[Any]:
    """Whole packets, then one that is empty and makes the decoder give what it holds."""
    import av

    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                warn("the file is damaged or cut short: incomplete frames are left out")
            else:
                yield packet
    except av.FFmpegError as error:
        warn(f"the file cannot be read to its end ({error.strerror})")


def _frames(container: Any, stream: Any, warn: Callable[[str], None]) -> Iterator[Any]:
    """Frames that decode; packets that do not are passed over."""
    import av

    for packet in _packets(container, stream, warn):
        try:
            yield from stream.decode(packet)
        except av.FFmpegError as error:
            warn(f"a part of the file is damaged ({error.strerror})")


def _is_moving_webp(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(21)
    return len(head) == 21 and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def _probe(path: Path) -> tuple[tuple[int, int], np.ndarray | None]:
    """Stored size (height, width) and display matrix [2, 2] of the first frame that decodes."""
    with _open(path) as container:
        stream = _video_stream(container, path)
        frame = next(_frames(container, stream, lambda text: None), None)
        if frame is None:
            codec = stream.codec_context.name
            raise ValueError(
                f"{path}: expected a video, but no frame of it decodes (codec {codec}); "
                + (
                    "FFmpeg knows no animated WebP: save it as GIF, PNG or mp4"
                    if _is_moving_webp(path)
                    else "the file is damaged or cut short"
                )
            )
        return (frame.height, frame.width), _display_matrix(frame)


def _display_matrix(frame: Any) -> np.ndarray | None:
    """[2, 2], or None where a frame is shown as it is stored."""
    try:
        stored = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18 gives none where it does not know one of them, such as EXIF
        turns = round(frame.rotation / 90) % 4
        cos, sin = (1, 0, -1, 0)[turns], (0, 1, 0, -1)[turns]
        matrix = np.array([[cos, -sin], [sin, cos]], np.int32)
    else:
        if stored is None:
            return None
        matrix = np.frombuffer(bytes(stored), np.int32)[[0, 1, 3, 4]].reshape(2, 2)
    return None if matrix[0, 0] > 0 and matrix[1, 1] > 0 else matrix


class _Packet(NamedTuple):
    pts: int | None
    dts: int | None
    key: bool
    discard: bool


def _read_index(path: Path) -> tuple[_Index, Fraction | None]:
    """The index, and the average rate that the container claims."""
    warnings: dict[str, None] = {}  # an ordered set
    with _open(path) as container:
        stream = _video_stream(container, path)
        hides = stream.codec_context.name == "vp8"
        packets = [
            _Packet(p.pts, p.dts, p.is_keyframe, p.is_discard or (hides and not _vp8_shows(p)))
            for p in _packets(container, stream, warnings.setdefault)
            if p.size
        ]
        index = _index_of(packets, stream, container.format.name)
        count = len(packets)
        if container.format.name == "avi" and packets:  # whose header counts repeated frames, too
            count = max(count, (packets[-1].dts or 0) + 1)
        index.warnings.extend([*warnings, *_promises_broken(stream, count, index.times)])
        return index, stream.average_rate


def _vp8_shows(packet: Any) -> bool:
    """False for a frame that only serves as a reference (RFC 6386, 9.1: show_frame)."""
    return bool(bytes(packet)[0] & 16)


def _index_of(packets: list[_Packet], stream: Any, kind: str) -> _Index:
    first = next((i for i, p in enumerate(packets) if p.key), 0)
    packets = packets[first:]  # without a keyframe before them, frames do not decode
    shown = [p for p in packets if not p.discard]
    codec, tick, rate = stream.codec_context.name, stream.time_base, stream.average_rate
    reordered = kind in _NO_TIMES and codec in _REORDERING and not all(p.key for p in packets)
    pts = sorted(p.pts for p in shown if p.pts is not None)
    dts = [p.dts for p in packets if p.dts is not None]
    joined = any(later < earlier for earlier, later in pairwise(dts))  # of parts, one after another
    if len(set(pts)) < len(shown) or reordered or joined:
        dts = sorted({p.dts for p in shown if p.dts is not None})
        places = np.arange(len(shown))
        timed = len(dts) == len(shown) and not joined
        times = np.asarray(dts) * float(tick) if timed else places / float(rate or DEFAULT_FPS)
        return _Index(places, times, np.empty(0, np.int64), True, [])
    begin = packets[0].pts if packets and packets[0].pts is not None else 0
    leading = 0 if packets[0].discard else int(np.searchsorted(pts, begin))
    places = np.asarray(pts[leading:], np.int64)  # leading frames refer to some before the file
    keys = sorted({p.pts for p in packets if p.key and p.pts is not None})
    seeks = np.asarray(keys if kind in _SEEKABLE else [], np.int64)
    return _Index(places, places * float(tick), seeks, False, [])


def _promises_broken(stream: Any, packets: int, times: np.ndarray) -> list[str]:
    """What tells a file that was cut short: fewer frames or seconds than its header says."""
    broken = "the file is cut short: it promises {}, {} can be read"
    if packets < stream.frames:
        return [broken.format(f"{stream.frames} frames", len(times))]
    stated = re.match(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))  # Matroska
    if stated and len(times):
        hours, minutes, seconds = map(float, stated.groups())
        promised = 3600 * hours + 60 * minutes + seconds
        if times[-1] + 1 / _average_rate(times, stream.average_rate) < promised - 0.5:
            return [broken.format(f"{promised:.1f} s", f"{times[-1]:.1f} s")]
    return []


def _average_rate(times: np.ndarray, stated: Fraction | None) -> float:
    if len(times) < 2:
        return float(stated or DEFAULT_FPS)
    measured = float((len(times) - 1) / (times[-1] - times[0]))
    return float(stated) if stated and abs(stated / measured - 1) < 0.01 else measured


def _on_its_side(matrix: np.ndarray | None) -> bool:
    return matrix is not None and abs(matrix[0, 1]) > abs(matrix[0, 0])


def _turn(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The image as shown: x' = a x + c y, y' = b x + d y for the matrix [[a, b], [c, d]]."""
    (a, b), (c, d) = matrix
    if _on_its_side(matrix):
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
