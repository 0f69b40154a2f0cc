"""Labelled videos. `DATASETS` names the formats that are read; each gives one clip at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tapnet.data import tapvid

DATASETS: dict[str, Callable[..., Iterator[tapvid.Clip]]] = {"tapvid": tapvid.read}
