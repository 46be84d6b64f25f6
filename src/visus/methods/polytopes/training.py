"""How the classifier is trained, and the census that goes along with any training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.polytopes.config import CENSUS_EPOCHS, SIMPLE, PolytopesConfig, Rule
from visus.methods.polytopes.model.classifier import Classifier
from visus.protocols import Batch, Logs, Phase, Turn
from visus.records import read_json, write_json

if TYPE_CHECKING:
    from visus.methods.polytopes.model import Complex, Slice, Tally

MOVED = ("num_facets", "num_simplices")
"""Histograms whose distance from the first census is recorded."""


class TrainingCensus:
    """Counts the cells of a network at chosen epochs of any training loop.

    Call it after every epoch (and once, as epoch 0, before the first); it counts when an epoch is due and does
    nothing otherwise. The network is looked at in float64 and evaluation mode, and left as it is.

        census = TrainingCensus(model, (-1, 1))
        census(0)
        for epoch in range(1, 101):
            ...  # train
            census(epoch, {"accuracy": accuracy})

    A row of `history` holds `epoch`, what `Tally.summary` gives (number of cells; mean, 90 % quantile, maximum
    and share of simple cells for facets, simplices, vertices and neighbors, every cell counting once and,
    ending in `_by_volume`, by its volume), the total variation distance of the histograms of facets and
    simplices from the first census (`num_facets_moved`, ...), and the scores given. Counting again for an epoch
    that the history holds gives that row back, so a resumed training pays nothing twice.

    Paper: 2305.09145, section on gradient descent (histograms at several epochs). Differs: all cells instead of
    those that sampled points hit.

    Parameters
    ----------
    model : the network; it may change between calls.
    box : (low, high), scalars or one number per input.
    epochs : when to count; None counts at every call.
    rule : how cells are cut into simplices.
    slice : count on this flat of the input space; the box is then in its coordinates, None for its own.
    max_cells : give up a census beyond so many cells; the row then holds `given_up` in place of counts.
    file : JSON file that keeps the history; one that exists is gone on with (delete it for a new training).

    Raises
    ------
    InputError : the file is not a history, or one of another rule or box.
    """

    def __init__(
        self,
        model: nn.Module,
        box: tuple[Any, Any] | None = (-1.0, 1.0),
        *,
        epochs: Sequence[int] | None = CENSUS_EPOCHS,
        rule: Rule = "pull",
        slice: Slice | None = None,
        max_cells: int | None = None,
        file: str | Path | None = None,
    ) -> None:
        self.model, self.box, self.epochs = model, box, epochs
        self.rule: Rule = rule
        self.slice, self.max_cells = slice, max_cells
        self.file = None if file is None else Path(file)
        self.history: list[dict[str, Any]] = []
        self.tallies: dict[int, Tally] = {}
        if self.file is not None and self.file.exists():
            self._take(read_json(self.file), self.file)

    def __call__(self, epoch: int, scores: Mapping[str, float] | None = None) -> dict[str, Any] | None:
        """The row of this epoch, counted now or before; None if no census is due."""
        found = next((row for row in self.history if row["epoch"] == epoch), None)
        if found is not None or not self.is_due(epoch):
            return found
        cells = counted(self.model, self.box, slice=self.slice, max_cells=self.max_cells)
        row: dict[str, Any] = {"epoch": epoch, **(scores or {})}
        if cells is None:
            row["given_up"] = f"more than {self.max_cells} cells"
        else:
            tally = self.tallies[epoch] = cells.tally(self.rule)
            first = self.tallies[min(self.tallies)]
            row |= tally.summary(at_most=SIMPLE)
            row |= {f"{measure}_moved": tally.distance(first, measure) for measure in MOVED}
        self.history = sorted([*self.history, row], key=lambda row: row["epoch"])
        if self.file is not None:
            self.save(self.file)
        return row

    def is_due(self, epoch: int) -> bool:
        """Whether an epoch is one of those to be counted."""
        return self.epochs is None or epoch in self.epochs

    # ---- keeping ------------------------------------------------------------------------------------------

    def to_plain(self) -> dict[str, Any]:
        """Everything recorded, as dicts, lists and numbers."""
        tallies = {str(epoch): tally.to_plain() for epoch, tally in sorted(self.tallies.items())}
        return {"rule": self.rule, "box": self._ends(), "history": self.history, "tallies": tallies}

    def _ends(self) -> list[list[float]] | None:
        if self.box is None:
            return None
        return [torch.as_tensor(end, dtype=torch.float64).flatten().tolist() for end in self.box]

    def take(self, plain: Any) -> Self:
        """Go on with what `to_plain` gave."""
        self._take(plain, None)
        return self

    def save(self, file: str | Path) -> None:
        """Write the history and the histograms as JSON, whole or not at all."""
        write_json(Path(file), self.to_plain())

    def load(self, file: str | Path) -> Self:
        """Go on with what `save` wrote.

        Raises
        ------
        InputError : absent or damaged file, or one counted by another rule or in another box.
        """
        self._take(read_json(Path(file)), Path(file))
        return self

    def _take(self, plain: Any, file: Path | None) -> None:
        from visus.methods.polytopes.model import Tally

        again = "delete it to count anew"
        try:
            rule, box, history = plain["rule"], plain["box"], [dict(row) for row in plain["history"]]
            tallies = {int(epoch): Tally.from_plain(one) for epoch, one in plain["tallies"].items()}
            epochs = [int(row["epoch"]) for row in history]
        except InputError as error:
            raise InputError(error.problem, file=file, field="tallies", remedy=again) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"is no history of censuses ({error!r})", file=file, remedy=again) from None
        if rule != self.rule:
            raise InputError(f"was counted by rule {rule}, not {self.rule}", file=file, remedy=again)
        if box != self._ends():
            raise InputError(f"was counted in the box {box}, not {self._ends()}", file=file, remedy=again)
        if len(set(epochs)) < len(epochs) or not set(tallies) <= set(epochs):
            raise InputError("is no history of censuses (epochs do not fit)", file=file, remedy=again)
        self.history, self.tallies = sorted(history, key=lambda row: row["epoch"]), tallies


class _TooMany(Exception):
    """More cells than allowed."""


def counted(
    model: nn.Module,
    box: tuple[Any, Any] | None,
    *,
    slice: Slice | None = None,
    max_cells: int | None = None,
) -> Complex | None:
    """The census of a network on its own device; None as soon as it finds more than `max_cells` cells."""
    from visus.methods.polytopes.model import census

    def guard(cells: int, _: int) -> None:
        if max_cells is not None and cells > max_cells:
            raise _TooMany

    try:
        found = census(model, box, slice=slice, device=device_of(model), progress=guard)
    except _TooMany:
        return None
    return None if max_cells is not None and found.num_cells > max_cells else found


def device_of(model: nn.Module) -> torch.device:
    """Where a network's weights are."""
    tensors = (*model.parameters(), *model.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


# ---- the classifier's training ------------------------------------------------------------------------------


def cross_entropy(scores: Float[Tensor, "b k"], target: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """-log softmax(scores)[target] per item."""
    return F.cross_entropy(scores, target, reduction="none")


def absolute_weights(model: Classifier) -> Float[Tensor, ""]:
    """Sum of |w| over all weight matrices; biases are left out."""
    return torch.stack([layer.weight.abs().sum() for layer in model.linears()]).sum()


class Training:
    """Adam with decoupled weight decay on the mean cross-entropy plus `l1` times the absolute weights."""

    def __init__(self, model: Classifier, config: PolytopesConfig) -> None:
        self.model, self.l1 = model, config.l1
        self.epoch = 0
        """Epochs begun so far, the present one included."""
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def parts(self) -> dict[str, nn.Module]:
        """The one module."""
        return {"model": self.model}

    def optimizers(self) -> dict[str, Any]:
        """The one optimizer."""
        return {"model": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on {"inputs": (b, d), "target": (b,) class numbers}."""
        self.epoch = turn.epoch + 1
        loss = turn.mean(cross_entropy(self.model(batch["inputs"]), batch["target"]))
        if self.l1:
            loss = loss + self.l1 * absolute_weights(self.model)
        turn.update("model", loss)
        return {"loss": loss}


def phases(config: PolytopesConfig, *, validated: bool) -> list[Phase]:
    """One phase; the epoch with the lowest validation loss is kept where there is a validation part."""
    return [
        Phase(
            epochs=config.epochs,
            batch_size=config.batch_size,
            monitor="loss" if validated else None,
            better="lower",
        )
    ]
