"""The prior over blocks: a layer model trained in two stages, a block chooser, and a folder to keep both in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self

from torch import nn

from visus.engine import Run
from visus.errors import InputError
from visus.methods.gptnas.model.blocks import BLOCKS
from visus.methods.gptnas.model.chooser import BlockChooser, legal_openings
from visus.methods.gptnas.model.corpus import block_corpus, expand, layer_corpus, openings, search_vocabulary
from visus.methods.gptnas.model.gpt import LayerGPT
from visus.methods.gptnas.model.network import plan
from visus.methods.gptnas.model.records import Architecture, Layer
from visus.methods.gptnas.model.tokens import BOS, EOS, PAD, SPECIAL, Vocabulary, token_of
from visus.methods.gptnas.model.zoo import zoo_architectures
from visus.methods.gptnas.search.priors import BlockPrior, information
from visus.methods.gptnas.search.space import Individual, Space, block_space, stream
from visus.methods.gptnas.training.corpora import body
from visus.methods.gptnas.training.sequences import ChooserTraining, LayerTraining, beginnings, windows
from visus.protocols import Phase
from visus.records import from_plain, read_json, record, to_plain, write_json

KIND = "blocks"
FAR = 1024
"""Side of pictures that no number of stages makes a single cell."""
NAMES = tuple(block.name for block in BLOCKS)
REMEDY = "give a folder that `visus gptnas prior --space blocks` wrote"


@record
class PriorRecipe:
    """How a prior over blocks is trained.

    networks : published networks of the second stage; empty = all 36.
    width, depth, heads, window, attention : of the layer model.
    epochs, batch_size, learning_rate : of each of its stages (Adam).
    chooser_width, chooser_epochs, chooser_rate : of the chooser; its second layer is half as wide.
    held_out : share of the sequences of a stage on which information is measured.
    """

    networks: tuple[str, ...] = ()
    width: int = 128
    depth: int = 4
    heads: int = 4
    window: int = 10
    attention: str = "standard"
    epochs: int = 300
    batch_size: int = 128
    learning_rate: float = 1e-4
    chooser_width: int = 256
    chooser_epochs: int = 20
    chooser_rate: float = 1e-3
    held_out: float = 0.15


def network_space(*, least: int = 10, most: int = 20) -> Space:
    """Lists of the 15 blocks."""
    return block_space(NAMES, layers=[len(block.layers()) for block in BLOCKS], least=least, most=most)


class TrainedPrior:
    """A layer model and a block chooser with their vocabulary.

    Parameters
    ----------
    networks : whose blocks show with what layers a block can begin.
    information : stage -> nats per layer (log V - cross-entropy) on sequences the stage did not learn from.
    facts : what it was trained on, for its record.
    """

    def __init__(
        self,
        recipe: PriorRecipe,
        vocabulary: Vocabulary,
        *,
        networks: Iterable[Architecture] = (),
        information: dict[str, float] | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.recipe, self.vocabulary = recipe, vocabulary
        self.information, self.facts = dict(information or {}), dict(facts or {})
        self.gpt = LayerGPT(
            len(vocabulary),
            width=recipe.width,
            depth=recipe.depth,
            heads=recipe.heads,
            window=recipe.window,
            attention=recipe.attention,
        )
        self.chooser = BlockChooser(
            legal_openings(openings(vocabulary, networks), size=len(vocabulary)),
            width=recipe.width,
            window=recipe.window,
            hidden=(recipe.chooser_width, max(1, recipe.chooser_width // 2)),
        )

    def expand(self, individual: Individual, *, length: int, stages: int) -> list[int]:
        """The layer tokens of the first blocks of a network, from the token of the beginning on.

        Differs: where a network halves its size and doubles its channels depends on how many blocks it will
        have, which is not known while it is being written: `length` is assumed.
        """
        filled = [*individual, *[0] * (length - len(individual))]
        steps = plan(filled, in_channels=3, image_size=FAR, width=16, stages=stages)[: len(individual)]
        return [BOS, *chain.from_iterable(expand(steps, self.vocabulary))]

    def over(self, space: Space, *, stages: int = 3) -> BlockPrior:
        """What a search asks.

        Raises `InputError` for a space of other blocks.
        """
        if space.symbols != NAMES:
            raise InputError(f"{space.name} is not a space of these blocks", field="space")
        return BlockPrior(
            self.gpt.cpu(),
            self.chooser.cpu(),
            partial(self.expand, length=(space.least + space.most) // 2, stages=stages),
            padding=PAD,
            end=EOS if space.varies else None,
            information=self.information["stage-2"],
        )

    def parts(self) -> dict[str, nn.Module]:
        """Both networks."""
        return {"gpt": self.gpt, "chooser": self.chooser}

    def save(self, folder: Path) -> None:
        """Write model.safetensors and prior.json into a folder; the JSON comes last."""
        from safetensors.torch import save

        from visus.records import write_atomically

        weights = {
            f"{part}/{name}": value.detach().cpu().contiguous()
            for part, module in self.parts().items()
            for name, value in module.state_dict().items()
        }
        write_atomically(Path(folder) / "model.safetensors", save(weights))
        write_json(
            Path(folder) / "prior.json",
            {
                "kind": KIND,
                "recipe": to_plain(self.recipe),
                "vocabulary": self.vocabulary.to_plain(),
                "information": self.information,
                **self.facts,
            },
        )

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote; `InputError` where it cannot be read."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        file = folder / "prior.json"
        if not file.is_file():
            raise InputError("is not a folder with a saved prior", file=folder, remedy=REMEDY)
        content = read_json(file)
        if not isinstance(content, dict) or content.get("kind") != KIND:
            found = content.get("kind") if isinstance(content, dict) else None
            raise InputError(
                f"holds a prior of {found}, not of {KIND}", file=file, field="kind", remedy=REMEDY
            )
        try:
            made = cls(
                from_plain(PriorRecipe, content["recipe"], file=file),
                Vocabulary.from_plain(content["vocabulary"]),
                information=content["information"],
            )
            weights = load_file(folder / "model.safetensors")
            for part, module in made.parts().items():
                own = {k.removeprefix(f"{part}/"): v for k, v in weights.items() if k.startswith(f"{part}/")}
                module.load_state_dict(own)
        except (KeyError, OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"cannot be read ({reason})", file=folder, remedy="train the prior again"
            ) from None
        return made


def train_prior(
    recipe: PriorRecipe,
    run: Run,
    *,
    stage1: Sequence[Sequence[Layer]] = (),
    models: Sequence[Architecture] = (),
) -> TrainedPrior:
    """Train on the first stage's sequences if there are any, then on whole networks; then train the chooser.

    Each part is a run inside `run`; run again to resume.

    Paper: 2305.05351, sec. III-C and IV-A (both stages supervised alike, eq. 2; the chooser is III-D).

    Parameters
    ----------
    stage1 : layers of many small architectures, such as the cells of a benchmark.
    models : networks of the second stage beside those of the recipe.

    Raises
    ------
    InputError : an unknown network, or fewer than two to learn from.
    """
    networks = [body(network) for network in (*zoo_architectures(recipe.networks), *models)]
    learned, aside = split(networks, recipe.held_out, run.seed, "networks")
    words = search_vocabulary(networks).words
    vocabulary = Vocabulary([*words, *(token_of(layer) for layers in stage1 for layer in layers)])
    with run.seeded("init"):
        made = TrainedPrior(recipe, vocabulary, networks=networks)
    made.facts = {
        "networks": [network.name for network in learned],
        "held_out": [network.name for network in aside],
        "stage_1": len(stage1),
    }
    if len(stage1):
        cells = [[BOS, *vocabulary.tokens(layers), EOS] for layers in stage1]
        _learn_layers(made, *split(cells, recipe.held_out, run.seed, "cells"), run.child("stage-1"))
    known, unknown = (layer_corpus(part, vocabulary) for part in (learned, aside))
    _learn_layers(made, known, unknown, run.child("stage-2"))
    _learn_blocks(made, learned, run.child("chooser"))
    return made


def split(items: Sequence[Any], share: float, seed: int, what: str) -> tuple[list[Any], list[Any]]:
    """What is learned from and what is held out, each in the given order; at least one of each."""
    if len(items) < 2:
        raise InputError(
            f"{len(items)} is too few to learn from and to measure on", field=what, remedy="give two or more"
        )
    count = min(len(items) - 1, max(1, round(share * len(items))))
    aside = set(stream(seed, f"held out {what}").permutation(len(items))[:count].tolist())
    return (
        [item for i, item in enumerate(items) if i not in aside],
        [item for i, item in enumerate(items) if i in aside],
    )


def _learn_layers(
    made: TrainedPrior, learned: Sequence[Sequence[int]], aside: Sequence[Sequence[int]], run: Run
) -> None:
    recipe, stage = made.recipe, run.folder.name
    source = windows(learned, window=recipe.window, padding=PAD)
    phase = Phase(name=stage, epochs=recipe.epochs, batch_size=min(recipe.batch_size, len(source)))
    run.train(LayerTraining(made.gpt, learning_rate=recipe.learning_rate), source, [phase])
    symbols = len(made.vocabulary) - len(SPECIAL) + 1  # the end can follow, the other marks cannot
    made.information[stage] = information(made.gpt, aside, symbols=symbols, padding=PAD)


def _learn_blocks(made: TrainedPrior, networks: Sequence[Architecture], run: Run) -> None:
    recipe = made.recipe
    source = beginnings(
        block_corpus(networks, made.vocabulary, window=recipe.window), window=recipe.window, padding=PAD
    )
    made.gpt.to(run.device)
    batch = min(recipe.batch_size, len(source))
    phase = Phase(name="chooser", epochs=recipe.chooser_epochs, batch_size=batch)
    run.train(ChooserTraining(made.chooser, made.gpt, learning_rate=recipe.chooser_rate), source, [phase])
