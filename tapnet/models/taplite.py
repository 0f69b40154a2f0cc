"""taplite: our own tracker, online and small enough for a laptop CPU.

Each point is followed alone. In a new frame it is first searched: its features, as they were in the
query frame and as they were lately, are compared with the cells of a coarse grid, near where it is
expected if it was just sure and is found there, else everywhere. Then, a few times, the
surroundings of the current guess are compared patch against patch on both grids, and a recurrent
cell that each point carries through time corrects the position and says how sure it is. The idea of
search and refinement is TAPIR's (Doersch et al. 2023), patch against patch LocoTrack's (Cho et al.
2024), the cell RAFT's (Teed and Deng 2020).

Axes: M rows, one for each point; frames F; grids [F, h, w, C]; positions (x, y) in raster pixels of
the images the network sees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tapnet.geometry import Resolution
from tapnet.models.layers import bounds_memory, checked_queries, quick_on_a_cpu
from tapnet.models.neighbourhoods import PATCH, RADIUS, against, read_patch, ringed, unit
from tapnet.models.pyramid import Pyramid
from tapnet.models.rows import Rows
from tapnet.models.search import Found, Search, peaks
from tapnet.models.taplite_losses import frame_losses
from tapnet.structs import Prediction, check_shapes

FINE, COARSE = 4, 8  # strides of the grids
LOGIT_LIMIT = 12.0
SURE = 0.5  # confidence above which a point is first searched near where it is expected
SETTLED = 0.9  # confidence above which a point that was hardly moved is not corrected again
HARDLY = 1.0  # pixels


@dataclass(frozen=True)
class TapliteSettings:
    """What can be chosen of a taplite."""

    fine: int = 48  # channels at stride 4
    coarse: int = 96  # channels at stride 8
    hidden: int = 128  # numbers a point carries through time
    iterations: int = 3
    reach: int = 6  # coarse cells either way in which a point is searched first
    visible_above: float = 0.25  # confidence from which a point is said to be visible
    resolution: Resolution = 384  # videos are best resized to it: see `geometry.fitted`
    frames_per_chunk: int = bounds_memory(4)  # in the encoder at a time
    frames_kept: int = bounds_memory(64)  # of which grids are kept for the way back
    points_per_chunk: int = bounds_memory(576)  # followed at a time in 256 x 256, fewer in more


@dataclass(frozen=True)
class Grids:
    """Features of F frames."""

    fine: Tensor  # [F, h, w, C] unit vectors at stride 4
    coarse: Tensor  # [F, h / 2, w / 2, C] unit vectors at stride 8

    def frames(self, index: Tensor | slice) -> Grids:
        return Grids(self.fine[index], self.coarse[index])

    def ringed(self) -> Grids:
        """These with one ring more of cells, all zero."""
        return Grids(ringed(self.fine), ringed(self.coarse))


@dataclass(frozen=True)
class Points(Rows):
    """What is carried of M points from frame to frame."""

    asked_fine: Tensor  # [M, 9, C] the patch in the query frame
    asked_coarse: Tensor  # [M, 9, C]
    lately_fine: Tensor  # [M, 9, C] the patch as it was lately seen
    lately_coarse: Tensor  # [M, C]
    hidden: Tensor  # [M, H]
    xy: Tensor  # [M, 2]
    velocity: Tensor  # [M, 2] pixels per frame
    occlusion: Tensor  # [M] logit
    expected_dist: Tensor  # [M] logit

    @property
    def expected(self) -> Tensor:
        """[M, 2]: where they are in the next frame if they go on as they did."""
        return self.xy + self.velocity


@dataclass(frozen=True)
class Guess(Rows):
    """What one step of the search says of M points in one frame."""

    xy: Tensor  # [M, 2]
    occlusion: Tensor  # [M] logit
    expected_dist: Tensor  # [M] logit


@dataclass(frozen=True)
class Task(Rows):
    """What corrections of M points in one frame go by."""

    frame: Tensor  # [M] index of the frame in the grids
    fine: Tensor  # [M, 18, C] patches of the point, as asked for and as lately seen
    coarse: Tensor  # [M, 9, C]
    facts: Tensor  # [M, 10] how clear the search was, and what was believed a frame ago
    expected: Tensor  # [M, 2]
    before: Tensor  # [M, 2] where they were a frame ago


@dataclass(frozen=True)
class TapliteState:
    """What the online model carries from frame to frame."""

    size: tuple[int, int] | None = None
    grids: Grids | None = None  # of the last frame
    points: Points | None = None


class Correct(nn.Module):
    """One correction of a guess by comparing patches around it; the recurrent cell is in here."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        scores = (2 * RADIUS + 1) ** 2 * PATCH * 3
        self.look = nn.Linear(scores, 256)
        self.more = nn.Linear(14, 256)
        self.join = nn.Linear(256, 192)
        self.cell = nn.GRUCell(192, hidden)
        self.say = nn.Linear(hidden, 128)
        self.out = nn.Linear(128, 4)
        nn.init.trunc_normal_(self.out.weight, std=1e-2)
        nn.init.zeros_(self.out.bias)

    def forward(self, scores: Tensor, facts: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """[M, 4] (dx, dy in fine cells, occlusion, expected_dist) and the hidden state after."""
        seen = F.relu(self.look(scores) + self.more(facts))
        hidden = self.cell(F.relu(self.join(seen)), hidden)
        return self.out(F.relu(self.say(hidden))), hidden


class Taplite(nn.Module):
    """taplite: `model(video, query_points)`, or frame by frame (`step`)."""

    online = True

    def __init__(self, settings: TapliteSettings = TapliteSettings()) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = Pyramid(settings.fine, settings.coarse)
        self.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster
        self.begin = nn.Linear(settings.coarse, settings.hidden)
        self.search = Search(settings.hidden)
        self.correct = Correct(settings.hidden)

    @property
    def resolution(self) -> Resolution:
        """What videos are best resized to before they are given: see `geometry.fitted`."""
        return self.settings.resolution

    # ------------------------------------------------------------------ frames and points

    def grids(self, frames: Tensor) -> Grids:
        """Features of frames [F, H, W, 3], uint8 or float in [-1, 1], of any size."""
        parts = []
        for some in frames.split(self.settings.frames_per_chunk):
            weight = self.encoder.lateral4.weight
            image = some.to(weight.dtype)
            if not some.is_floating_point():
                image = image / 127.5 - 1
            image = image.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
            height, width = image.shape[-2:]
            if width % 16 or height % 16:
                image = F.pad(image, (0, -width % 16, 0, -height % 16), mode="replicate")
            parts.append(self.encoder(image))
        fine, coarse = zip(*parts, strict=True)
        return Grids(torch.cat(fine), torch.cat(coarse))

    def start(self, grids: Grids, frame: Tensor, xy: Tensor) -> Points:
        """Points asked for at xy [M, 2] of the frames with index `frame` [M]."""
        fine = read_patch(grids.fine, frame, xy / FINE)
        coarse = read_patch(grids.coarse, frame, xy / COARSE)
        middle = coarse[:, PATCH // 2]
        zeros = xy.new_zeros(len(xy))
        return Points(
            asked_fine=fine,
            asked_coarse=coarse,
            lately_fine=fine,
            lately_coarse=middle,
            hidden=torch.tanh(self.begin(middle)),
            xy=xy,
            velocity=torch.zeros_like(xy),
            occlusion=zeros - LOGIT_LIMIT,
            expected_dist=zeros - LOGIT_LIMIT,
        )

    def advance(self, grids: Grids, points: Points) -> Points:
        """The points one frame on.

        The grids are of one frame, or of F videos with M / F points each, in that order.
        """
        sure = _confidence(points) > SURE
        likeness, place = self._likeness(grids, points), points.expected / COARSE
        found = self.search.find(likeness, place, points.hidden, sure, self.settings.reach)
        task, near = self._task(grids, points, found), grids.ringed()
        guess, hidden = self._settled(near, task, _first(points, found), points.hidden)
        return self._after(grids, task.frame, points, guess, hidden)

    def _task(self, grids: Grids, points: Points, found: Found) -> Task:
        videos = len(grids.fine)
        frame = torch.arange(videos, device=points.xy.device)
        logits = torch.stack([points.occlusion, points.expected_dist], 1).detach() / 4
        speed = points.velocity.norm(dim=1, keepdim=True).clamp_max(64) / 32
        return Task(
            frame.repeat_interleave(len(points.xy) // videos),
            # Factors that bring the products, or what is left of them, to a size of about one.
            torch.cat([8 * points.asked_fine, 8 * points.lately_fine], dim=1),
            2 * points.asked_coarse,
            torch.cat([found.clear, logits, speed], dim=1),
            points.expected,
            points.xy,
        )

    def _settled(
        self, near: Grids, task: Task, guess: Guess, hidden: Tensor
    ) -> tuple[Guess, Tensor]:
        """The last guess and the hidden states after as many corrections as each point needs.

        On a CPU a point that needs no more costs no more.
        """
        quick = quick_on_a_cpu(hidden)
        settled = torch.zeros(len(hidden), dtype=torch.bool, device=hidden.device)
        for _ in range(self.settings.iterations):
            if quick and settled.any():
                others = (~settled).nonzero()[:, 0]
                if not len(others):
                    break
                xy, before = guess.xy.index_select(0, others), hidden.index_select(0, others)
                part = self._correction(near, task.take(others), xy, before)
                new, after = guess.put(others, part[0]), hidden.index_copy(0, others, part[1])
            else:
                new, after = self._correction(near, task, guess.xy, hidden)
                new, after = guess.where(settled, new), torch.where(settled[:, None], hidden, after)
            moved = (new.xy - guess.xy).norm(dim=1)
            settled = settled | ((_confidence(new) > SETTLED) & (moved < HARDLY))
            guess, hidden = new, after
        return guess, hidden

    def _correction(
        self, near: Grids, task: Task, xy: Tensor, hidden: Tensor
    ) -> tuple[Guess, Tensor]:
        """A better guess than xy [M, 2], and the hidden states after it."""
        scores = _scores(near, task, xy)
        moved = [(xy - task.expected) / 32, (xy - task.before) / 32]
        facts = torch.cat([task.facts, *(m.clamp(-2, 2) for m in moved)], dim=1)
        change, after = self.correct(scores, facts, hidden)
        change, after = change.to(xy), after.to(hidden)  # if autocast to bfloat16
        guess = Guess(
            xy + change[:, :2] * FINE,
            change[:, 2].clamp(-LOGIT_LIMIT, LOGIT_LIMIT),
            change[:, 3].clamp(-LOGIT_LIMIT, LOGIT_LIMIT),
        )
        return guess, after

    def _follow(self, grids: Grids, points: Points) -> Points:
        """`advance` in one frame, some points at a time, which bounds memory and suits caches."""
        height, width = grids.coarse.shape[1:3]
        count = self.settings.points_per_chunk * (256 // COARSE) ** 2 // (height * width)
        parts = points.split(max(count, 1))
        return Points.joined([self.advance(grids, part) for part in parts])

    def _likeness(self, grids: Grids, points: Points) -> Tensor:
        """[M, 3, h, w]: to the point and to the patch asked for, to the point as lately seen."""
        videos, height, width, _ = grids.coarse.shape
        cells = grids.coarse.flatten(1, 2).transpose(1, 2)
        asked, lately = (
            torch.bmm(x.unflatten(0, (videos, -1)), cells).view(-1, height, width)
            for x in (points.asked_coarse[:, PATCH // 2], points.lately_coarse)
        )
        kernels = points.asked_coarse.unflatten(1, (3, 3)).permute(0, 3, 1, 2) / PATCH
        images = grids.coarse.permute(0, 3, 1, 2).split(1)
        pairs = zip(images, kernels.chunk(videos), strict=True)
        patch = torch.cat([F.conv2d(image, kernel, padding=1)[0] for image, kernel in pairs])
        return torch.stack([asked, patch, lately], dim=1)

    def _after(
        self, grids: Grids, frame: Tensor, points: Points, guess: Guess, hidden: Tensor
    ) -> Points:
        """The points with what this frame taught: where they are and how they look now."""
        with torch.no_grad():
            xy = guess.xy.detach()
            seen = _confidence(guess)
            share = 0.3 * seen * (seen > 0.3)
            new_fine = read_patch(grids.fine, frame, xy / FINE)
            new_coarse = read_patch(grids.coarse, frame, xy / COARSE, spread=False)[:, 0]
            lately_fine = unit(torch.lerp(points.lately_fine, new_fine, share[:, None, None]))
            lately_coarse = unit(torch.lerp(points.lately_coarse, new_coarse, share[:, None]))
            velocity = torch.lerp(points.velocity * 0.8, xy - points.xy, 0.5 * seen[:, None])
        return replace(
            points,
            lately_fine=lately_fine,
            lately_coarse=lately_coarse,
            hidden=hidden,
            xy=xy,
            velocity=velocity,
            occlusion=guess.occlusion,
            expected_dist=guess.expected_dist,
        )

    # ------------------------------------------------------------------ whole clips

    def forward(self, video: Tensor, query_points: Tensor) -> Prediction:
        """Where the points go, forward and backward from their query frames.

        video [B, T, H, W, 3] uint8, or float in [-1, 1]; query_points [B, N, 3] in its pixels, the
        time rounded half to even. The result is that of going frame by frame (`step`).
        """
        query_points = checked_queries(video, query_points)
        times = query_points[..., 0].round().long().clamp(0, video.shape[1] - 1)
        clips = [
            self._clip(frames, asked_at, xy)
            for frames, asked_at, xy in zip(
                video, times, query_points[..., 1:].flip(-1), strict=True
            )
        ]
        return self._prediction(torch.stack(clips))

    def _prediction(self, said: Tensor) -> Prediction:
        above = self.settings.visible_above
        return Prediction(said[..., :2], said[..., 2], said[..., 3], visible_above=above)

    def _clip(self, video: Tensor, times: Tensor, xy: Tensor) -> Tensor:
        """[N, T, 4]: x, y and the two logits of points asked at xy [N, 2] of frames times [N]."""
        said = xy.new_zeros(len(xy), len(video), 4)
        if not len(xy):
            return said
        first, last = int(times.min()), int(times.max())
        chunk = self.settings.frames_per_chunk
        kept: dict[int, Grids] = {}  # of the frames that both ways need, the last ones only

        def walk(order: range) -> None:
            points, rows = None, times.new_zeros(0)
            for begin in range(0, len(order), chunk):
                part = list(order[begin : begin + chunk])
                missing = [t for t in part if t not in kept]
                if missing:
                    new = self.grids(video[missing])
                    kept.update({t: new.frames(slice(i, i + 1)) for i, t in enumerate(missing)})
                for t in part:
                    if points is not None:
                        points = self._follow(kept[t], points)
                    starting = (times == t).nonzero()[:, 0]
                    if len(starting):
                        new_points = self.start(kept[t], torch.zeros_like(starting), xy[starting])
                        points = Points.joined([points, new_points] if points else [new_points])
                        rows = torch.cat([rows, starting])
                    if points is not None:
                        said[rows, t] = _said(points)
                for t in list(kept)[: max(len(kept) - self.settings.frames_kept, 0)]:
                    del kept[t]

        walk(range(first, len(video)))
        walk(range(last, -1, -1))
        return said

    # ------------------------------------------------------------------ frame by frame

    def init_state(self) -> TapliteState:
        """No frame, no points."""
        return TapliteState()

    def step(self, frame: Tensor, state: TapliteState) -> tuple[Prediction, TapliteState]:
        """The points of `state` in the next frame [H, W, 3], and the state after it."""
        check_shapes(frame=(frame, "H W 3"))
        size = (frame.shape[0], frame.shape[1])
        if state.size not in (None, size):
            raise ValueError(f"frame: expected {state.size} as the frames before, got {size}")
        grids = self.grids(frame[None])
        points = state.points
        if points is None:
            none = torch.zeros(0, dtype=torch.long, device=frame.device)
            points = self.start(grids, none, grids.fine.new_zeros(0, 2))
        elif len(points.xy):
            points = self._follow(grids, points)
        said = self._prediction(_said(points)[None, :, None])
        return said, TapliteState(size, grids, points)

    def add(self, state: TapliteState, points: Tensor) -> TapliteState:
        """The state with points [K, 2] (y, x), pixels of the last frame, after those it has."""
        if state.grids is None or state.points is None:
            raise ValueError("add: expected a state that has seen a frame; call step first")
        check_shapes(points=(points, "K 2"))
        xy = points.flip(-1).to(state.points.xy)
        frame = torch.zeros(len(xy), dtype=torch.long, device=xy.device)
        return replace(
            state, points=Points.joined([state.points, self.start(state.grids, frame, xy)])
        )

    def keep(self, state: TapliteState, index: Tensor) -> TapliteState:
        """The state with only the points `index` (rows), in that order."""
        if state.points is None:
            raise ValueError("keep: expected a state that has seen a frame; call step first")
        return replace(state, points=state.points.take(index))

    # ------------------------------------------------------------------ training

    def training_losses(
        self, video: Tensor, query_points: Tensor, target_points: Tensor, occluded: Tensor
    ) -> dict[str, Tensor]:
        """What training minimises the sum of: each point followed forward from its query.

        video [B, T, H, W, 3], query_points [B, N, 3], target_points [B, N, T, 2], occluded
        [B, N, T]. `search`: cross-entropy of the heat map with the cells around the truth;
        `position`: distance of every correction, a fifth as much where a point is hidden but in
        the frame; `occlusion`; `uncertainty`: whether each correction is farther off than
        `taplite_losses.FAR`, for visible points. Each is the mean over what is followed in a clip,
        and that over clips, so that a batch in parts has the loss of the whole.
        """
        batch, frames, height, width = video.shape[:4]
        grids = self.grids(video.flatten(0, 1))
        times = query_points[..., 0].round().long()  # [B, N]
        clip = torch.arange(batch, device=video.device)[:, None]
        xy = query_points[..., 1:].flip(-1).flatten(0, 1)
        points = self.start(grids, (clip * frames + times).flatten(), xy)
        fine = grids.fine.unflatten(0, (batch, frames)).unbind(1)
        coarse = grids.coarse.unflatten(0, (batch, frames)).unbind(1)
        truth, hidden = target_points.flatten(0, 1), occluded.flatten(0, 1)
        size = truth.new_tensor([width, height])
        within = ((truth >= 0) & (truth < size)).all(-1)
        weight = torch.where(hidden, 0.2 * within, 1.0)  # [M, T]
        truth = torch.where((hidden & ~within)[..., None], 0.0, truth)  # it may be NaN there
        asked_at = times.flatten()
        sums: dict[str, Tensor] = {}
        for t in range(1, frames):
            now = Grids(fine[t], coarse[t])
            likeness, place = self._likeness(now, points), points.expected / COARSE
            heat = self.search.everywhere(likeness, place, points.hidden)
            found = peaks(heat, likeness)
            near, task = now.ringed(), self._task(now, points, found)
            guesses, hidden_state = [_first(points, found)], points.hidden
            for _ in range(self.settings.iterations):  # gradients do not flow through positions
                xy = guesses[-1].xy.detach()
                guess, hidden_state = self._correction(near, task, xy, hidden_state)
                guesses.append(guess)
            after = self._after(now, task.frame, points, guesses[-1], hidden_state)
            active = asked_at < t
            points = after.where(active, points)
            visible = active & ~hidden[:, t] & within[:, t]
            terms = frame_losses(
                guesses,
                heat,
                truth[:, t] / COARSE,
                truth[:, t],
                hidden[:, t],
                visible,
                active * weight[:, t],
            )
            for name, value in terms.items():
                value = (value * active).view(query_points.shape[:2]).sum(1)
                sums[name] = sums[name] + value if name in sums else value
        count = (frames - 1 - times).sum(1).clamp_min(1)  # [B]
        return {name: (value / count).mean() for name, value in sums.items()}


def _first(points: Points, found: Found) -> Guess:
    """Where the search found the points; as hidden and as far off as a frame ago."""
    return Guess(found.place * COARSE, points.occlusion, points.expected_dist)


def _scores(near: Grids, task: Task, xy: Tensor) -> Tensor:
    """[M, 49 * 27]: the task's patches against the 7 x 7 cells around xy [M, 2]."""
    fine = against(near.fine, task.frame, xy / FINE, task.fine)
    fine = fine - fine.mean(1, keepdim=True)  # only differences between places tell where
    coarse = against(near.coarse, task.frame, xy / COARSE, task.coarse)
    return torch.cat([fine.flatten(1), coarse.flatten(1)], dim=1)


def _confidence(said: Points | Guess) -> Tensor:
    """[M]: how sure it is that they are visible, and where they are said to be."""
    return (-said.occlusion).sigmoid() * (-said.expected_dist).sigmoid()


def _said(points: Points) -> Tensor:
    """[M, 4]: x, y and the two logits."""
    logits = torch.stack([points.occlusion, points.expected_dist], dim=-1)
    return torch.cat([points.xy, logits], dim=-1)
