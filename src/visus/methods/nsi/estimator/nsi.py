"""The slot interpreter a person uses: pictures and programs in; slots, programs, alignments and searches out."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.data.loader import Tensors, concatenate, iterate, sample_order
from visus.engine import Run, TorchEstimator
from visus.engine.seeds import derive_seed
from visus.errors import InputError
from visus.methods.nsi.config import PRESETS, NSIConfig, check
from visus.methods.nsi.estimator.index import SceneIndex
from visus.methods.nsi.estimator.inference import (
    Inputs,
    Network,
    build,
    embed_programs,
    fingerprint,
    rounded,
    run_images,
    widened,
)
from visus.methods.nsi.estimator.scoring import score
from visus.methods.nsi.model.generator import generate
from visus.methods.nsi.model.programs import parse, serialize
from visus.methods.nsi.model.schema import Schema
from visus.methods.nsi.model.scores import associate, similarities
from visus.methods.nsi.training import (
    Alignment,
    Scenes,
    Writing,
    alignment_phases,
    pack,
    phase,
    read_all,
    read_objects,
)
from visus.protocols import Batch, Claim, Experiment, Prediction, Scores, Source
from visus.records import to_plain

FEWEST = 4
EXAMPLE = {"train": 128, "test": 64}


class NSI(TorchEstimator):
    """Neural Slot Interpreter: which slot of a picture means which object of its program.

    Data are sources with `image` (b, 3, h, w) or `features` (b, n, c) of a frozen network (`FrozenFeatures`),
    and `objects`: per item a list of dicts of attributes. No label says which slot an object belongs to.

    After `fit`: `schema_` (attributes, vocabularies and ranges of the training part), `network_` (its modules).

    Source: 2403.07887; the generator follows its first version.
    """

    slug: ClassVar[str] = "nsi"
    arxiv: ClassVar[str] = "2403.07887"
    Config: ClassVar[type] = NSIConfig
    PRESETS: ClassVar[Mapping[str, NSIConfig]] = PRESETS

    def fit(self, data: Source, run: Any = None, *, schema: Schema | None = None) -> Self:
        """Learn from a source with `image` or `features`, and `objects`.

        Parameters
        ----------
        run : a `visus.engine.Run`; None takes a temporary one.
        schema : what programs are made of; by default read off the training part.

        Raises
        ------
        InputError : a setting out of its bounds, too few items, no objects, values that fit no attribute or are
            not finite.
        """
        config: NSIConfig = self.settings
        check(config)
        run = run if run is not None else Run(progress=False)
        if len(data) < FEWEST:
            problem = f"has {len(data)} items"
            raise InputError(
                problem, field="training set", remedy=f"give at least {FEWEST} pictures with programs"
            )
        objects, kept, shape = read_all(data, image_size=config.image_size)
        train, held = _split(len(data), config.validation, seed=run.seed)
        given = schema is not None
        found = schema or Schema.infer((objects[i] for i in train), attributes=config.attributes or None)
        self.schema_ = found.only(*config.attributes) if config.attributes else found
        # validation rows may hold what no training row has: it is missing there, not an error
        encoded = widened(self.schema_, objects).encode(
            objects, partial=not given, unknown="refuse" if given else "missing"
        )
        scenes = Scenes(data, encoded, image_size=config.image_size, keep=kept)
        self.inputs_ = Inputs.of(data, shape)
        with run.seeded("init"):
            self.network_ = build(config, self.schema_, self.inputs_)
        run.bind({"method": self.slug, "config": to_plain(config), "data": scenes.fingerprint()})
        self._align(scenes, train, held, run)
        if self.network_.generator is not None:
            self._write(scenes, train, held, run)
        return self

    def predict(self, inputs: Batch | Source) -> Prediction:
        """Slots of pictures, and the programs written from them.

        Returns
        -------
        {"slots": (b, k, d), "embeddings": (b, k, e), "masks": (b, k, y, x) alphas of the decoder (of Slot
        Attention where there is none) that sum to 1 over slots}; with a generator also {"objects": list of
        scenes, "program": list of XML texts, "slot": (b, p) slot of each written object, -1 past the last,
        "score": (b, p) how sure it is one}.
        """
        config, network, parts = self.settings, self._fitted(), []
        for batch, found in run_images(network.images, inputs, config, self.inputs_, decode=True):
            said: Prediction = {
                "slots": found.slots,
                "embeddings": found.embeddings,
                "masks": self._masks(batch, found),
            }
            if network.generator is not None:
                with torch.no_grad():
                    written = generate(network.generator.eval()(found.slots), self.schema_)
                scenes = [rounded(scene, self.schema_) for scene in self.schema_.decode(written.programs)]
                said |= {
                    "objects": scenes,
                    "program": [serialize(scene, self.schema_) for scene in scenes],
                    "slot": written.slot,
                    "score": written.score,
                }
            parts.append({key: v.cpu() if isinstance(v, Tensor) else v for key, v in said.items()})
        return concatenate(parts)

    def align(self, inputs: Batch | Source) -> Prediction:
        """Which slot carries which object of a picture's own program.

        Returns
        -------
        {"slot": (b, p), -1 past a program's last object; "similarity": (b, k, p); "length": (b,); "masks": as
        `predict` gives them}; p is the length of the longest program.
        """
        network, parts = self._fitted(), []
        data = Tensors(inputs) if isinstance(inputs, dict) else inputs
        scenes = self._scenes(data)
        named = inputs.get("name") if isinstance(inputs, dict) else None
        encoded = widened(self.schema_, scenes).encode(scenes, partial=True, names=named).trimmed()
        primitives, start = embed_programs(network.programs, encoded), 0
        for batch, found in run_images(network.images, data, self.settings, self.inputs_, decode=True):
            rows = slice(start, start + len(found.slots))
            slots, start = found.embeddings.cpu(), rows.stop
            pair = (slots, primitives[rows])
            settings = {"normalize": self.settings.normalize}
            parts.append(
                {
                    "slot": associate(*pair, encoded.length[rows], assign=self.settings.assign, **settings),
                    "similarity": similarities(*pair, **settings),
                    "length": encoded.length[rows],
                    "masks": self._masks(batch, found).cpu(),
                }
            )
        return concatenate(parts)

    def evaluate(self, data: Source) -> Scores:
        """Scores over all items of `data` together, which are each other's gallery.

        `image_to_program@k`, `program_to_image@k` (k = 1, 5): recall. With a generator: `ap@inf`, `ap@1`, ...:
        average precision of objects with all their properties, at distances in the position's own unit, and
        `ap50` where objects have boxes. With `segmentation`: `fg_ari`, `mbo` of the decoder's alphas, and
        `grounding`: how often an object's slot is the one that covers most of it, beside `grounding_chance`, the
        same after the objects of a picture have exchanged their slots. Where one slot covers everything both are
        high: only the difference says that objects are told apart.
        """
        return score(self, data)

    def index(self, data: Source, *, names: Sequence[str] | None = None) -> SceneIndex:
        """An index of the items to search by programs, and (where they have objects) by pictures.

        A value that the schema lacks is missing there, as in `evaluate`.
        """
        network = self._fitted()
        slots, scenes, named = [], [], []
        for batch, found in run_images(network.images, data, self.settings, self.inputs_):
            slots.append(found.embeddings.cpu())
            scenes += batch.get("objects", [])
            named += batch.get("name", [])
        names = list(names or named or [str(i) for i in range(1, len(data) + 1)])
        config: NSIConfig = self.settings
        settings = {"assign": config.assign, "reduce": config.reduce, "normalize": config.normalize}
        programs, length = None, None
        if scenes:
            encoded = widened(self.schema_, scenes).encode(scenes, partial=True, unknown="missing").trimmed()
            programs, length = embed_programs(network.programs, encoded), encoded.length
        settings["model"] = self.fingerprint()
        return SceneIndex(torch.cat(slots), names, programs=programs, length=length, **settings)

    def open_index(self, folder: str | Path) -> SceneIndex:
        """An index that was saved.

        Raises
        ------
        InputError : it cannot be read, or another model made it: its vectors mean nothing to this one.
        """
        found = SceneIndex.load(folder)
        if found.model not in ("", self.fingerprint()):
            remedy = "give the model it was built with, or build it again"
            raise InputError("was built with another model", file=folder, field="index", remedy=remedy)
        return found

    def fingerprint(self) -> str:
        """Hash of the schema and of the weights that lead to the joint space."""
        return fingerprint(self._fitted(), self.schema_)

    def embed_images(self, inputs: Batch | Source) -> Float[Tensor, "b k e"]:
        """Slots of pictures in the joint space, on the CPU."""
        runs = run_images(self._fitted().images, inputs, self.settings, self.inputs_)
        return torch.cat([found.embeddings.cpu() for _, found in runs])

    def embed_programs(self, scenes: Sequence[Any], *, file: Any = None) -> tuple[Tensor, Tensor]:
        """Primitives (b, p, e) of programs or parts of programs in the joint space, and lengths (b,).

        A scene is a list of dicts, or an XML text; attributes may be missing.
        """
        network = self._fitted()
        read = [parse(s, self.schema_, file=file, partial=True) if isinstance(s, str) else s for s in scenes]
        encoded = widened(self.schema_, read).encode(read, partial=True, file=file).trimmed()
        return embed_programs(network.programs, encoded), encoded.length

    def slots(self, inputs: Batch | Source) -> Float[Tensor, "b k d"]:
        """Slots of pictures, on the CPU: frozen tokens for other tasks."""
        runs = run_images(self._fitted().images, inputs, self.settings, self.inputs_)
        return torch.cat([found.slots.cpu() for _, found in runs])

    def parts(self) -> dict[str, nn.Module]:
        return self._fitted().parts()

    @classmethod
    def example(cls, part: Literal["train", "test"] = "train", *, seed: int = 0) -> Source:
        """Embedded data: shaded solids of 32 px, two to four per picture, 128 pictures (test: 64)."""
        return _example(part, seed)

    @classmethod
    def claims(cls) -> Sequence[Claim]:
        from visus.methods.nsi import claims

        return claims.CLAIMS

    @classmethod
    def experiments(cls) -> Sequence[Experiment]:
        from visus.methods.nsi import claims

        return claims.EXPERIMENTS

    def _align(self, scenes: Scenes, train: Sequence[int], held: Sequence[int], run: Any) -> None:
        config: NSIConfig = self.settings
        training = Alignment(self.network_.images, self.network_.programs, config, seed=run.seed)
        rest = scenes.subset(held) if held else None
        run.train(
            training,
            scenes.subset(train),
            alignment_phases(config, validated=rest is not None),
            check=None if rest is None else lambda: training.validate(rest),
        )

    def _write(self, scenes: Scenes, train: Sequence[int], held: Sequence[int], run: Any) -> None:
        config: NSIConfig = self.settings
        assert self.network_.generator is not None
        known = self._associated(scenes)
        training = Writing(self.network_.generator, config)
        rest = known.subset(held) if held else None
        run.child("generator").train(
            training,
            known.subset(train),
            [phase("write", config.generator_epochs, config, validated=rest is not None)],
            check=None if rest is None else lambda: training.validate(rest),
        )

    @torch.no_grad()
    def _associated(self, scenes: Scenes) -> Tensors:
        """Slots of all items and the slot of each object: dense associations from the frozen alignment."""
        network, slots, own = self.network_, [], []
        device = next(network.images.parameters()).device
        for batch in iterate(scenes, self.settings.batch_size):
            found = network.images(batch["inputs"].to(device))
            programs = scenes.programs[batch["index"]]
            primitives = network.programs(programs.to(device))
            settings = {"assign": self.settings.assign, "normalize": self.settings.normalize}
            slots.append(found.slots.cpu())
            own.append(associate(found.embeddings, primitives, programs.length.to(device), **settings).cpu())
        return Tensors({"slots": torch.cat(slots), "association": torch.cat(own), **pack(scenes.programs)})

    def _masks(self, batch: Batch, found: Any) -> Float[Tensor, "b k y x"]:
        images = self.network_.images
        if found.decoded is not None:
            return images.decoder_masks(found.decoded)
        side = (self.settings.image_size,) * 2
        return images.attention_masks(found.attention, torch.empty(0, *side))

    def _scenes(self, data: Source) -> list[Any]:
        scenes: list[Any] = []
        for batch in iterate(data, 256):
            scenes += read_objects(batch, len(scenes))
        return scenes

    def _fitted(self) -> Network:
        if not hasattr(self, "network_"):
            super().parts()
        return self.network_

    def _state(self) -> dict[str, Any]:
        inputs = {"width": self.inputs_.width, "cells": list(self.inputs_.cells)}
        return {
            "schema": self.schema_.to_plain(),
            "inputs": inputs,
            "backbone": getattr(self, "backbone_", None),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.schema_ = Schema.from_plain(state["schema"])
        self.inputs_ = Inputs(int(state["inputs"]["width"]), tuple(state["inputs"]["cells"]))
        self.backbone_ = state.get("backbone")
        self.network_ = build(self.settings, self.schema_, self.inputs_)


def _split(count: int, share: float, *, seed: int) -> tuple[list[int], list[int]]:
    """Training and validation items."""
    held = round(count * share)
    order = sample_order(count, seed=derive_seed(seed, "validation"), epoch=0).tolist()
    return sorted(order[held:]), sorted(order[:held])


@functools.lru_cache(maxsize=4)
def _example(part: Literal["train", "test"], seed: int) -> Tensors:
    from visus.data.worlds.scenes import SceneImages

    source = SceneImages(EXAMPLE[part], seed=seed, part=part, size=32, objects=(2, 4))
    kept = ("image", "segmentation", "objects", "name")
    batch = source.batch(range(len(source)))
    return Tensors({name: batch[name] for name in kept})
