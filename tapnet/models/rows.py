"""Tensors that have a row for each point, and go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """A frozen dataclass whose fields are tensors with M rows, one for each point."""

    def _tensors(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]

    def take(self, index: Tensor) -> Self:
        """The rows with these numbers, in that order."""
        return type(self)(*(x.index_select(0, index) for x in self._tensors()))

    def put(self, index: Tensor, some: Self) -> Self:
        """All rows, those with these numbers being `some`."""
        pairs = zip(self._tensors(), some._tensors(), strict=True)
        return type(self)(*(x.index_copy(0, index, y) for x, y in pairs))

    def where(self, mask: Tensor, other: Self) -> Self:
        """These rows where the mask [M] is true, the other's elsewhere."""
        pairs = zip(self._tensors(), other._tensors(), strict=True)
        return type(self)(
            *(torch.where(mask.view(-1, *[1] * (x.ndim - 1)), x, y) for x, y in pairs)
        )

    def split(self, count: int) -> list[Self]:
        """These rows, at most `count` at a time."""
        parts = (x.split(count) for x in self._tensors())
        return [type(self)(*part) for part in zip(*parts, strict=True)]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of all parts, one after another."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(torch.cat(x) for x in zip(*(part._tensors() for part in parts), strict=True)))
