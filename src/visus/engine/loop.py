"""The training loop: phases, accumulation, averages, validation, checkpoints, resume.

Everything random in a step is a function of (seed, phase, step, process) and the order of items is a function of
(seed, phase, epoch): a resumed run continues bit for bit where the checkpoint was taken, also in the middle of an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from visus.data.loader import sample_order, share
from visus.engine.checkpoints import Checkpoints, pack_optimizer, unpack_optimizer
from visus.engine.ema import Averages
from visus.engine.progress import StepProgress
from visus.engine.runlog import RunLog
from visus.engine.schedules import rate_factor
from visus.engine.seeds import derive_seed, seed_globals
from visus.engine.signals import StopWish
from visus.engine.turn import StepTurn, parameters_of
from visus.errors import InputError, Interrupted, VisusError
from visus.nn.norms import sync_batch_norm
from visus.protocols import Batch, Phase, Scores, Source, Trainable

if TYPE_CHECKING:
    from visus.engine.run import Run

LOG_EVERY = 25


@dataclass
class Position:
    """Where training stands; with the tensors, all that a resumed run needs."""

    phase: int = 0
    step: int = 0
    taken: int = 0
    best: float | None = None
    best_name: str | None = None
    stale: int = 0
    ended: bool = False
    done: bool = False
    rows: int = 0


class Loop:
    """One training of one trainable in one run folder."""

    def __init__(
        self,
        run: Run,
        trainable: Trainable,
        source: Source,
        phases: Sequence[Phase],
        check: Callable[[], Scores] | None,
    ) -> None:
        self.run, self.trainable, self.source, self.phases, self.check = run, trainable, source, phases, check
        self.accelerator: Accelerator = run.accelerator
        self.position = Position()
        self.store = Checkpoints(run.folder / "checkpoints")
        board = run.folder / "tensorboard" if run.tensorboard and run.is_main else None
        self.log = RunLog(run.folder / "log.jsonl" if run.is_main else None, tensorboard=board)
        self.parts: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Any] = {}
        self.averages: Averages | None = None
        self._saved_at = time.monotonic()
        _validate(source, phases, check)

    # ---- the whole training -------------------------------------------------------------------------------------

    def train(self) -> list[dict[str, Any]]:
        """Run every phase that is not done yet; returns the log's rows."""
        self._set_up_parts()
        tensors = self._restore()
        total = sum(self._steps(phase) for phase in self.phases)
        progress = StepProgress(total, done=self._steps_before(), shown=self.run.progress and self.run.is_main)
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())), StopWish() as wish, progress:
            while not self.position.done:
                phase = self.phases[self.position.phase]
                self._begin(phase, tensors)
                tensors = None
                if not self.position.ended:
                    self._run_phase(phase, wish, progress)
                self._end(phase)
        self.log.close()
        return self.log.rows

    def _run_phase(self, phase: Phase, wish: StopWish, progress: StepProgress) -> None:
        total, position = self._steps(phase), self.position
        turn = StepTurn(
            self.accelerator,
            self.optimizers,
            accumulate=phase.accumulate,
            clip_norm=phase.clip_norm,
            after_update=self._after_update,
        )
        per_epoch = self._steps_per_epoch(phase)
        for micro_batches in self._feed(phase, position.step, total):
            epoch, in_epoch = divmod(position.step, per_epoch)
            logs = self._step(phase, turn, micro_batches, epoch=epoch, total=total)
            position.step += 1
            position.taken += 1
            self.log.add(phase=phase.name, epoch=epoch, step=position.step, **logs)
            note = self._flush() if position.step % LOG_EVERY == 0 else None
            progress.advance(phase.name, note)
            last = position.step == total
            if last or (in_epoch == per_epoch - 1 and (epoch + 1) % phase.check_every == 0):
                self._validate(phase, epoch)
                if phase.patience is not None and position.stale >= phase.patience:
                    progress.skip(total - position.step)
                    last = True
            if last:
                position.ended = True
                return
            self._pause(wish)

    def _step(
        self, phase: Phase, turn: StepTurn, micro_batches: list[Batch], *, epoch: int, total: int
    ) -> dict[str, Any]:
        position = self.position
        factor = rate_factor(phase, position.step, total)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
        items = sum(batch.pop("_items") for batch in micro_batches)
        logs: dict[str, Any] = {}
        for micro, batch in enumerate(micro_batches):
            names = (phase.name, position.step, micro, self.accelerator.process_index)
            seed = derive_seed(self.run.seed, *names)
            seed_globals(seed)
            turn.enter(
                micro=micro,
                items=items,
                seed=seed,
                phase=phase.name,
                epoch=epoch,
                step=position.step,
                progress=position.step / total,
            )
            with self.accelerator.autocast():
                fresh = self.trainable.step(to_device(batch, self.accelerator.device), turn)
            for key, value in fresh.items():
                value = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value)
                logs[key] = logs.get(key, 0.0) + value.float() / len(micro_batches)
        if self.accelerator.num_processes > 1 and logs:
            values = torch.stack([logs[key].to(self.accelerator.device) for key in logs])
            logs = dict(zip(logs, self.accelerator.reduce(values, "mean")))
        return logs

    def _after_update(self) -> None:
        if self.averages is not None:
            self.averages.update()

    # ---- data ---------------------------------------------------------------------------------------------------

    def _steps_per_epoch(self, phase: Phase) -> int:
        smallest = phase.accumulate * self.accelerator.num_processes
        whole, rest = divmod(len(self.source), phase.batch_size)
        return max(1, whole + (rest >= smallest and not phase.drop_last))

    def _steps(self, phase: Phase) -> int:
        return phase.steps if phase.steps is not None else (phase.epochs or 0) * self._steps_per_epoch(phase)

    def _steps_before(self) -> int:
        return sum(self._steps(phase) for phase in self.phases[: self.position.phase]) + self.position.step

    def _indices(self, phase: Phase, step: int) -> list[tuple[Sequence[int], int]]:
        """This process's items of every micro-batch of a step, with the micro-batch's size over all processes."""
        epoch, in_epoch = divmod(step, self._steps_per_epoch(phase))
        order = sample_order(len(self.source), seed=derive_seed(self.run.seed, phase.name, "order"), epoch=epoch)
        chosen = order[in_epoch * phase.batch_size : (in_epoch + 1) * phase.batch_size]
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        pieces = torch.tensor_split(chosen, phase.accumulate)
        return [(share(piece, rank, world).tolist(), len(piece)) for piece in pieces]

    def _read(self, phase: Phase, step: int) -> list[Batch]:
        return [{**self.source.batch(indices), "_items": size} for indices, size in self._indices(phase, step)]

    def _feed(self, phase: Phase, first: int, total: int) -> Iterator[list[Batch]]:
        """Batches of every step, read one step ahead in a thread."""
        with ThreadPoolExecutor(1) as pool:
            ahead: Future[list[Batch]] | None = None
            for step in range(first, total):
                ready = ahead or pool.submit(self._read, phase, step)
                ahead = pool.submit(self._read, phase, step + 1) if step + 1 < total else None
                yield ready.result()

    # ---- phases, validation, checkpoints ------------------------------------------------------------------------

    def _set_up_parts(self) -> None:
        self.parts = dict(self.trainable.parts())
        for module in self.parts.values():
            module.to(self.accelerator.device)
            if self.accelerator.num_processes > 1:
                sync_batch_norm(module)
                for tensor in [*module.parameters(), *module.buffers()]:
                    torch.distributed.broadcast(tensor.data, 0)

    def _begin(self, phase: Phase, tensors: Mapping[str, Tensor] | None) -> None:
        for module in self.parts.values():
            module.train()
        begin = getattr(self.trainable, "begin", None)
        if begin is not None:
            begin(phase.name)
        self.optimizers = {
            name: self.accelerator.prepare_optimizer(optimizer)
            for name, optimizer in self.trainable.optimizers().items()
        }
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
        self.averages = Averages(self.parts, phase.ema_decay) if phase.ema_decay is not None else None
        if tensors is not None:
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(unpack_optimizer(name, tensors, self._plain_optimizers[name]))
            if self.averages is not None:
                self.averages.load({k[len("ema/") :]: v for k, v in tensors.items() if k.startswith("ema/")})
        if phase.accumulate > 1 and phase.batch_size % phase.accumulate:
            raise InputError("is not a multiple of accumulate", field=f"batch_size of phase {phase.name}")

    def _validate(self, phase: Phase, epoch: int) -> None:
        if self.check is None:
            return
        with keep_modes(self.parts), self._averaged(), torch.no_grad():
            found = [self.check()]
        if self.accelerator.num_processes > 1:
            broadcast_object_list(found)
        scores = found[0]
        self.log.add(phase=phase.name, epoch=epoch, step=self.position.step, check=True, **scores)
        self._flush()
        if phase.monitor is None:
            return
        if phase.monitor not in scores:
            raise InputError(
                "is not among the validation scores", field=f"monitor {phase.monitor!r}", remedy=f"one of {list(scores)}"
            )
        value, best = float(scores[phase.monitor]), self.position.best
        better = best is None or (value > best if phase.better == "higher" else value < best)
        if not better or not math.isfinite(value):
            self.position.stale += 1
            return
        self.position.best, self.position.stale = value, 0
        self.position.best_name = f"best-{self.position.taken:09d}"
        with self._averaged():
            if self.run.is_main:
                self.store.save(self.position.best_name, self._weights(), {"score": value, **asdict(self.position)})

    def _end(self, phase: Phase) -> None:
        """Leave the phase with its chosen weights and write a checkpoint at the start of the next one."""
        self.accelerator.wait_for_everyone()
        if self.position.best_name is not None:
            tensors, _ = self.store.load(self.position.best_name)
            self._load_weights(tensors)
        elif self.averages is not None:
            self.averages.exchange()
        self.averages, self.optimizers = None, {}
        last = self.position.phase + 1 == len(self.phases)
        self.position = Position(
            phase=self.position.phase if last else self.position.phase + 1,
            taken=self.position.taken,
            done=last,
            step=self.position.step if last else 0,
            ended=last,
            best=self.position.best if last else None,
            best_name=self.position.best_name if last else None,
        )
        self._save()

    def _pause(self, wish: StopWish) -> None:
        """Between steps: checkpoint when it is time, stop when asked to."""
        stop = wish.wanted is not None
        due = time.monotonic() - self._saved_at > self.run.checkpoint_seconds
        due = due or bool(self.run.checkpoint_steps and self.position.taken % self.run.checkpoint_steps == 0)
        if self.accelerator.num_processes > 1:
            flags = torch.tensor([float(stop), float(due)], device=self.accelerator.device)
            stop, due = (bool(flag) for flag in self.accelerator.reduce(flags, "sum"))
        if stop or due:
            self._save()
        if stop:
            raise Interrupted(f"Stopped after step {self.position.taken}; run the same command again to go on.")

    def _flush(self) -> dict[str, Any]:
        fresh = self.log.flush()
        for row in fresh:
            if row.get("loss", 0.0) is None:
                raise VisusError(
                    f"The loss became infinite or not a number at step {row['step']} of phase {row['phase']}: "
                    "lower the learning rate or set a gradient clipping norm."
                )
        return {key: fresh[-1][key] for key in fresh[-1] if key not in ("time", "step", "epoch")} if fresh else {}

    def _averaged(self) -> Any:
        return self.averages.applied() if self.averages is not None else nullcontext()

    def _weights(self) -> dict[str, Tensor]:
        return {f"part/{n}/{k}": v for n, module in self.parts.items() for k, v in module.state_dict().items()}

    def _load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        for name, module in self.parts.items():
            prefix = f"part/{name}/"
            module.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})

    def _save(self) -> None:
        self._flush()
        self.position.rows = len(self.log.rows)
        self._saved_at = time.monotonic()
        if self.run.is_main:
            tensors, plain = self._weights(), {}
            for name, optimizer in self.optimizers.items():
                more, plain[name] = pack_optimizer(name, optimizer.state_dict())
                tensors |= more
            if self.averages is not None:
                tensors |= {f"ema/{key}": value for key, value in self.averages.shadow.items()}
            scaler = getattr(self.accelerator, "scaler", None)
            state = {
                "position": asdict(self.position),
                "optimizers": plain,
                "scaler": scaler.state_dict() if scaler else None,
            }
            name = f"step-{self.position.taken:09d}-{self.position.phase:02d}{'-done' if self.position.done else ''}"
            self.store.save(name, tensors, state)
            self.store.tidy(name, self.position.best_name)
        self.accelerator.wait_for_everyone()

    def _restore(self) -> dict[str, Tensor] | None:
        """Take up the newest checkpoint; returns its tensors when it lies inside a phase."""
        self.accelerator.wait_for_everyone()
        name = self.store.newest()
        if name is None:
            self.log.truncate(0)
            return None
        tensors, state = self.store.load(name)
        self.position = Position(**state["position"])
        self._plain_optimizers = state["optimizers"]
        self._load_weights(tensors)
        self.log.truncate(self.position.rows)
        scaler = getattr(self.accelerator, "scaler", None)
        if scaler and state["scaler"]:
            scaler.load_state_dict(state["scaler"])
        return tensors if state["optimizers"] else None


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move the tensors of a batch."""
    return {key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value for key, value in batch.items()}


@contextmanager
def keep_modes(parts: Mapping[str, nn.Module]) -> Iterator[None]:
    """Put every module's training flag back afterwards."""
    flags = [(module, module.training) for part in parts.values() for module in part.modules()]
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag


def _validate(source: Source, phases: Sequence[Phase], check: Callable[[], Scores] | None) -> None:
    if len(source) == 0:
        raise InputError("is empty", field="training set", remedy="give at least one item")
    if not phases:
        raise InputError("is empty", field="phases")
    for phase in phases:
        if (phase.epochs is None) == (phase.steps is None):
            raise InputError("needs either epochs or steps", field=f"phase {phase.name}")
        if phase.monitor is not None and check is None:
            raise InputError(
                "needs a validation set to choose the best weights by", field=f"phase {phase.name}", remedy="monitor=None"
            )
