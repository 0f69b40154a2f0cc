"""What a training measures: lines of JSON, and TensorBoard where it is installed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tapnet.files import replacing

_log = logging.getLogger(__name__)


class Lines:
    """A file of one JSON object a line, each with a "step"."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[dict[str, Any]]:
        """What was written so far; lines that a process killed, or a power cut, left are not."""
        if not self._path.exists():
            return []
        lines = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        found = (_read(line) for line in lines[:-1])  # what follows the last \n is unfinished
        return [line for line in found if line is not None]

    def keep_until(self, step: int) -> None:
        """Removes what was written after a step: a resumed training will write it again."""
        if not self._path.exists():
            return
        kept = [line for line in self.read() if line["step"] <= step]
        with replacing(self._path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def write(self, step: int, content: Mapping[str, Any]) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **content}) + "\n")


def _read(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) and "step" in content else None


class Board:
    """TensorBoard's file in a folder; does nothing where TensorBoard is not installed."""

    def __init__(self, folder: Path, step: int) -> None:
        """`step`: what an earlier process wrote of later steps is hidden."""
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            _log.info(
                "TensorBoard is not installed, so only log.jsonl and scores.jsonl are written; "
                "for curves in the browser: pip install 'tapnet[train]'"
            )
            return
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def animation(self, step: int, name: str, gif: bytes, size: tuple[int, int]) -> None:
        """A GIF of `size` (height, width), shown among the images."""
        if self._writer is None:
            return
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(height=size[0], width=size[1], colorspace=3, encoded_image_string=gif)
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._writer._get_file_writer().add_summary(summary, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
