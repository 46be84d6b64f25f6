"""The best architecture trained from scratch, at full length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from visus.engine import Run
from visus.methods.gptnas.training.candidate import NetworkTraining, Recipe
from visus.methods.gptnas.training.images import Labeled
from visus.protocols import Phase

DROP = 0.1


class FinalTraining(NetworkTraining):
    """`NetworkTraining` whose learning rate falls to a tenth with every phase.

    Paper: 2305.05351 (350 epochs, a tenth every 100, for CIFAR; 120 and 30 for ImageNet).
    """

    def __init__(self, net: nn.Module, recipe: Recipe, phases: Sequence[Phase]) -> None:
        super().__init__(net, recipe, {"net": net})
        self._rates: Mapping[str, float] = {
            phase.name: recipe.learning_rate * DROP**i for i, phase in enumerate(phases)
        }

    def begin(self, phase: str) -> None:
        """Set the phase's learning rate."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rates[phase]


def final_phases(recipe: Recipe, *, drop_every: int, items: int) -> list[Phase]:
    """One phase per learning rate: `drop_every` epochs each, the last one the rest; 0 never lowers it.

    >>> recipe = Recipe(epochs=250, batch_size=64)
    >>> [(phase.name, phase.epochs) for phase in final_phases(recipe, drop_every=100, items=1000)]
    [('final-1', 100), ('final-2', 100), ('final-3', 50)]
    """
    length = drop_every or recipe.epochs
    return [
        Phase(
            name=f"final-{i + 1}",
            epochs=min(length, recipe.epochs - start),
            batch_size=min(recipe.batch_size, items),
            warmup=recipe.warmup if i == 0 else 0.0,
        )
        for i, start in enumerate(range(0, recipe.epochs, length))
    ]


def train_final(net: nn.Module, data: Labeled, recipe: Recipe, run: Run, *, drop_every: int) -> None:
    """Train the whole network on all labeled pictures; the last weights stay, as in the paper."""
    phases = final_phases(recipe, drop_every=drop_every, items=len(data))
    run.train(FinalTraining(net, recipe, phases), data, phases)
    net.eval()
