"""TAPIR and its descendants: BootsTAPIR and the causal forms of both.

Doersch et al., "TAPIR: Tracking Any Point with per-frame Initialization and temporal Refinement",
ICCV 2023; Doersch et al., "BootsTAP", ACCV 2024 (SPEC sections 2 and 3). Each frame is first
matched on its own, as in TAP-Net. Then, four times, the scores of a small neighbourhood of the
current point at several scales, with its features, pass through a network over time (the mixer)
that corrects position, occlusion, uncertainty and features. At higher resolutions this is repeated.

Axes: video [B, T, H, W, 3], grids [B, T, h, w, C], query points [B, N, 3] (t, y, x) raster pixels.
Positions travel in pixels of the initial resolution; the caller gets pixels of the video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tapnet.geometry import rescale, xy_to_yx
from tapnet.models.encoder import (
    HIRES,
    LOWRES,
    Encoder,
    Features,
    Level,
    Size,
    default_resolutions,
    joined_in_time,
    read_queries,
)
from tapnet.models.layers import (
    CostVolumeHead,
    at_least_single,
    bounds_memory,
    checked_queries,
    cost_volume,
    initialize,
    local_scores,
    pinned,
)
from tapnet.models.mixer import Context, Mixer
from tapnet.models.pieces import cores_for, each
from tapnet.structs import Prediction, check_shapes

PATCH_RADIUS = 3  # neighbourhoods of 7 x 7


@dataclass(frozen=True)
class TapirSettings:
    """What can be chosen of a TAPIR; the defaults are those of the published TAPIR."""

    pyramid_level: int = 0  # grids pooled below lowres; BootsTAPIR has 1
    extra_convs: bool = False  # BootsTAPIR's convolutions on lowres
    causal: bool = False  # refine from earlier frames only
    softmax_temperature: float = 20.0  # BootsTAPIR was trained with 10
    num_pips_iter: int = 4
    initial_resolution: Size = (256, 256)
    antialias: bool = True  # when shrinking the video; the published PyTorch port did not
    mixer_hidden_dim: int = 512
    num_mixer_blocks: int = 12
    frames_per_chunk: int = bounds_memory(8)  # in the encoder at a time
    rows_per_chunk: int = bounds_memory(1536)  # points times frames in the refiner at a time
    frames_per_window: int = bounds_memory(192)  # of a longer clip finished at a time
    recompute: bool = bounds_memory(False)  # in training: refine twice, hold less for the gradient


Guess = tuple[Tensor, Tensor, Tensor]  # position [B, N, T, 2], occlusion, expected_dist [B, N, T]
Memory = tuple[tuple[Context, ...], ...]  # of the causal refiner: one for each pass and block


@dataclass(frozen=True)
class TapirState:
    """What the online model carries from frame to frame."""

    size: Size | None = None  # of the frames given
    levels: tuple[Level, ...] = ()  # of the last frame
    features: tuple[Features, ...] = ()  # of the points, a pair a level
    memory: Memory = ()


class Tapir(nn.Module):
    """TAPIR: `model(video, query_points)`; causal ones also go frame by frame (`step`)."""

    def __init__(self, settings: TapirSettings = TapirSettings()) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(settings.extra_convs, settings.pyramid_level, settings.antialias)
        self.head = CostVolumeHead(settings.softmax_temperature, outputs=2, occlusion_relu=True)
        scores = (2 * PATCH_RADIUS + 1) ** 2 * (settings.pyramid_level + 2)
        outputs = 4 + HIRES + LOWRES
        hidden, blocks = settings.mixer_hidden_dim, settings.num_mixer_blocks
        self.mixer = Mixer(outputs + scores, outputs, hidden, blocks)
        initialize(self)
        self.encoder.start_as_published()

    @property
    def resolution(self) -> Size:
        """(height, width) that videos are best resized to before they are given."""
        return self.settings.initial_resolution

    @property
    def online(self) -> bool:
        return self.settings.causal

    def forward(
        self,
        video: Tensor,
        query_points: Tensor,
        refinement_resolutions: Iterable[Size] | None = None,
    ) -> Prediction:
        """Where the points go.

        video [B, T, H, W, 3] uint8, or float in [-1, 1]; query_points [B, N, 3] in its pixels. The
        refinement resolutions default to those of `default_resolutions`: a video larger than the
        initial resolution is refined at that resolution too, and memory grows with it. A clip
        longer than a window is tracked window by window, with the same result.
        """
        query_points = checked_queries(video, query_points)
        size = (video.shape[2], video.shape[3])
        if refinement_resolutions is None:
            refinement_resolutions = default_resolutions(size, self.settings.initial_resolution)
        refined = tuple(refinement_resolutions)
        if not refined:
            raise ValueError("refinement_resolutions: expected at least one (height, width)")
        if self.training or video.shape[1] <= self.settings.frames_per_window:
            return self._at_once(video, query_points, refined)[0]
        guesses = self._by_windows(video, query_points, refined)
        return self.prediction(guesses, len(refined), size)

    def with_features(
        self, video: Tensor, query_points: Tensor
    ) -> tuple[Prediction, Tensor, Tensor]:
        """`forward` of the whole clip at once, the lowres grid of the initial resolution and the
        query features there, for training."""
        return self._at_once(video, checked_queries(video, query_points), None)

    def _at_once(
        self, video: Tensor, query_points: Tensor, refined: tuple[Size, ...] | None
    ) -> tuple[Prediction, Tensor, Tensor]:
        size = (video.shape[2], video.shape[3])
        levels = self.feature_grids(video, refined)
        features = self.query_features(levels, query_points, size)
        guesses = self.estimate(levels, features, query_points, size)
        prediction = self.prediction(guesses, len(levels) - 1, size)
        return prediction, levels[0].grids[1], features[0][1]

    def _by_windows(
        self, video: Tensor, query_points: Tensor, refined: tuple[Size, ...]
    ) -> list[Guess]:
        """The guesses of `estimate`, holding the grids of no more than a window and its reach.

        Only the mixer looks at other frames, one to each side a convolution (two back if causal),
        so what lies farther than all its convolutions reach cannot change a frame's result.
        """
        size, window = (video.shape[2], video.shape[3]), self.settings.frames_per_window
        convolutions = 2 * self.settings.num_mixer_blocks * self.settings.num_pips_iter
        reach = convolutions * len(refined) * (2 if self.settings.causal else 1)
        features = self._features_of(video, query_points, refined)
        levels: tuple[Level, ...] = ()
        held, parts = range(0), []
        for start in range(0, video.shape[1], window):
            stop = min(start + window, video.shape[1])
            after = 0 if self.settings.causal else reach
            wanted = range(max(start - reach, 0), min(stop + after, video.shape[1]))
            fresh = video[:, held.stop : wanted.stop]
            new = self.feature_grids(fresh, refined) if fresh.shape[1] else ()
            levels, held = joined_in_time(levels, new, wanted.start - held.start), wanted
            asked = query_points.clone()  # rounded first: half to even depends on the start
            asked[..., 0] = query_points[..., 0].round() - held.start
            inside = slice(start - held.start, stop - held.start)
            guesses = self.estimate(levels, features, asked, size)
            parts.append([tuple(x[:, :, inside] for x in guess) for guess in guesses])
        return [
            tuple(torch.cat(pieces, dim=2) for pieces in zip(*same, strict=True))  # type: ignore[misc]
            for same in zip(*parts, strict=True)
        ]

    def _features_of(
        self, video: Tensor, query_points: Tensor, refined: tuple[Size, ...]
    ) -> tuple[Features, ...]:
        """`query_features` from only the frames that the queries are in."""
        size, last = (video.shape[2], video.shape[3]), video.shape[1] - 1
        if not query_points.shape[1]:
            return self.query_features(
                self.feature_grids(video[:, :1], refined), query_points, size
            )
        found = []
        for some in query_points.split(max(1, self.settings.frames_per_window // 2), dim=1):
            times = some[..., 0].clamp(0, last)
            frames = torch.cat([times.floor(), times.ceil()]).long().unique()
            low = torch.searchsorted(frames, times.floor().long())
            part = torch.cat([(low + times - times.floor())[..., None], some[..., 1:]], dim=-1)
            levels = self.feature_grids(video[:, frames], refined)
            found.append(self.query_features(levels, part, size))
        return tuple(
            (torch.cat([high for high, _ in one], dim=1), torch.cat([low for _, low in one], dim=1))
            for one in zip(*found, strict=True)
        )

    def feature_grids(
        self, video: Tensor, refinement_resolutions: Iterable[Size] | None = None
    ) -> tuple[Level, ...]:
        """The level of the initial resolution, then those of the refinement ones. SPEC 2.3."""
        first = self.settings.initial_resolution
        size = (video.shape[2], video.shape[3])
        if refinement_resolutions is None:
            refinement_resolutions = default_resolutions(size, first)
        levels: list[Level] = []
        for resolution in [first, *refinement_resolutions]:
            same = bool(levels) and levels[-1].resolution == resolution
            levels.append(levels[-1] if same else self._level(video, resolution))
        return tuple(levels)

    def _level(self, video: Tensor, resolution: Size) -> Level:
        level: Level = self.encoder(video, resolution, self.settings.frames_per_chunk)
        return level

    def query_features(
        self, levels: tuple[Level, ...], query_points: Tensor, size: Size
    ) -> tuple[Features, ...]:
        """The grids at the query points, which are pixels of a video of that size. SPEC 2.4."""
        return read_queries(levels, query_points, size)

    def estimate(
        self,
        levels: tuple[Level, ...],
        features: tuple[Features, ...],
        query_points: Tensor | None = None,
        size: Size | None = None,
    ) -> list[Guess]:
        """All guesses, first to last, in pixels of the initial resolution; see `prediction`.

        Given query points (pixels of a video of that size), each track starts pinned to its query
        at the query's frame. Points are taken some at a time, which bounds memory only.
        """
        frames, count = levels[0].grids[0].shape[1], features[0][0].shape[1]
        cores = cores_for(levels[0].grids[0])
        rows = self.settings.rows_per_chunk // frames // cores
        step = max(1, min(rows, -(-count // cores)))

        def chunk(start: int) -> list[Guess]:
            some = slice(start, start + step)
            mine = tuple((high[:, some], low[:, some]) for high, low in features)
            guess = self._match(levels[0], mine[0][1])
            if query_points is not None and size is not None:
                guess = self._pin(guess, query_points[:, some], size)
            return self._refine(levels, mine, guess, None)[0]

        return _joined(each(chunk, range(0, max(count, 1), step), cores))

    def prediction(self, guesses: list[Guess], refined_levels: int, size: Size) -> Prediction:
        """The guesses as a Prediction in pixels of a video of that size: the mean over levels of
        each level's last pass, with all guesses but the very last as `refinements`. SPEC 2.6."""
        passes = self.settings.num_pips_iter
        last = [guesses[passes * (level + 1)] for level in range(refined_levels)]
        mean = tuple(sum(parts) / len(last) for parts in zip(*last, strict=True))

        def scaled(guess: tuple[Tensor, ...]) -> Prediction:
            position, occlusion, expected_dist = guess
            tracks = rescale(position, self.settings.initial_resolution, size)
            return Prediction(tracks, occlusion, expected_dist)

        earlier = tuple(scaled(guess) for guess in guesses[:-1])
        return replace(scaled(mean), refinements=earlier)

    def _match(self, level: Level, queries: Tensor) -> Guess:
        """Each frame matched on its own (TAP-Net's head). SPEC 2.5."""
        lowres = level.grids[1]
        batch, frames, height, width, _ = lowres.shape
        cost = cost_volume(lowres, queries)
        if cost.numel() == 0:
            none = lowres.new_zeros(batch, queries.shape[1], frames)
            return none[..., None].expand(*none.shape, 2), none, none
        position, logits = self.head(rearrange(cost, "b n t d h w -> (b n t) d h w"))
        position = rescale(position, (height, width), self.settings.initial_resolution)
        shape = (batch, -1, frames)
        return position.view(*shape, 2), logits[:, 0].view(shape), logits[:, 1].view(shape)

    def _pin(self, guess: Guess, query_points: Tensor, size: Size) -> Guess:
        position, occlusion, expected_dist = guess
        points = rescale(query_points, size, self.settings.initial_resolution)
        return pinned(position, points), occlusion, expected_dist

    def _refine(
        self,
        levels: tuple[Level, ...],
        features: tuple[Features, ...],
        guess: Guess,
        memory: Memory | None,
    ) -> tuple[list[Guess], Memory]:
        """The guess, then every refinement of it, level by level. SPEC 2.6.

        Causal models continue from `memory` and return the new one.
        """
        first, guesses = guess, [guess]
        after: list[tuple[Context, ...]] = []
        for level, (hires, lowres) in zip(levels[1:], features[1:], strict=True):
            guess = (guess[0], first[1], first[2])  # logits start again, the position stays
            start = torch.cat([hires, lowres], dim=-1)
            current = repeat(start, "b n c -> b n t c", t=guess[0].shape[2])
            for _ in range(self.settings.num_pips_iter):
                before = memory[len(after)] if memory else None
                guess, current, kept = self._pass_or_later(level, guess, current, before)
                guesses.append(guess)
                after.append(kept)
        return guesses, tuple(after)

    def _pass_or_later(
        self, level: Level, guess: Guess, current: Tensor, before: tuple[Context, ...] | None
    ) -> tuple[Guess, Tensor, tuple[Context, ...]]:
        """`_pass`, done once more when the gradient is computed if the settings say so."""
        if self.settings.recompute and self.training and torch.is_grad_enabled():
            return checkpoint(self._pass, level, guess, current, before, use_reentrant=False)
        return self._pass(level, guess, current, before)

    def _pass(
        self, level: Level, guess: Guess, current: Tensor, before: tuple[Context, ...] | None
    ) -> tuple[Guess, Tensor, tuple[Context, ...]]:
        """One pass over the tracks with per-frame features `current` [B, N, T, 384]."""
        position, occlusion, expected_dist = guess
        batch, count, frames = occlusion.shape
        inputs = torch.cat(
            [
                torch.zeros_like(current[..., :2]),  # where PIPs had the position
                occlusion[..., None],
                expected_dist[..., None],
                current,
                *self._scores(level, position, current),
            ],
            dim=-1,
        ).flatten(0, 1)
        if self.settings.causal:
            change, kept = self.mixer.causal(inputs, before)
        else:
            change, kept = self.mixer(inputs), ()
        change = change.view(batch, count, frames, change.shape[-1])
        step = rescale(change[..., :2], level.resolution, self.settings.initial_resolution)
        guess = (
            position + step.to(position.dtype),
            occlusion + change[..., 2],
            expected_dist + change[..., 3],
        )
        return guess, current + change[..., 4:], kept

    def _scores(self, level: Level, position: Tensor, current: Tensor) -> list[Tensor]:
        """[B, N, T, 49] for each grid of the level: the features against the place they are at."""
        batch = len(position)
        by_frame = rearrange(current, "b n t c -> (b t) n c")
        position = rearrange(position, "b n t c -> (b t) n c")
        found = []
        for number, grid in enumerate(level.grids):
            queries = by_frame[..., :HIRES] if number == 0 else by_frame[..., HIRES:]
            size = (grid.shape[2], grid.shape[3])
            place = xy_to_yx(rescale(position, self.settings.initial_resolution, size))
            scores = local_scores(grid.flatten(0, 1), queries, place, PATCH_RADIUS)
            found.append(rearrange(scores, "(b t) n k -> b n t k", b=batch))
        return found

    def init_state(self) -> TapirState:
        """No frame, no points."""
        return TapirState()

    def step(self, frame: Tensor, state: TapirState) -> tuple[Prediction, TapirState]:
        """The points of `state` in the next frame [H, W, 3], and the state after it. SPEC 3."""
        self._need_causal()
        check_shapes(frame=(frame, "H W 3"))
        size = (frame.shape[0], frame.shape[1])
        if state.size not in (None, size):
            raise ValueError(f"frame: expected {state.size} as the frames before, got {size}")
        levels = self.feature_grids(frame[None, None])
        if not state.features:
            nothing = frame.new_zeros((1, 0, 3), dtype=self.head.hidden.weight.dtype)
            state = replace(state, features=self.query_features(levels, nothing, size))
        guess = self._match(levels[0], state.features[0][1])
        guesses, memory = self._refine(levels, state.features, guess, state.memory or None)
        found = self.prediction(guesses[-self.settings.num_pips_iter - 1 :], 1, size)
        return found, replace(state, size=size, levels=levels, memory=memory)

    def add(self, state: TapirState, points: Tensor) -> TapirState:
        """The state with points [K, 2] (y, x), pixels of the last frame, after those it has."""
        if state.size is None:
            raise ValueError("add: expected a state that has seen a frame; call step first")
        check_shapes(points=(points, "K 2"))
        query_points = F.pad(points[None].to(at_least_single(points.dtype)), (1, 0))
        new = self.query_features(state.levels, query_points, state.size)
        features = tuple(
            (torch.cat([old[0], more[0]], dim=1), torch.cat([old[1], more[1]], dim=1))
            for old, more in zip(state.features, new, strict=True)
        )
        grown = len(points)
        memory = _of_each(state.memory, lambda x: torch.cat([x, x.new_zeros(grown, *x.shape[1:])]))
        return replace(state, features=features, memory=memory)

    def keep(self, state: TapirState, index: Tensor) -> TapirState:
        """The state with only the points `index` (rows), in that order."""
        return replace(
            state,
            features=tuple((h[:, index], w[:, index]) for h, w in state.features),
            memory=_of_each(state.memory, lambda x: x[index]),
        )

    def _need_causal(self) -> None:
        if not self.settings.causal:
            raise ValueError(
                "step: expected a causal TAPIR, got one that needs the whole clip; load causal "
                "weights, or call model(video, query_points)"
            )


def _joined(parts: Sequence[list[Guess]]) -> list[Guess]:
    """The guesses of all points, those of each part after those of the part before."""
    return [
        tuple(torch.cat(same, dim=1) for same in zip(*guess, strict=True))  # type: ignore[misc]
        for guess in zip(*parts, strict=True)
    ]


def _of_each(memory: Memory, change: Callable[[Tensor], Tensor]) -> Memory:
    """The memory with every tensor changed."""
    return tuple(
        tuple(Context(*((change(a), change(b)) for a, b in context)) for context in one)
        for one in memory
    )
