"""A training from its first step, or from where it stopped, to its end or the end of its time."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Literal

from tapnet import checkpoint, config
from tapnet.config import Run
from tapnet.data.batches import Batch, batches
from tapnet.data.sources import KubricClips, ShardClips, Source
from tapnet.data.synthetic import Recipe
from tapnet.files import replacing
from tapnet.scenes import PRESETS
from tapnet.train.folder import Folder
from tapnet.train.journal import Board, Lines
from tapnet.train.judging import Judge, datasets
from tapnet.train.pace import Clock, Meter, Status, Stop, Waited
from tapnet.train.processes import Processes, joined
from tapnet.train.trainer import Step, Trainer

_log = logging.getLogger(__name__)

PATIENCE = 5  # steps in a row whose loss may be no number
Mode = Literal["train", "eval", "train_and_eval"]
Tell = Callable[[Status], None]


def train(run: Run, mode: Mode = "train_and_eval", tell: Tell | None = None) -> int:
    """Trains, or goes on where the run in `run.out` stopped; the steps done in all.

    Stops before `run.budget` is over, on SIGTERM and on Ctrl-C, each time with a checkpoint; the
    same call goes on from it, to the same weights as if it had not stopped. With `mode` "train"
    nothing is judged; with "eval" the weights there are judged and nothing is trained. `tell` is
    called after each step, in the first process. Raises ValueError for settings or data that are
    wrong, and when the loss is no number again and again; FileNotFoundError for data that is not
    there; OSError for a full disk and when the system killed a helping process. The last checkpoint
    stays good.
    """
    config.check(run)
    clock = Clock(config.seconds(run.budget) if run.budget else math.inf)
    try:
        return _train(run, mode, tell, clock)
    except RuntimeError as error:  # torch raises it wherever the training is, even within a step
        if "DataLoader worker" not in str(error):
            raise
        raise ChildProcessError(
            "a process that prepares clips was killed, perhaps for the memory it took; lower "
            "data.workers or data.prefetch, and the same command goes on"
        ) from error


def _train(run: Run, mode: Mode, tell: Tell | None, clock: Clock) -> int:
    with joined(run.device) as us, Stop() as stop:
        folder = Folder(run.out, run.checkpoint)
        source = None if mode == "eval" else source_of(run)  # fails before anything is done
        if not us.first:
            us.wait()
            other = _Training(run, us, folder, clock, stop)
            return other.trainer.step if source is None else other.go(source)
        with folder.claimed():
            us.wait()
            first = _First(run, us, folder, clock, stop, mode, tell)
            try:
                return first.judge_only() if source is None else first.go(source)
            finally:
                first.board.close()


class _Training:
    """A process of a training."""

    def __init__(self, run: Run, us: Processes, folder: Folder, clock: Clock, stop: Stop) -> None:
        self.run, self.us, self.folder, self.clock, self.stop = run, us, folder, clock, stop
        kept = folder.load()
        self.trainer = Trainer(run if kept is None else dataclasses.replace(run, init=None), us)
        if kept is not None:
            self.trainer.resume(*kept)
        us.check_alike(self.trainer.step, self.trainer.model)

    def go(self, source: Source) -> int:
        """Trains to the end, or to where all processes agree to stop."""
        trainer, stopped = self.trainer, False
        clips = Waited(self.us.together(batches_of(source, self.run, self.us, trainer.step)))
        self.begun()
        while trainer.step < self.run.steps and not stopped:
            began, waited = time.monotonic(), clips.seconds
            asked = self.stop.asked or not self.clock.has_time()
            try:
                step = trainer.advance(clips, asked)
            except (ValueError, OSError):
                self.failed()
                raise
            seconds = time.monotonic() - began
            self.clock.stepped(seconds)
            if trainer.skipped_in_a_row >= PATIENCE:
                raise ValueError(self._no_number(step))
            self.stepped(step, seconds, clips.seconds - waited)
            stopped = step.stop
        self.ended()
        return trainer.step

    def _no_number(self, step: Step) -> str:
        terms = ", ".join(f"{name} {value:g}" for name, value in step.terms.items())
        last, steps = self.trainer.step - self.trainer.skipped_in_a_row, self.folder.steps()
        good = max((kept for kept in steps if kept <= last), default=0)
        later = "remove the checkpoints after it, " if steps and steps[-1] > last else ""
        return (
            f"the loss or its gradient was no finite number {PATIENCE} steps in a row, up to step "
            f"{self.trainer.step} ({terms}, gradient {step.norm:g}); what was kept before is step "
            f"{good}: {later}lower optim.lr or set optim.clip_norm, and the same command goes on "
            "from it"
        )

    # What only the first process does at these points.

    def begun(self) -> None: ...

    def stepped(self, step: Step, seconds: float, waited: float) -> None: ...

    def failed(self) -> None: ...

    def ended(self) -> None: ...


class _First(_Training):
    """The process that writes files, judges and tells."""

    def __init__(
        self,
        run: Run,
        us: Processes,
        folder: Folder,
        clock: Clock,
        stop: Stop,
        mode: Mode,
        tell: Tell | None,
    ) -> None:
        super().__init__(run, us, folder, clock, stop)
        step = self.trainer.step
        if mode == "eval" and not folder.steps() and run.init is None:
            raise FileNotFoundError(f"{run.out}: expected a trained run to judge, or init weights")
        for name in ("log.jsonl", "scores.jsonl"):
            Lines(run.out / name).keep_until(step)
        self.board = Board(run.out / "tensorboard", step)
        self.judge = None
        if mode != "train":
            found = datasets(run, workers_of(run, us))
            self.judge = Judge(run, found, us.device, self.board)
            for line in self.judge.lines.read():
                clock.judgement = line.get("seconds", clock.judgement)  # of the last one
        self.tell = tell
        self.meter = Meter()
        self.saved_at = time.monotonic()

    def judge_only(self) -> int:
        """Scores the weights there are and exports them."""
        if self.judge is not None:
            self.judge(self.trainer.average.model, self.trainer.step)
        if self.folder.steps():
            self._export()
        return self.trainer.step

    def begun(self) -> None:
        run, step = self.run, self.trainer.step
        if step >= run.steps:
            _log.info(
                "%s is trained to step %d: nothing is left to do up to %d; more steps go on",
                *(run.out, step, run.steps),
            )
        elif step:
            _log.info("going on from step %d of %d in %s", step, run.steps, run.out)
        if run.optim.bfloat16 and self.us.device.type != "cuda":
            _log.info("bfloat16 is for GPUs: computing in float32 on %s", self.us.device.type)
        path, text = run.out / "run.json", config.to_json(run)
        if path.exists():
            for change in config.changes(json.loads(path.read_text()), json.loads(text)):
                _log.info("setting changed: %s", change)
        with replacing(path) as temporary:
            temporary.write_text(text)
        if self._is_judgement_due() and not self.clock.has_time(self.clock.judgement):
            _log.warning(
                "step %d is not judged: that takes %.0f s, for which this budget is too short",
                step,
                self.clock.judgement,
            )
            self.judge = None
        self._judge_if_due()

    def stepped(self, step: Step, seconds: float, waited: float) -> None:
        number, run = self.trainer.step, self.run
        self.meter.add(step, seconds, waited)
        status = self.meter.status(number, run.steps, run.optim.batch, self.trainer.skipped)
        if not step.done:
            _log.warning("step %d skipped: its loss or gradient is no finite number", number)
        if number % run.log_every == 0 or number == run.steps:
            self._write_down(status, step)
            self.meter = Meter()
        if self.tell is not None:
            self.tell(status)
        if step.stop or self._is_judgement_due() or number == run.steps or self._is_time_to_save():
            self._save()
        if not step.stop:
            self._judge_if_due()

    def failed(self) -> None:
        if self.trainer.step:
            self._save()  # what was learnt before is good

    def ended(self) -> None:
        if self.trainer.step < self.run.steps:
            _log.info(
                "stopped at step %d of %d; the same command goes on",
                self.trainer.step,
                self.run.steps,
            )
            return
        self._judge_if_due()
        self._export()

    def _write_down(self, status: Status, step: Step) -> None:
        found = {"loss": status.loss, **status.terms} if status.terms else {}
        pace = {"clips_per_second": status.clips_per_second, "waiting": status.waiting}
        numbers = {**found, "learning_rate": step.rate, "gradient": step.norm, **pace}
        numbers = {k: v for k, v in numbers.items() if math.isfinite(v)}  # JSON knows no others
        Lines(self.run.out / "log.jsonl").write(
            status.step, numbers | {"skipped": status.skipped, "time": round(time.time())}
        )
        self.board.scalars(status.step, {f"train/{k}": v for k, v in numbers.items()})

    def _is_time_to_save(self) -> bool:
        settings, step = self.run.checkpoint, self.trainer.step
        by_clock = time.monotonic() - self.saved_at > 60 * settings.minutes
        return by_clock or bool(settings.every and step % settings.every == 0)

    def _save(self) -> None:
        began = time.monotonic()
        # Those of skipped steps push none out that was saved before them.
        keep = self.run.checkpoint.keep + self.trainer.skipped_in_a_row
        settings = dataclasses.replace(self.run.checkpoint, keep=keep)
        folder = dataclasses.replace(self.folder, settings=settings)
        folder.save(self.trainer.step, self.trainer.state(), self.trainer.about())
        self.saved_at = time.monotonic()
        self.clock.save = max(self.clock.save, self.saved_at - began)

    def _is_judgement_due(self) -> bool:
        return self.judge is not None and self.judge.due(self.trainer.step)

    def _judge_if_due(self) -> None:
        """Or stops when there is no time for it: the next leg begins with it."""
        if self.judge is None or not self._is_judgement_due():
            return
        if not self.clock.has_time(self.clock.judgement):
            self.stop.asked = True
            return
        seconds = self.judge(self.trainer.average.model, self.trainer.step)
        self.clock.judgement = max(self.clock.judgement, seconds)

    def _export(self) -> None:
        path = self.run.out / "model.safetensors"
        checkpoint.save(path, self.trainer.average.model, step=str(self.trainer.step))
        _log.info("wrote %s", path)


def source_of(run: Run) -> Source:
    """The clips a run trains on. Raises ValueError and FileNotFoundError."""
    data = run.data
    if data.shards and data.kubric is not None:
        raise ValueError("data: expected shards or kubric or neither, got both; remove one")
    if data.shards:
        return ShardClips(data.shards, run.seed)
    if data.kubric is not None:
        return KubricClips(data.kubric, run.seed, points=data.points, size=data.size)
    settings = dataclasses.replace(
        PRESETS[data.preset],
        frames=data.frames,
        size=data.size,
        points=data.points,
        samples=data.samples,
    )
    recipe = Recipe(run.seed, settings, data.pack)
    recipe.assets()  # fails now rather than in a worker, and is there for all when they fork
    return recipe


def batches_of(source: Source, run: Run, us: Processes, step: int) -> Iterator[Batch]:
    """What this process trains on from a step on."""
    return batches(
        source,
        run.optim.batch,
        augmentation=run.augment,
        seed=run.seed,
        start=step,
        rank=us.rank,
        world=us.world,
        parts=run.optim.accumulate,
        workers=workers_of(run, us),
        prefetch=run.data.prefetch,
        pin=us.device.type == "cuda",
    )


def workers_of(run: Run, us: Processes) -> int:
    """Processes that prepare clips for this one: its share of the CPUs, unless the run says."""
    if run.data.workers is not None:
        return run.data.workers
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (usable or 1) // us.local_world)
