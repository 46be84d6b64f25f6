"""The training loop: phases, accumulation, averages, validation, checkpoints, resume.

Everything random in a step is a function of (seed, phase, step, process) and the order of items one of (seed,
phase, epoch): a resumed run continues bit for bit where its checkpoint was taken, also within an epoch.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import torch
from accelerate import Accelerator
from accelerate.utils import AutocastKwargs, broadcast_object_list
from torch import Tensor, nn

from visus.engine.checkpoints import Checkpoints, pack_optimizer, unpack_optimizer
from visus.engine.ema import Averages
from visus.engine.feed import Feed, validate_phases
from visus.engine.progress import StepProgress
from visus.engine.runlog import RunLog
from visus.engine.schedules import rate_factor
from visus.engine.seeds import derive_seed, seed_globals, seeded
from visus.engine.signals import StopWish
from visus.engine.turn import StepTurn
from visus.errors import InputError, Interrupted, VisusError
from visus.nn.norms import has_batch_norm, sync_batch_norm
from visus.protocols import Batch, Phase, Scores, Source, Trainable

if TYPE_CHECKING:
    from visus.engine.run import Run

LOG_EVERY = 25


@dataclass
class Position:
    """Where training stands; with the tensors, all that a resumed run needs.

    `step` counts within the phase and `taken` over all phases. At step 0 the phase has not begun: the tensors
    are those of the end of the phase before it.
    """

    phase: int = 0
    step: int = 0
    taken: int = 0
    best: float | None = None
    best_name: str | None = None
    stale: int = 0
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
        validate_phases(source, phases, check)
        self.run, self.trainable, self.phases, self.check = run, trainable, phases, check
        self.accelerator: Accelerator = run.accelerator
        self.position = Position()
        self.store = Checkpoints(run.folder / "checkpoints")
        self.parts: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        # every optimizer that some phase may still use; those the trainable let go disappear
        self._known: WeakValueDictionary[str, torch.optim.Optimizer] = WeakValueDictionary()
        self.averages: Averages | None = None
        self._saved_at = time.monotonic()
        self._place_parts()
        fewest = 2 if any(has_batch_norm(module) for module in self.parts.values()) else 1
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        self.feed = Feed(source, seed=run.seed, rank=rank, world=world, fewest=fewest)
        for phase in phases:
            self.feed.validate(phase)
        board = run.folder / "tensorboard" if run.tensorboard and run.is_main else None
        self.log = RunLog(run.folder / "log.jsonl" if run.is_main else None, tensorboard=board)

    # ---- the whole training -------------------------------------------------------------------------------

    def train(self) -> list[dict[str, Any]]:
        """Run every phase that is not done yet; returns the log's rows."""
        with closing(self.log), seeded(self.run.seed, "training"), StopWish() as wish:
            self._restore()
            total = sum(self.feed.steps(phase) for phase in self.phases)
            before = sum(self.feed.steps(phase) for phase in self.phases[: self.position.phase])
            shown = self.run.progress and self.run.is_main
            with StepProgress(total, done=before + self.position.step, shown=shown) as progress:
                while not self.position.done:
                    if self.position.step == 0:
                        self._begin(self.position.phase)
                    self._run_phase(self.phases[self.position.phase], wish, progress)
                    self._end()
                    stop, _ = self._agree(wish.wanted is not None, False)
                    if stop:
                        raise self._interrupted()
        for module in self.parts.values():
            module.eval()
        return self.log.rows

    def _run_phase(self, phase: Phase, wish: StopWish, progress: StepProgress) -> None:
        position, total, per_epoch = self.position, self.feed.steps(phase), self.feed.steps_per_epoch(phase)
        turn = StepTurn(
            self.accelerator, self.optimizers, accumulate=phase.accumulate, clip_norm=phase.clip_norm
        )
        with closing(self.feed.batches(phase, position.step)) as batches:
            for micro_batches, items in batches:
                epoch, in_epoch = divmod(position.step, per_epoch)
                logs = self._step(phase, turn, micro_batches, items=items, epoch=epoch, total=total)
                position.step += 1
                position.taken += 1
                self.log.add(phase=phase.name, epoch=epoch, step=position.step, **logs)
                note = self._flush() if position.step % LOG_EVERY == 0 else None
                progress.advance(phase.name, note)
                last = position.step == total
                if last or (in_epoch == per_epoch - 1 and (epoch + 1) % phase.check_every == 0):
                    self._score(phase, epoch)
                    if phase.patience is not None and position.stale >= phase.patience:
                        progress.skip(total - position.step)
                        last = True
                if last:
                    return
                self._pause(wish)

    def _step(
        self, phase: Phase, turn: StepTurn, micro_batches: list[Batch], *, items: int, epoch: int, total: int
    ) -> dict[str, Any]:
        step, world = self.position.step, self.accelerator.num_processes
        self._set_rates(rate_factor(phase, step, total))
        # a cached low-precision weight would be stale after the first of several updates in one step
        precision = AutocastKwargs(cache_enabled=False)
        place = {"phase": phase.name, "epoch": epoch, "step": step, "progress": step / total}
        logs: dict[str, Any] = {}
        for micro, batch in enumerate(micro_batches):
            seed = derive_seed(self.run.seed, phase.name, step, micro, self.accelerator.process_index)
            seed_globals(seed)
            turn.enter(micro=micro, items=items, seed=seed, **place)
            with self.accelerator.autocast(precision):
                fresh = self.trainable.step(to_device(batch, self.accelerator.device), turn)
            for key, value in fresh.items():
                value = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value)
                logs[key] = logs.get(key, 0.0) + value.float() / len(micro_batches)
        turn.leave()
        if self.averages is not None:
            self.averages.update()
        if world > 1 and logs:
            values = torch.stack([logs[key].to(self.accelerator.device) for key in logs])
            logs = dict(zip(logs, self.accelerator.reduce(values, "mean")))
        return logs

    def _set_rates(self, factor: float) -> None:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    # ---- phases and validation ----------------------------------------------------------------------------

    def _place_parts(self) -> None:
        """Put the parts on the device, equal on all processes."""
        self.parts = dict(self.trainable.parts())
        for module in self.parts.values():
            module.to(self.accelerator.device)
            if self.accelerator.num_processes > 1:
                sync_batch_norm(module)
                for tensor in [*module.parameters(), *module.buffers()]:
                    torch.distributed.broadcast(tensor.data, 0)

    def _begin(self, number: int) -> None:
        """Set up a phase. A resumed run repeats this for every phase up to its own, then loads weights."""
        phase = self.phases[number]
        for module in self.parts.values():
            module.train()
        seed_globals(derive_seed(self.run.seed, phase.name, "begin"))
        begin = getattr(self.trainable, "begin", None)
        if begin is not None:
            begin(phase.name)
            self._place_parts()
        self.optimizers = dict(self.trainable.optimizers())
        for name, optimizer in self.optimizers.items():
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["initial_lr"] = float(group["lr"])
            if not any(optimizer is known for known in self._known.values()):
                self._known[f"{number}.{name}"] = optimizer
        self.averages = Averages(self.parts, phase.ema_decay) if phase.ema_decay is not None else None

    def _score(self, phase: Phase, epoch: int) -> None:
        """Validate; keep the weights if they are the best so far."""
        if self.check is None:
            return
        seed_globals(derive_seed(self.run.seed, phase.name, self.position.step, "check"))
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
                "is not among the validation scores",
                field=f"monitor {phase.monitor!r}",
                remedy=f"one of {list(scores)}",
            )
        value, best = float(scores[phase.monitor]), self.position.best
        better = best is None or (value > best if phase.better == "higher" else value < best)
        if not better or not math.isfinite(value):
            self.position.stale += 1
            return
        self.position.best, self.position.stale = value, 0
        self.position.best_name = f"best-{self.position.taken:09d}"
        if self.run.is_main:
            with self._averaged():
                self.store.save(
                    self.position.best_name, self._weights(), {"score": value, **asdict(self.position)}
                )

    def _end(self) -> None:
        """Leave the phase with its chosen weights and write a checkpoint at the start of the next one."""
        self.accelerator.wait_for_everyone()
        if self.position.best_name is not None:
            self._load_weights(self.store.load(self.position.best_name)[0])
        elif self.averages is not None:
            self.averages.exchange()
        self._set_rates(1.0)
        self.averages, self.optimizers = None, {}
        if self.position.phase + 1 == len(self.phases):
            self.position.done = True
        else:
            self.position = Position(phase=self.position.phase + 1, taken=self.position.taken)
        self._save()

    def _averaged(self) -> Any:
        return self.averages.applied() if self.averages is not None else nullcontext()

    # ---- stopping, checkpoints, resume --------------------------------------------------------------------

    def _pause(self, wish: StopWish) -> None:
        """Between steps: checkpoint when it is time, stop when asked to."""
        due = time.monotonic() - self._saved_at > self.run.checkpoint_seconds
        due = due or bool(self.run.checkpoint_steps and self.position.taken % self.run.checkpoint_steps == 0)
        stop, due = self._agree(wish.wanted is not None, due)
        if stop or due:
            self._save()
        if stop:
            raise self._interrupted()

    def _agree(self, stop: bool, due: bool) -> tuple[bool, bool]:
        """What any process wants, all do."""
        if self.accelerator.num_processes > 1:
            flags = torch.tensor([float(stop), float(due)], device=self.accelerator.device)
            stop, due = (bool(flag) for flag in self.accelerator.reduce(flags, "sum"))
        return stop, due

    def _interrupted(self) -> Interrupted:
        return Interrupted(f"Stopped after step {self.position.taken}; run the same command again to go on.")

    def _flush(self) -> dict[str, Any]:
        fresh = self.log.flush()
        for row in fresh:
            if row.get("loss", 0.0) is None and "check" not in row:
                raise _diverged(
                    f"loss became infinite or not a number at step {row['step']} of phase {row['phase']}"
                )
        return (
            {key: fresh[-1][key] for key in fresh[-1] if key not in ("time", "step", "epoch")}
            if fresh
            else {}
        )

    def _weights(self) -> dict[str, Tensor]:
        return {
            f"part/{n}/{k}": v for n, module in self.parts.items() for k, v in module.state_dict().items()
        }

    def _load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        for name, module in self.parts.items():
            prefix = f"part/{name}/"
            module.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})

    def _plan(self) -> dict[str, Any]:
        """What must be the same when the run is resumed, as plain data."""
        phases = [asdict(phase) for phase in self.phases]
        return json.loads(json.dumps({"phases": phases, "items": len(self.feed.source)}))

    def _save(self) -> None:
        self._flush()
        # a finite loss can have a gradient that is not: never resume from what it leaves
        for part, module in self.parts.items():
            for name, weight in module.named_parameters():
                if not torch.isfinite(weight).all():
                    where = f"by step {self.position.taken}"
                    raise _diverged(f"weight {part}.{name} became infinite or not a number {where}")
        self.position.rows = len(self.log.rows)
        self._saved_at = time.monotonic()
        if self.run.is_main:
            tensors, plain = self._weights(), {}
            for name, optimizer in self._known.items():
                more, plain[name] = pack_optimizer(name, optimizer.state_dict())
                tensors |= more
            if self.averages is not None:
                tensors |= {f"ema/{key}": value for key, value in self.averages.shadow.items()}
            scaler = self.accelerator.scaler
            state = {
                "position": asdict(self.position),
                "plan": self._plan(),
                "optimizers": plain,
                "scaler": scaler.state_dict() if scaler is not None else None,
            }
            name = f"step-{self.position.taken:09d}-{self.position.phase:02d}"
            name += "-done" if self.position.done else ""
            self.store.save(name, tensors, state)
            self.store.tidy(name, self.position.best_name)
        self.accelerator.wait_for_everyone()

    def _restore(self) -> None:
        """Take up the newest checkpoint, if there is one."""
        self.accelerator.wait_for_everyone()
        name = self.store.newest()
        if name is None:
            self.log.truncate(0)
            return
        tensors, state = self.store.load(name)
        other = "choose another folder, or delete this one to start again"
        if state.get("plan") != self._plan():
            raise InputError("holds a training with other phases or data", file=self.run.folder, remedy=other)
        self.position = Position(**state["position"])
        inside = self.position.step > 0 and not self.position.done
        for number in range(self.position.phase + (inside or self.position.done)):
            self._begin(number)
        if not inside:
            self.averages, self.optimizers = None, {}
        current = {id(optimizer) for optimizer in self.optimizers.values()}
        try:
            self._load_weights(tensors)
            for name, optimizer in self._known.items():
                if name in state["optimizers"] or id(optimizer) in current:
                    optimizer.load_state_dict(unpack_optimizer(name, tensors, state["optimizers"][name]))
        except (RuntimeError, ValueError, KeyError) as error:
            problem = f"holds a training of another model ({str(error).splitlines()[0]})"
            raise InputError(problem, file=self.run.folder, remedy=other) from None
        if self.averages is not None:
            self.averages.load({k[len("ema/") :]: v for k, v in tensors.items() if k.startswith("ema/")})
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.log.truncate(self.position.rows)


def _diverged(problem: str) -> VisusError:
    return VisusError(f"The {problem}: lower the learning rate or set a gradient clipping norm.")


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move the tensors of a batch."""
    return {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for key, value in batch.items()
    }


@contextmanager
def keep_modes(parts: Mapping[str, nn.Module]) -> Iterator[None]:
    """Put every module's training flag back afterwards."""
    flags = [(module, module.training) for part in parts.values() for module in part.modules()]
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag
