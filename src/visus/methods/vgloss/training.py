"""Contrastive training of the small CLIP on captioned pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from visus.data.image_table import resize
from visus.data.loader import Indices, as_indices
from visus.engine.gather import gather, processes
from visus.engine.seeds import derive_seed
from visus.errors import InputError
from visus.methods.vgloss.config import VGlossConfig
from visus.methods.vgloss.losses import contrastive
from visus.methods.vgloss.model.towers import (
    Merge,
    Sizes,
    SmallTowers,
    build_clip,
    embed_pixels,
    embed_tokens,
    learn_merges,
    plain_tokenizer,
    scale_of,
    token_rows,
    vocabulary,
)
from visus.protocols import Batch, Logs, Phase, Source, Turn

FEWEST = 2
READ_AT_ONCE = 64
KEEP_BYTES = 2**30
"""Most memory for pictures that are kept between epochs; larger sets are read again every time."""


def sizes_of(config: VGlossConfig) -> Sizes:
    """The towers' sizes."""
    return Sizes(**{name: getattr(config, name) for name in Sizes.__dataclass_fields__})


def read_pictures(batch: Batch, *, size: int | None = None) -> Float[Tensor, "b 3 h w"]:
    """The field `image` as squares of `size` pixels (None: as large as they are), three channels, 0..1.

    Raises
    ------
    InputError : no such field, another number of axes or channels, bytes, or values that are not finite.
    """
    if "image" not in batch:
        known = ", ".join(batch) or "no field"
        raise InputError(f"is missing (there are {known})", field="image", remedy="give pictures")
    image = torch.as_tensor(batch["image"])
    if image.ndim != 4 or image.shape[1] not in (1, 3):
        remedy = "give pictures (b, 3, h, w) or gray ones (b, 1, h, w), values 0..1"
        raise InputError(f"has shape {tuple(image.shape)}", field="image", remedy=remedy)
    if not image.is_floating_point():
        remedy = "give numbers in 0..1: divide bytes by 255"
        raise InputError(f"holds whole numbers ({image.dtype})", field="image", remedy=remedy)
    if not torch.isfinite(image).all():
        item = int((~torch.isfinite(image.flatten(1))).any(1).nonzero()[0])
        problem = f"item {item} has values that are not finite"
        raise InputError(problem, field="image", remedy="repair or remove it")
    image = image.float().expand(-1, 3, -1, -1)
    return image if size is None else resize(image, (size, size))


def read_captions(batch: Batch, start: int = 0) -> list[list[str]]:
    """The captions of a batch's pictures: one sentence or several each.

    Raises
    ------
    InputError : no such field, or a picture without words.
    """
    if "caption" not in batch:
        remedy = "give captioned pictures, or the folder of a model that is trained already"
        raise InputError("is missing", field="caption", remedy=remedy)
    found = []
    for number, told in enumerate(batch["caption"], start):
        texts = [told] if isinstance(told, str) else list(told) if isinstance(told, list | tuple) else []
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            remedy = "give one sentence or a list of sentences per picture"
            raise InputError("holds no words", field=f"caption of item {number}", remedy=remedy)
        found.append(texts)
    return found


def read_all(source: Source, *, size: int) -> tuple[list[list[str]], Tensor | None]:
    """The captions of every picture, and the pictures in 8 bits if memory allows."""
    captions: list[list[str]] = []
    parts: list[Tensor] | None = []
    room = 3 * size * size * len(source) <= KEEP_BYTES
    for start in range(0, len(source), READ_AT_ONCE):
        batch = source.batch(range(start, min(len(source), start + READ_AT_ONCE)))
        captions += read_captions(batch, start)
        image = read_pictures(batch, size=size)  # read through even where it is not kept: mistakes show now
        parts = [*parts, _packed(image)] if room and parts is not None else None
    return captions, torch.cat(parts) if parts else None


def _packed(image: Float[Tensor, "b 3 h w"]) -> Tensor:
    return (image.clamp(0, 1) * 255).round().byte()


class Captioned:
    """Pictures with their captions' tokens, a source for the engine.

    A batch has `image`, `tokens` (b, m, l), `count` (b,) captions of each picture, and `index`, the picture's
    number in the whole set, by which its caption and its mirroring are drawn.
    """

    def __init__(
        self,
        source: Source,
        tokens: Int64[Tensor, "n m l"],
        count: Int64[Tensor, " n"],
        *,
        size: int,
        kept: Tensor | None = None,
    ) -> None:
        self.source, self.tokens, self.count, self.size, self.kept = source, tokens, count, size, kept

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(self, indices: Indices) -> Batch:
        rows = as_indices(indices, len(self))
        return {
            "image": self._image(rows),
            "tokens": self.tokens[rows],
            "count": self.count[rows],
            "index": rows,
        }

    def _image(self, rows: Tensor) -> Float[Tensor, "b 3 h w"]:
        if self.kept is not None:
            return self.kept[rows].float() / 255
        image = read_pictures(self.source.batch(rows.tolist()), size=self.size)
        return _packed(image).float() / 255

    def fingerprint(self) -> str:
        """Hash of captions and pictures."""
        own = getattr(self.source, "fingerprint", None)
        digest = hashlib.sha256(own().encode() if own is not None else b"")
        for part in (self.tokens, self.count, self.kept):
            digest.update(part.numpy().tobytes() if part is not None else b"")
        return digest.hexdigest()


class Contrast:
    """Trains both towers. Satisfies `visus.protocols.Trainable`.

    Source: Radford et al. 2021: symmetric cross-entropy over all pairs of the whole step's batch (of all processes
    together), the inverse temperature learned.
    Differs: one caption of a picture and its mirroring are drawn anew in every step, as functions of (seed, phase,
    step, picture).
    """

    def __init__(self, model: Any, config: VGlossConfig, *, seed: int) -> None:
        self.model, self.config, self.seed = model, config, seed
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        decayed = [weight for weight in weights if weight.ndim > 1]
        plain = [weight for weight in weights if weight.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)

    def parts(self) -> dict[str, nn.Module]:
        """The CLIP."""
        return {"clip": self.model}

    def optimizers(self) -> dict[str, Any]:
        """One for both towers."""
        return {"model": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on {"image", "tokens", "count", "index"}."""
        drawn = [derive_seed(self.seed, turn.phase, turn.step, item) for item in batch["index"].tolist()]
        image, tokens = self._drawn(batch, drawn)
        images, texts = embed_pixels(self.model, image), embed_tokens(self.model, tokens)
        everyone = gather(tokens)
        same = (everyone[:, None] == everyone[None]).all(-1) if self.config.identical == "shared" else None
        # similarities are divided by a small temperature: half precision would round neighbors together
        with torch.autocast(images.device.type, enabled=False):
            loss = contrastive(gather(images.float()), gather(texts.float()), self._scale(), same)
        turn.update("model", loss * processes())
        return cast(Logs, {"loss": loss, "scale": scale_of(self.model)})

    def _drawn(self, batch: Batch, drawn: Sequence[int]) -> tuple[Tensor, Tensor]:
        image, device = batch["image"], batch["image"].device
        choice = torch.tensor([draw >> 1 for draw in drawn], device=device) % batch["count"].clamp(min=1)
        tokens = batch["tokens"][torch.arange(len(choice), device=device), choice]
        if self.config.flips:
            mirrored = torch.tensor([draw & 1 for draw in drawn], dtype=torch.bool, device=device)
            image = torch.where(mirrored[:, None, None, None], image.flip(3), image)
        return image, tokens

    def _scale(self) -> Float[Tensor, ""]:
        """Every process computes the scale's whole gradient, unlike that of its own rows: only a share may count."""
        scale, world = scale_of(self.model), processes()
        return scale if world == 1 else scale / world + scale.detach() * (1 - 1 / world)


def phase(config: VGlossConfig, count: int) -> Phase:
    """The training's one stage; an incomplete batch is left out where there is a complete one."""
    return Phase(
        name="contrast",
        epochs=config.epochs,
        batch_size=config.batch_size,
        clip_norm=config.clip_norm or None,
        schedule=config.schedule,
        warmup=config.warmup,
        drop_last=count >= config.batch_size,
    )


def train_towers(data: Source, config: VGlossConfig, run: Any, settings: dict[str, Any]) -> SmallTowers:
    """A small CLIP trained on captioned pictures; its tokenizer is learned from their captions.

    Parameters
    ----------
    settings : what the run's folder is tied to, besides the data.

    Raises
    ------
    InputError : too few pictures, or pictures or captions that cannot be used.
    """
    if len(data) < FEWEST:
        problem, remedy = f"has {len(data)} items", f"give at least {FEWEST} captioned pictures"
        raise InputError(problem, field="training set", remedy=remedy)
    captions, kept = read_all(data, size=config.image_size)
    merges = learn_merges((text for told in captions for text in told), most=config.vocabulary)
    tokenizer = plain_tokenizer(merges, length=config.text_length)
    tokens, count = token_rows(tokenizer, captions, length=config.text_length)
    pictures = Captioned(data, tokens, count, size=config.image_size, kept=kept)
    with run.seeded("init"):
        model = _clip(config, merges)
    run.bind({**settings, "data": pictures.fingerprint()})
    run.train(Contrast(model, config, seed=run.seed), pictures, [phase(config, len(pictures))])
    return SmallTowers(model, merges)


def empty_towers(config: VGlossConfig, merges: Sequence[Merge]) -> SmallTowers:
    """Towers of that configuration, to load weights into."""
    return SmallTowers(_clip(config, merges), merges)


def _clip(config: VGlossConfig, merges: Sequence[Merge]) -> Any:
    return build_clip(
        sizes_of(config), vocabulary_size=len(vocabulary(merges)), temperature=config.temperature
    )
