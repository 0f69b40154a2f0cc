"""How a score was taken: all that must be known before two scores are compared."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch

import tapnet
from tapnet.data import DATASETS, Dataset
from tapnet.geometry import Resolution as Given
from tapnet.geometry import Size, checked_resolution, fitted
from tapnet.metrics import QueryMode
from tapnet.models.layers import bounding_memory

Resolution = Size | int | Literal["native", "model"]
ResizeFilter = Literal["lanczos", "bilinear"]
Direction = Literal["both", "forward"]

OFFICIAL: Size = (256, 256)  # what TAP-Vid gives models, and where it judges their positions
IN_THE_IMAGE = "positions in the image"
SUPPORT_POINTS = "none"  # a model is given the queries that are judged, and no other point


@dataclass(frozen=True)
class Settings:
    """How videos and queries are given to a model; the defaults are TAP-Vid's own.

    `resolution` is what videos are resized to: (height, width), a number n = about n * n pixels in
    the shape of the video, "native" = not at all, "model" = what the tracker asks for. `direction`
    "forward" leaves a query's earlier frames untracked. `points_per_call` splits the points of a
    video: 1 = each on its own, None = all together.
    """

    query_mode: QueryMode = "first"
    resolution: Resolution = OFFICIAL
    resize_filter: ResizeFilter = "lanczos"
    direction: Direction = "both"
    points_per_call: int | None = None

    def __post_init__(self) -> None:
        for name, choices in {
            "query_mode": ("first", "strided"),
            "resize_filter": ("lanczos", "bilinear"),
            "direction": ("both", "forward"),
        }.items():
            if (value := getattr(self, name)) not in choices:
                raise ValueError(
                    f"{name}: expected {choices[0]!r} or {choices[1]!r}, got {value!r}"
                )
        size = self.resolution
        if not isinstance(size, str):
            object.__setattr__(self, "resolution", checked_resolution(size))
        elif size not in ("native", "model"):
            raise ValueError(
                "resolution: expected (height, width) or one number of pixels, 'native' or "
                f"'model', got {size!r}"
            )
        if self.points_per_call is not None and self.points_per_call < 1:
            raise ValueError(f"points_per_call: expected 1 or more, got {self.points_per_call}")

    def given(self, tracker: Any) -> Given:
        """What videos are resized to for this tracker: see `geometry.fitted`."""
        if not isinstance(self.resolution, str):
            return self.resolution
        return tracker.resolution if self.resolution == "model" else None

    def enlarged(self, tracker: Any) -> Given:
        """What smaller frames are enlarged to before the model sees them; None = they are not.

        A tracker may ask for more pixels than the protocol gives: it gets those frames enlarged.
        """
        given, wish = self.given(tracker), tracker.resolution
        if wish is None or (given is not None and _area(given) >= _area(wish)):
            return None
        return cast(Given, wish)

    def seen(self, size: Size, tracker: Any) -> Size:
        """(height, width) at which the model sees frames that it is given in `size`."""
        wish = self.enlarged(tracker)
        return size if wish is None or _area(size) >= _area(wish) else fitted(size, wish)


def _area(resolution: Size | int) -> int:
    return resolution**2 if isinstance(resolution, int) else resolution[0] * resolution[1]


@dataclass(frozen=True)
class Protocol:
    """What a score is of, and how it was taken."""

    dataset: str
    dataset_sha256: str
    kind: str  # of the dataset; decides how it is judged
    query_mode: QueryMode | Literal["set"]  # "set": what the set asks
    resolution: str  # what the model was given: "256x256" (height x width) or "native"
    resize_filter: str  # "lanczos" as TAP-Vid, "bilinear" (antialiased), or "none"
    direction: str  # "both ways" from a query, or "forward only"
    support_points: str  # given to the model beside the queries
    points_per_call: str  # "all" of a video at once, or how many
    model: str
    weights_sha256: str | None  # None = nothing trained
    precision: str | None  # None = no weights
    device: str
    torch_version: str
    tapnet_version: str
    judged: str = IN_THE_IMAGE  # what is compared with the truth, and how
    predictions_sha256: str | None = None  # of files that were made elsewhere; None = made here
    enlarged_to: str | None = None  # what the model saw smaller frames as; None = as they are
    settings: str | None = None  # of the model, where they are not its defaults: "causal=True"

    def asked(self) -> QueryMode:
        """The query mode. ValueError if what was asked is known to the set alone."""
        if self.query_mode == "set":
            raise ValueError(
                f"{self.model}: expected predictions made by `tapnet evaluate`, got some that were "
                "made elsewhere; judge them again by the command that did"
            )
        return self.query_mode

    @property
    def of_the_set(self) -> bool:
        """Whether the set says what is asked."""
        return self.kind in DATASETS and DATASETS[self.kind].asks_itself

    @property
    def queries(self) -> str:
        """What was asked, and where the answers are judged, in a few words."""
        first = self.query_mode == "first"
        if self.of_the_set:
            return f"those of the set, judged {'after their frame' if first else 'on all others'}"
        return "first" if first else f"{self.query_mode}, every 5th frame"

    def conditions(self) -> dict[str, str]:
        """What scores must share to compare, for people, in lines."""
        dataset = f"{self.dataset} ({self.kind}), sha256 {self.dataset_sha256[:16]}"
        if self.predictions_sha256 is not None:
            queries = "those of the set, on all frames; tracked elsewhere"
            return {"dataset": dataset, "queries": queries, "judged": self.judged}
        resized = "" if self.resize_filter == "none" else f", resized by {self.resize_filter}"
        together = "all points" if self.points_per_call == "all" else self.points_per_call
        return {
            "dataset": dataset,
            "queries": f"{self.queries}; tracked {self.direction}; {together} per call, "
            f"support points: {self.support_points}",
            "video": f"{self.resolution}{resized}",
        }

    def facts(self) -> dict[str, str]:
        """The conditions, then who was judged, and on what it was computed."""
        made = f"weights sha256 {w[:16]}" if (w := self.weights_sha256) else "nothing trained"
        computed = f"{self.precision or 'no weights'}, {self.device}, torch {self.torch_version}, "
        if self.settings is not None:
            made += f", {self.settings}"
        if self.enlarged_to is not None:
            made += f", sees frames enlarged to {self.enlarged_to}"
        if (p := self.predictions_sha256) is not None:
            made, computed = f"predictions sha256 {p[:16]}", "elsewhere; judged by "
        return self.conditions() | {
            "model": f"{self.model}, {made}",
            "computed": f"{computed}tapnet {self.tapnet_version}",
        }

    def line(self) -> str:
        """The conditions in one line."""
        return "; ".join(self.conditions().values())


# Fields that change what is measured. Others tell who was measured, and on what.
_DECISIVE = (
    "dataset_sha256",
    "kind",
    "query_mode",
    "resolution",
    "resize_filter",
    "direction",
    "support_points",
    "points_per_call",
    "judged",
)
_INCIDENTAL = ("precision", "device", "torch_version", "tapnet_version")


def differences(protocols: Sequence[Protocol]) -> list[str]:
    """What keeps the scores from comparing, such as "resolution: native (klt), 256x256 (tapir)"."""
    return _differing(protocols, _DECISIVE)


def computed_differently(protocols: Sequence[Protocol]) -> list[str]:
    """How precision, device and versions differ; scores compare, up to rounding."""
    return _differing(protocols, _INCIDENTAL)


def _differing(protocols: Sequence[Protocol], names: Sequence[str]) -> list[str]:
    lines = []
    for name in names:
        models: dict[str, list[str]] = {}
        for protocol in protocols:
            value = getattr(protocol, name)
            if value is not None:  # nothing trained has no precision, so none that differs
                told = value[:16] if name.endswith("sha256") else value
                models.setdefault(told, []).append(protocol.model)
        if len(models) > 1:
            values = [f"{value} ({', '.join(who)})" for value, who in models.items()]
            lines.append(f"{name.replace('_', ' ')}: {', '.join(values)}")
    return lines


def protocol_of(dataset: Dataset, tracker: Any, settings: Settings) -> Protocol:
    """The protocol of `tracker` asked about `dataset` in this way. Reads the whole dataset."""
    dtypes = [parameter.dtype for parameter in parameters(tracker.model)]
    given, enlarged = settings.given(tracker), settings.enlarged(tracker)
    return Protocol(
        dataset=dataset.name,
        dataset_sha256=sha256_of(dataset),
        kind=dataset.kind,
        query_mode=settings.query_mode,
        resolution=_described(given),
        resize_filter="none" if given is None else settings.resize_filter,
        direction="both ways" if settings.direction == "both" else "forward only",
        support_points=SUPPORT_POINTS,
        points_per_call=str(settings.points_per_call or "all"),
        model=tracker.name,
        weights_sha256=_sha256_of_weights(tracker.model),
        precision=str(dtypes[0]).removeprefix("torch.") if dtypes else None,
        device=device_of(tracker),
        torch_version=torch.__version__,
        tapnet_version=tapnet.__version__,
        enlarged_to=None if enlarged is None else _described(enlarged),
        settings=_settings_of(tracker.model),
    )


def _described(resolution: Given) -> str:
    if resolution is None:
        return "native"
    if isinstance(resolution, int):
        return f"about {resolution}x{resolution} pixels in the shape of the video"
    return f"{resolution[0]}x{resolution[1]}"


def _settings_of(model: Any) -> str | None:
    """Those that are not the defaults, but for `resolution`, which is told as such, and what
    changes no result."""
    parts = model.modules() if isinstance(model, torch.nn.Module) else [model]
    found = next(
        (own for part in parts if is_dataclass(own := getattr(part, "settings", None))), None
    )
    if found is None:
        return None
    kept = bounding_memory(type(found)) | {"resolution"}
    told = [
        f"{one.name}={value!r}"
        for one in fields(found)
        if one.name not in kept and (value := getattr(found, one.name)) != one.default
    ]
    return ", ".join(told) or None


def parameters(model: Any) -> list[torch.Tensor]:
    """The weights of a model; none of one that is not trained."""
    return list(model.parameters()) if isinstance(model, torch.nn.Module) else []


def device_of(tracker: Any) -> str:
    """Where the tracker wants its videos."""
    weights = parameters(tracker.model)
    return str(weights[0].device if weights else getattr(tracker, "device", "cpu"))


def sha256_of(dataset: Dataset) -> str:
    """Of the dataset's files."""
    return sha256_of_files(dataset.files())


def sha256_of_files(files: Sequence[Path]) -> str:
    """Of the one file, or of the hashes of several in their order."""
    hashes = []
    for file in files:
        stat = file.stat()
        hashes.append(_sha256_of_file(file, stat.st_size, stat.st_mtime_ns))
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


@functools.lru_cache(maxsize=100_000)
def _sha256_of_file(file: Path, size: int, changed: int) -> str:
    """Remembered as long as size and time stay, since each model of a table asks for it."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _sha256_of_weights(model: Any) -> str | None:
    """Of names, types, shapes and values, so that one model has one hash in every file format."""
    state = model.state_dict() if isinstance(model, torch.nn.Module) else {}
    if not state:
        return None
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
