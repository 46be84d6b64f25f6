"""A run is a folder: running again in the same folder resumes."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list

from visus.engine.seeds import seeded
from visus.errors import InputError
from visus.protocols import Phase, Scores, Source, Trainable
from visus.records import read_json, write_json
from visus.version import __version__


class Run:
    """A folder in which work is done, with the device, the seed and the processes it is done with.

    Parameters
    ----------
    folder : where checkpoints, log and results go; None = a temporary folder that vanishes with this object
        (and the runs inside it).
    seed : every random choice of the run follows from it.
    device : "auto" (CUDA, else the CPU), "cpu", "cuda" or "cuda:<n>".
    precision : "no", "bf16" or "fp16" mixed precision.
    progress : show progress with an estimate on standard error.
    tensorboard : also write TensorBoard event files.
    checkpoint_seconds, checkpoint_steps : a checkpoint at least this often.

    Attributes
    ----------
    cache : folder for what can be computed again and whose names are hashes of all it depends on (features of files
        and texts). Inside the run's own, unless somebody sets another that runs share.

    Raises
    ------
    InputError : `folder` cannot be made; on first use of `accelerator`: no such device or precision.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        seed: int = 0,
        device: str = "auto",
        precision: str = "no",
        progress: bool = True,
        tensorboard: bool = False,
        checkpoint_seconds: float = 30.0,
        checkpoint_steps: int | None = None,
    ) -> None:
        self.seed, self.precision, self.progress, self.tensorboard = seed, precision, progress, tensorboard
        self.checkpoint_seconds, self.checkpoint_steps = checkpoint_seconds, checkpoint_steps
        self._asked_device = device
        self._accelerator: Accelerator | None = None
        self._parent: Run | None = None
        self.folder = self._temporary() if folder is None else _make(Path(folder))
        self.cache = self.folder / "cache"

    def _temporary(self) -> Path:
        """A folder that vanishes with this object; all processes use that of the main one."""
        names = [tempfile.mkdtemp(prefix="visus-")]
        weakref.finalize(self, shutil.rmtree, names[0], ignore_errors=True)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and self.accelerator.num_processes > 1:
            broadcast_object_list(names)
        return Path(names[0])

    @property
    def accelerator(self) -> Accelerator:
        """Accelerate's view of device, precision and processes."""
        cpu = uses_cpu(self._asked_device)
        if self._accelerator is None or not _is_current(self.precision, cpu):
            self._accelerator = _accelerator(self.precision, cpu)
        if self._asked_device.startswith("cuda:"):
            torch.cuda.set_device(torch.device(self._asked_device))
        return self._accelerator

    @property
    def device(self) -> torch.device:
        """Where tensors of this run live."""
        return self.accelerator.device

    @property
    def is_main(self) -> bool:
        """True on the one process that writes files and prints."""
        return self.accelerator.is_main_process

    def child(self, name: str) -> Run:
        """A run inside this one (a fold, an ensemble member, a pre-training), in a folder of that name."""
        made = copy.copy(self)
        made._parent = self  # a temporary folder must outlive the runs inside it
        made.folder = _make(self.folder / name)
        return made

    def seeded(self, *names: str | int) -> AbstractContextManager[None]:
        """Seed the global generators for a block, e.g. for building a network: `with run.seeded("init"):`."""
        return seeded(self.seed, *names)

    def bind(self, settings: Mapping[str, Any]) -> None:
        """Tie the folder to `settings` (plain data); a folder tied to others is refused, untouched."""
        file = self.folder / "run.json"
        own = json.loads(json.dumps({**settings, "seed": self.seed, "precision": self.precision}))
        if file.exists():
            changed = sorted(_changed(read_json(file).get("settings"), own))
            if changed:
                raise InputError(
                    f"holds a run with other settings ({', '.join(changed)})",
                    file=self.folder,
                    remedy="choose another folder, or delete this one to start again",
                )
        elif self.is_main:
            write_json(file, {"settings": own, "visus": __version__})
        self.accelerator.wait_for_everyone()

    def train(
        self,
        trainable: Trainable,
        source: Source,
        phases: Sequence[Phase],
        *,
        check: Callable[[], Scores] | None = None,
    ) -> list[dict[str, Any]]:
        """Train through `phases`, from the newest checkpoint of the folder if there is one.

        `check` computes validation scores with the current weights (modules may be put in evaluation mode;
        their modes are put back). Leaves in the parts the weights the last phase chose, in evaluation mode,
        and returns the log's rows.

        A trainable may have `begin(phase_name)`, called before its optimizers are asked for: there it
        freezes, re-initializes or adds parts. A resumed run calls it again for every phase up to its own and
        then loads the weights. An optimizer object that returns in a later phase keeps its state.

        Raises
        ------
        visus.errors.Interrupted : Ctrl-C or SIGTERM; a checkpoint was written.
        visus.errors.InputError : phases that cannot be trained, or the folder holds another training.
        visus.errors.VisusError : the loss or a weight became infinite or not a number; no checkpoint has it.
        """
        from visus.engine.loop import Loop

        return Loop(self, trainable, source, phases, check).train()


def _make(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError("is not a folder", file=folder, remedy="name a folder for the run") from None
    except OSError as error:
        problem = f"cannot be made ({error.strerror})"
        raise InputError(problem, file=folder, remedy="name another folder for the run") from None
    return folder


def _changed(before: Any, now: Any, name: str = "") -> list[str]:
    """Dotted names of the settings that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = before.keys() | now.keys()
        return [found for key in keys for found in _changed(before.get(key), now.get(key), f"{name}.{key}")]
    return [] if before == now else [name.strip(".")]


def uses_cpu(device: str) -> bool:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise InputError(f"{device!r} is not a device", field="device", remedy="auto, cpu, cuda or cuda:<n>")
    if device.startswith("cuda") and int(device[5:] or 0) >= torch.cuda.device_count():
        raise InputError("is not available", field=f"device {device!r}", remedy="use device auto or cpu")
    return device == "cpu" or not torch.cuda.is_available()


def _is_current(precision: str, cpu: bool) -> bool:
    """Whether Accelerate's state, which all accelerators of a process share, is the one asked for."""
    shared = AcceleratorState._shared_state
    return shared.get("_mixed_precision") == precision and bool(shared.get("_cpu")) == cpu


def _accelerator(precision: str, cpu: bool) -> Accelerator:
    """An accelerator; the shared state is renewed when device or precision differ from the last run's."""
    if precision not in ("no", "bf16", "fp16"):
        raise InputError(f"{precision!r} is not a precision", field="precision", remedy="no, bf16 or fp16")
    if precision == "fp16" and cpu:
        raise InputError("needs a GPU", field="precision 'fp16'", remedy="use precision bf16 or no")
    if not _is_current(precision, cpu):
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=cpu, mixed_precision=precision)
