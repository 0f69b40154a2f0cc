"""What users get: where each point went, in the pixels of the video they gave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tapnet.structs import check_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tapnet.video import Video


@dataclass(frozen=True)
class Tracks:
    """N points followed through T frames of one video, in raster pixels of that video.

    Times count the frames of the whole file, also when only a part of it was tracked: column `i`
    of `xy`, `visible` and `confidence` is frame `start + i`, and so is `t` in `query_points`.
    """

    query_points: np.ndarray  # [N, 3] float32 (t, y, x)
    xy: np.ndarray  # [N, T, 2] float32 (x, y)
    visible: np.ndarray  # [N, T] bool
    confidence: np.ndarray  # [N, T] float32 in 0..1: visible and in the right place
    size: tuple[int, int]  # (height, width) of the video
    fps: float | None = None  # None = not known
    start: int = 0  # index in the file of the first frame tracked

    def __post_init__(self) -> None:
        check_shapes(
            query_points=(self.query_points, "N 3"),
            xy=(self.xy, "N T 2"),
            visible=(self.visible, "N T"),
            confidence=(self.confidence, "N T"),
        )

    @property
    def stop(self) -> int:
        """Index in the file of the frame after the last one tracked."""
        return self.start + self.xy.shape[1]

    def save(self, path: str | Path, video: str | Path | np.ndarray | Video | None = None) -> None:
        """Write the tracks; the suffix chooses the format: `.npz`, `.csv` or `.pkl` (TAP-Vid).

        `video` is what was tracked; only `.pkl` needs it, since TAP-Vid files carry their frames.
        What each format holds is told in `tapnet.export`. Raises ValueError and OSError; a file
        that was there before stays whole when anything goes wrong.
        """
        from tapnet import export

        export.save(self, path, video)

    @classmethod
    def load(cls, path: str | Path, size: tuple[int, int] | None = None) -> Tracks:
        """Read what `save` wrote. `size` (height, width) is for `.csv` alone, which has none.

        `.npz` gives everything back; what the other formats leave out is told in `tapnet.export`.
        Raises FileNotFoundError, and ValueError when the file is not what its suffix says.
        """
        from tapnet import export

        return export.load(path, size)

    def draw(
        self,
        video: str | Path | np.ndarray | Video,
        path: str | Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Write the frames tracked, with the tracks painted on them, to the video file `path`.

        `video` is what was tracked; frames are read and written one by one. `progress` is called
        with the frames written and the frames in all. Raises ValueError when the video is another,
        and when `path` is its own file.
        """
        from tapnet.draw import draw
        from tapnet.video import write
        from tapnet.video.writing import written_rate

        clip, path = self.clip(video), Path(path)
        if clip.path is not None and path.exists() and path.samefile(clip.path):
            raise ValueError(f"{path}: is the video itself; give another name to write to")
        painted = draw(clip.frames(self.start, self.stop), self.xy, self.visible)
        if progress:
            painted = _counted(painted, self.stop - self.start, progress)
        write(path, painted, float(written_rate(clip.fps)))

    def clip(self, video: str | Path | np.ndarray | Video) -> Video:
        """`video` opened. Raises ValueError when these tracks cannot be of it."""
        from tapnet.video import open as open_video
        from tapnet.video import width_by_height

        clip = open_video(video)
        if clip.size != self.size or len(clip) < self.stop:
            raise ValueError(
                f"the tracks are of a video of {self.stop} or more frames of "
                f"{width_by_height(self.size)} pixels, the one given has {len(clip)} of "
                f"{width_by_height(clip.size)}; give the video that was tracked"
            )
        return clip


def _counted(
    frames: Iterable[np.ndarray], total: int, progress: Callable[[int, int], None]
) -> Iterator[np.ndarray]:
    for done, frame in enumerate(frames, start=1):
        yield frame
        progress(done, total)
