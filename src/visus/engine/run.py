"""A run is a folder: running again in the same folder resumes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from visus.engine.seeds import seeded
from visus.errors import InputError
from visus.protocols import Phase, Scores, Source, Trainable
from visus.records import read_json, write_json
from visus.version import __version__


class Run:
    """A folder in which work is done, with the device, the seed and the processes it is done with.

    Parameters
    ----------
    folder : where checkpoints, log and results go; None = a temporary folder that vanishes with this object.
    seed : every random choice of the run follows from it.
    device : "auto" (CUDA, else the CPU), "cpu", "cuda" or "cuda:<n>".
    precision : "no", "bf16" or "fp16" mixed precision.
    progress : show progress with an estimate on standard error.
    tensorboard : also write TensorBoard event files.
    checkpoint_seconds, checkpoint_steps : a checkpoint at least this often.
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
        self._temporary = tempfile.TemporaryDirectory(prefix="visus-") if folder is None else None
        self.folder = Path(self._temporary.name if self._temporary else folder)  # type: ignore[arg-type]
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError("is not a folder", file=self.folder, remedy="name a folder for the run")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seed, self.precision, self.progress, self.tensorboard = seed, precision, progress, tensorboard
        self.checkpoint_seconds, self.checkpoint_steps = checkpoint_seconds, checkpoint_steps
        self._asked_device = device
        self._accelerator: Accelerator | None = None

    @property
    def accelerator(self) -> Accelerator:
        """Accelerate's view of device, precision and processes."""
        if self._accelerator is None:
            self._accelerator = _accelerator(self._asked_device, self.precision)
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
        return Run(
            self.folder / name,
            seed=self.seed,
            device=self._asked_device,
            precision=self.precision,
            progress=self.progress,
            tensorboard=self.tensorboard,
            checkpoint_seconds=self.checkpoint_seconds,
            checkpoint_steps=self.checkpoint_steps,
        )

    def seeded(self, *names: str | int) -> AbstractContextManager[None]:
        """Seed the global generators for a block, e.g. for building a network: `with run.seeded("init"):`."""
        return seeded(self.seed, *names)

    def bind(self, settings: Mapping[str, Any]) -> None:
        """Tie the folder to `settings` (plain data); a folder already tied to others is refused, untouched."""
        file = self.folder / "run.json"
        record = {"settings": {**settings, "seed": self.seed, "precision": self.precision}, "visus": __version__}
        if file.exists():
            before = read_json(file).get("settings", {})
            changed = sorted(key for key in before.keys() | record["settings"].keys() if before.get(key) != record["settings"].get(key))
            if changed:
                raise InputError(
                    f"holds a run with other settings ({', '.join(changed)})",
                    file=self.folder,
                    remedy="choose another folder, or delete this one to start again",
                )
        elif self.is_main:
            write_json(file, record)
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

        `check` computes validation scores with the current weights (modules may be put in evaluation mode; their
        modes are put back). Leaves in the parts the weights the last phase chose and returns the log's rows.

        Raises
        ------
        visus.errors.Interrupted : Ctrl-C or SIGTERM; a checkpoint was written.
        """
        from visus.engine.loop import Loop

        return Loop(self, trainable, source, phases, check).train()


def _accelerator(device: str, precision: str) -> Accelerator:
    """Build an accelerator; its shared state is renewed when device or precision differ from the last run's."""
    if device not in ("auto", "cpu") and not device.startswith("cuda"):
        raise InputError(f"{device!r} is not a device", field="device", remedy="auto, cpu, cuda or cuda:<n>")
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise InputError("no CUDA device is available", field=f"device {device!r}", remedy="use device auto or cpu")
        torch.cuda.set_device(torch.device(device).index or 0)
    if precision not in ("no", "bf16", "fp16"):
        raise InputError(f"{precision!r} is not a precision", field="precision", remedy="no, bf16 or fp16")
    cpu = device == "cpu" or not torch.cuda.is_available()
    shared = AcceleratorState._shared_state
    if shared and (shared.get("_mixed_precision") != precision or bool(shared.get("_cpu")) != cpu):
        AcceleratorState._reset_state()
    return Accelerator(cpu=cpu, mixed_precision=precision)
