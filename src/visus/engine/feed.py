"""Which items every step reads, reading them one step ahead, and which phases can be trained at all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from visus.data.loader import sample_order, share
from visus.engine.seeds import derive_seed
from visus.errors import InputError
from visus.protocols import Batch, Phase, Scores, Source


class Feed:
    """The items of every step: a function of (seed, phase, step), shared out over `world` processes.

    Parameters
    ----------
    fewest : items a micro-batch needs over all processes together (batch normalization needs two). A rest at
        the end of an epoch that is too small for that, or for one item per process, is left out of the epoch.
    """

    def __init__(self, source: Source, *, seed: int, rank: int = 0, world: int = 1, fewest: int = 1) -> None:
        self.source, self.seed, self.rank, self.world, self.fewest = source, seed, rank, world, fewest

    def steps_per_epoch(self, phase: Phase) -> int:
        """Steps of one pass over the source."""
        whole, rest = divmod(len(self.source), phase.batch_size)
        smallest = phase.accumulate * max(self.world, self.fewest)
        return max(1, whole + (rest >= smallest and not phase.drop_last))

    def steps(self, phase: Phase) -> int:
        """Steps of the whole phase."""
        return phase.steps if phase.steps is not None else (phase.epochs or 0) * self.steps_per_epoch(phase)

    def shares(self, phase: Phase, step: int) -> tuple[list[list[int]], int]:
        """This process's items of every micro-batch of a step; the step's items over all of them together."""
        epoch, in_epoch = divmod(step, self.steps_per_epoch(phase))
        order = sample_order(len(self.source), seed=derive_seed(self.seed, phase.name, "order"), epoch=epoch)
        chosen = order[in_epoch * phase.batch_size : (in_epoch + 1) * phase.batch_size]
        pieces = torch.tensor_split(chosen, phase.accumulate)
        return [share(piece, self.rank, self.world).tolist() for piece in pieces], len(chosen)

    def batches(self, phase: Phase, first: int) -> Generator[tuple[list[Batch], int], None, None]:
        """Micro-batches and number of items of every step from `first`, read one step ahead in a thread."""
        total = self.steps(phase)
        with ThreadPoolExecutor(1) as pool:
            ahead: Future[tuple[list[Batch], int]] | None = None
            for step in range(first, total):
                ready = ahead or pool.submit(self._read, phase, step)
                ahead = pool.submit(self._read, phase, step + 1) if step + 1 < total else None
                yield ready.result()

    def validate(self, phase: Phase) -> None:
        """Refuse a batch that cannot be shared out.

        Raises
        ------
        InputError : fewer items than micro-batches and processes need, or unequal micro-batches.
        """
        if phase.batch_size % phase.accumulate:
            raise InputError("is not a multiple of accumulate", field=f"batch_size of phase {phase.name}")
        smallest = phase.accumulate * self.world
        if min(len(self.source), phase.batch_size) < smallest:
            raise InputError(
                f"a step needs at least {smallest} items, but the batch size is {phase.batch_size} "
                f"and there are {len(self.source)} items",
                field=f"phase {phase.name}",
                remedy="use more data, a larger batch, less accumulation or fewer processes",
            )

    def _read(self, phase: Phase, step: int) -> tuple[list[Batch], int]:
        shares, items = self.shares(phase, step)
        return [self.source.batch(indices) for indices in shares], items


def validate_phases(source: Source, phases: Sequence[Phase], check: Callable[[], Scores] | None) -> None:
    """Refuse what cannot be trained, before anything is written.

    Raises
    ------
    InputError : no items, no phases, two of one name, a phase without a length of at least 1, or one that
        monitors nothing.
    """
    if len(source) == 0:
        raise InputError("is empty", field="training set", remedy="give at least one item")
    if not phases:
        raise InputError("is empty", field="phases")
    if len({phase.name for phase in phases}) < len(phases):
        raise InputError(
            "two phases have the same name", field="phases", remedy="give every phase a name of its own"
        )
    for phase in phases:
        where = f"phase {phase.name}"
        if (phase.epochs is None) == (phase.steps is None):
            raise InputError("needs either epochs or steps", field=where)
        if any(length is not None and length < 1 for length in (phase.epochs, phase.steps)):
            raise InputError("epochs and steps must be at least 1", field=where)
        if min(phase.batch_size, phase.accumulate, phase.check_every) < 1:
            raise InputError("batch_size, accumulate and check_every must be at least 1", field=where)
        if phase.monitor is not None and check is None:
            raise InputError(
                "needs a validation set to choose the best weights by", field=where, remedy="monitor=None"
            )
        if phase.patience is not None and phase.monitor is None:
            raise InputError(
                "needs a monitor to be patient about", field=where, remedy="set monitor, or patience=None"
            )
        if phase.patience is not None and phase.patience < 1:
            raise InputError("patience must be at least 1", field=where)
