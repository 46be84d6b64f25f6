"""What is known about good architectures before a search begins: the next symbol's distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from visus.errors import InputError
from visus.methods.gptnas.search.space import Individual, Space

if TYPE_CHECKING:
    from visus.methods.gptnas.model.chooser import BlockChooser
    from visus.methods.gptnas.model.gpt import LayerGPT

FAINT_NATS = 0.05
"""Below this much information per symbol a prior says next to nothing; a search with it says so."""
LARGEST_TABLE = 1_000_000


@runtime_checkable
class Prior(Protocol):
    """A distribution over the next symbol.

    information : log V - CE [nats per symbol], measured on sequences the prior was not fitted to: 0 for a
        prior that knows no more than the number of symbols V.
    """

    @property
    def information(self) -> float: ...

    def distribution(self, prefix: Individual) -> Float64[np.ndarray, " k"]:
        """Probabilities of the symbols, followed by that of the end where lengths vary."""
        ...


def warning_about(prior: Prior | None) -> str | None:
    """What to tell a user about a prior without information; None for one that has some, or no prior."""
    if prior is None or prior.information >= FAINT_NATS:
        return None
    return (
        f"the prior holds {prior.information:.3f} nats per symbol, next to nothing: regrowth by it is no better "
        "than random regrowth. Train it on better or more selective architectures"
    )


@dataclass(frozen=True)
class UniformPrior:
    """Every symbol (and, where lengths vary, the end) is as likely: regrowth as extra mutation."""

    space: Space

    @property
    def information(self) -> float:
        """None."""
        return 0.0

    def distribution(self, prefix: Individual) -> Float64[np.ndarray, " k"]:
        del prefix
        count = len(self.space.symbols) + self.space.varies
        return np.full(count, 1.0 / count)


@dataclass(frozen=True, eq=False)
class TabulatedPrior:
    """All conditional distributions of a small space of fixed length, looked up.

    levels : levels[n] is (V^n, V): row i is the distribution after the n symbols that i reads in base V.
    information : see `Prior`.
    """

    space: Space
    levels: tuple[Float64[np.ndarray, "rows k"], ...]
    information: float

    def distribution(self, prefix: Individual) -> Float64[np.ndarray, " k"]:
        row, base = 0, len(self.space.symbols)
        for symbol in prefix:
            row = row * base + symbol
        return self.levels[len(prefix)][row]

    @classmethod
    def of_gpt(cls, gpt: LayerGPT, space: Space, *, information: float) -> TabulatedPrior:
        """Read out a model whose tokens are the symbols followed by one for the beginning.

        All prefixes go through the model in one batch per length.

        Raises
        ------
        InputError : lengths vary, or there are more than a million prefixes.
        """
        import torch

        base = len(space.symbols)
        if space.varies or base ** (space.most - 1) > LARGEST_TABLE:
            problem = f"{space.name} has too many prefixes, or lengths that vary"
            raise InputError(problem, field="space", remedy="ask the model as the search goes")
        device = gpt.embedding.weight.device
        levels = []
        with torch.inference_mode():
            for length in range(space.most):
                grid = np.indices((base,) * length).reshape(length, base**length).T
                tokens = torch.full((len(grid), length + 1), base, dtype=torch.long, device=device)
                tokens[:, 1:] = torch.from_numpy(np.ascontiguousarray(grid)).to(device)
                logits = gpt(tokens)[:, -1, :base]
                levels.append(logits.double().softmax(-1).cpu().numpy())
        return cls(space, tuple(levels), information)


class BlockPrior:
    """A layer model and a block chooser, asked block by block.

    p(block | prefix) = sum over layers of p(layer | tokens of the prefix) p(block | prefix, layer), the
    layer's distribution taken over the layers that some block begins with (and the end, where lengths vary).
    Drawing from it is drawing a layer and then a block that begins with it.

    Paper: 2305.05351, alg. 1, lines 6 and 7. Differs: temperature and top-k of a search act on the blocks,
    not on the layers.

    Parameters
    ----------
    expand : the layer tokens of a list of blocks, from the token of the beginning on.
    padding, end : those tokens; `end` is None where the length is fixed.
    information : see `Prior`; of the layer model, in nats per layer.
    """

    def __init__(
        self,
        gpt: LayerGPT,
        chooser: BlockChooser,
        expand: Callable[[Individual], Sequence[int]],
        *,
        padding: int,
        end: int | None = None,
        information: float,
    ) -> None:
        self.gpt, self.chooser, self.expand = gpt.eval(), chooser.eval(), expand
        self.padding, self.end, self.information = padding, end, information
        self._known: dict[Individual, Float64[np.ndarray, " k"]] = {}

    def distribution(self, prefix: Individual) -> Float64[np.ndarray, " k"]:
        if prefix not in self._known:
            layers = self.layers(prefix)
            opening, ending = (layers, layers[:0]) if self.end is None else (layers[:-1], layers[-1:])
            self._known[prefix] = np.concatenate([opening @ self.blocks(prefix), ending])
        return self._known[prefix]

    def layers(self, prefix: Individual) -> Float64[np.ndarray, " k"]:
        """Probabilities of the layers in `openings`, followed by that of the end where lengths vary."""
        import torch

        with torch.inference_mode():
            logits = self.gpt.next(self._tensor(self.expand(prefix))).double()
        allowed = [*self.openings, *([] if self.end is None else [self.end])]
        return logits[allowed].softmax(-1).cpu().numpy()

    def blocks(self, prefix: Individual) -> Float64[np.ndarray, "layers k"]:
        """Probabilities of the blocks after each of the layers in `openings`."""
        import torch

        from visus.methods.gptnas.model.chooser import last_tokens

        context = last_tokens(self.expand(prefix), window=self.chooser.window, padding=self.padding)
        layers = self._tensor(self.openings)
        with torch.inference_mode():
            found = self.chooser(
                self._tensor(context).expand(len(layers), -1), layers, embedding=self.gpt.embedding
            )
        found = found.double().cpu().numpy()
        return found / found.sum(1, keepdims=True)

    @property
    def openings(self) -> list[int]:
        """Tokens of the layers that some block begins with."""
        return self.chooser.legal.any(1).nonzero().flatten().tolist()

    def _tensor(self, tokens: Sequence[int]):
        import torch

        return torch.as_tensor(tokens, dtype=torch.long, device=self.gpt.embedding.weight.device)


def information(gpt: LayerGPT, sequences: Sequence[Sequence[int]], *, symbols: int, padding: int) -> float:
    """log V - CE [nats per token] of a layer model on sequences it was not fitted to.

    Parameters
    ----------
    sequences : token lists, each from the token of the beginning on.
    symbols : V, the number of tokens that can come next.
    padding : token that fills up shorter sequences.
    """
    import torch

    from visus.methods.gptnas.model.gpt import next_token_loss

    longest = max(len(sequence) for sequence in sequences)
    rows = [[*sequence, *[padding] * (longest - len(sequence))] for sequence in sequences]
    tokens = torch.tensor(rows, dtype=torch.long, device=gpt.embedding.weight.device)
    total = count = 0.0
    with torch.inference_mode():
        for part in tokens.split(512):
            targets = int((part[:, 1:] != padding).sum())
            total += float(next_token_loss(gpt(part).double(), part, padding=padding)) * targets
            count += targets
    return float(np.log(symbols) - total / count)
