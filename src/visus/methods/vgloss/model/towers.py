"""The small CLIP that is trained from scratch: its tokenizer, its two towers, and the folder it is exported to."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from visus.data.features.encoders.tokens import Tokens
from visus.data.features.encoders.towers import TowerEncoder
from visus.data.features.pictures import Preparation
from visus.errors import InputError
from visus.extras import need
from visus.records import write_json

START, END, SUFFIX = "<|startoftext|>", "<|endoftext|>", "</w>"
MEAN, STD = 0.5, 0.25
"""Of pixels 0..1, on every channel."""
LARGEST_SCALE = 100.0
"""Bound of the learned logit scale, as published."""
Merge = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of both towers."""

    image_size: int
    patch: int
    width: int
    layers: int
    heads: int
    text_layers: int
    text_width: int
    text_length: int
    joint: int


def byte_alphabet() -> list[str]:
    """The 256 signs that stand for bytes, in a fixed order: visible ones for themselves, others from 256 on."""
    tokenizers = need("tokenizers", extra="text", purpose="training a tokenizer")
    return sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())


def learn_merges(captions: Iterable[str], *, most: int) -> list[Merge]:
    """The pairs that byte-pair encoding joins, most frequent first, learned from captions.

    Splitting and normalization are those of CLIP's tokenizer: lower case, letters, single digits, signs.
    """
    tokenizers = need("tokenizers", extra="text", purpose="training a tokenizer")
    alphabet = byte_alphabet()
    # as special tokens, signs at the ends of words get their numbers in a fixed order: ties break the same way
    fixed = [START, END, *(sign + SUFFIX for sign in alphabet)]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=len(alphabet) + len(fixed) + most,
        min_frequency=2,
        show_progress=False,
        special_tokens=fixed,
        initial_alphabet=alphabet,
        end_of_word_suffix=SUFFIX,
    )
    rules = json.loads(plain_tokenizer([]).backend_tokenizer.to_str())
    rules |= {"added_tokens": [], "post_processor": None}
    learner = tokenizers.Tokenizer.from_str(json.dumps(rules))
    learner.train_from_iterator(captions, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    return [(one, other) for one, other in (m.split(" ") if isinstance(m, str) else m for m in merges)]


def vocabulary(merges: Sequence[Merge]) -> dict[str, int]:
    """Token -> number, in CLIP's order: bytes, bytes at the end of a word, merges, start, end.

    The end of a text has the highest number: older versions of transformers find it by that.
    """
    alphabet = byte_alphabet()
    joined = ["".join(merge) for merge in merges]
    tokens = [*alphabet, *(sign + SUFFIX for sign in alphabet), *joined, START, END]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def write_tokenizer(folder: Path, merges: Sequence[Merge], *, length: int) -> None:
    """The files of a CLIP tokenizer, which every version of transformers reads."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "vocab.json", vocabulary(merges))
    lines = ["#version: 0.2", *(f"{one} {other}" for one, other in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    write_json(folder / "special_tokens_map.json", special)
    settings = {**special, "model_max_length": length, "tokenizer_class": "CLIPTokenizer"}
    write_json(folder / "tokenizer_config.json", settings)


def plain_tokenizer(merges: Sequence[Merge], *, length: int = 77) -> Any:
    """A transformers CLIP tokenizer with these merges."""
    transformers = need("transformers", extra="text", purpose="the tokenizer of a CLIP")
    with tempfile.TemporaryDirectory() as temporary:
        write_tokenizer(Path(temporary), merges, length=length)
        return transformers.CLIPTokenizerFast.from_pretrained(temporary)


def build_clip(sizes: Sizes, *, vocabulary_size: int, temperature: float = 0.07) -> Any:
    """A transformers CLIPModel with random weights (seed the global generator around it)."""
    transformers = need("transformers", extra="text", purpose="training a CLIP")
    end = vocabulary_size - 1
    text = {
        "vocab_size": vocabulary_size,
        "hidden_size": sizes.text_width,
        "intermediate_size": 2 * sizes.text_width,
        "num_hidden_layers": sizes.text_layers,
        "num_attention_heads": sizes.heads,
        "max_position_embeddings": sizes.text_length,
        "projection_dim": sizes.joint,
        "bos_token_id": end - 1,
        "eos_token_id": end,
        "pad_token_id": end,
    }
    vision = {
        "hidden_size": sizes.width,
        "intermediate_size": 2 * sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "image_size": sizes.image_size,
        "patch_size": sizes.patch,
        "projection_dim": sizes.joint,
    }
    config = transformers.CLIPConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=sizes.joint,
        logit_scale_init_value=math.log(1 / temperature),
    )
    return transformers.CLIPModel(config)


def embed_pixels(model: Any, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b e"]:
    """Pictures of the model's size, 0..1, in the joint space; not normalized."""
    return _rows(model.get_image_features(pixel_values=(image - MEAN) / STD))


def embed_tokens(model: Any, tokens: Int64[Tensor, "b n"]) -> Float[Tensor, "b e"]:
    """Texts in the joint space; not normalized. Attention looks back only: what follows the end has no part."""
    return _rows(model.get_text_features(input_ids=tokens))


def _rows(found: Any) -> Tensor:
    return found if isinstance(found, Tensor) else found.pooler_output


def scale_of(model: Any) -> Float[Tensor, ""]:
    """The learned logit scale, at most 100."""
    return model.logit_scale.exp().clamp(max=LARGEST_SCALE)


class SmallTowers:
    """A trained small CLIP as an encoder: that of `visus.data.features`, which also takes pictures as tensors.

    Parameters
    ----------
    model : a CLIPModel.
    merges : of its tokenizer.
    """

    def __init__(self, model: Any, merges: Sequence[Merge]) -> None:
        self.model, self.merges = model, [(one, other) for one, other in merges]
        self.size = int(model.config.vision_config.image_size)
        self.preparation = Preparation(
            resize=(self.size, self.size),
            resample=int(Image.Resampling.BILINEAR),
            mean=(MEAN,) * 3,
            std=(STD,) * 3,
        )
        self.length = int(model.config.text_config.max_position_embeddings)
        tokens = Tokens(plain_tokenizer(merges, length=self.length), max_tokens=self.length)
        self._towers = TowerEncoder(model, tokens, self.preparation, device=model.logit_scale.device)

    @property
    def identity(self) -> str:
        """As of every encoder; computed once, so after the training."""
        return self._towers.identity

    @property
    def width(self) -> int:
        return int(self.model.config.projection_dim)

    @property
    def max_tokens(self) -> int:
        return self.length

    @property
    def logit_scale(self) -> float:
        """The learned factor of cosines, at most 100."""
        return float(scale_of(self.model).detach())

    def images(self, pictures: Sequence[Image.Image]) -> Float[Tensor, "b e"]:
        """PIL pictures in the joint space."""
        return self._towers.images(pictures)

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "b e"]:
        """Texts in the joint space."""
        return self._towers.texts(texts)

    def count_tokens(self, text: str) -> int:
        return self._towers.count_tokens(text)

    def tensors(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b e"]:
        """Pictures of the model's size, 0..1, in the joint space."""
        with torch.no_grad():
            return embed_pixels(self.model, image.to(self.model.device))

    def export(self, folder: str | Path) -> None:
        """Write an ordinary CLIP folder: plain transformers and `open_encoder` read it.

        Raises
        ------
        InputError : the folder is a file, or holds something already.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            remedy = "name a folder that is empty or not there yet"
            raise InputError("is there already", file=folder, remedy=remedy)
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            draft.chmod(0o755)
            self.model.config.architectures = [type(self.model).__name__]
            self.model.config.save_pretrained(draft)
            weights = {
                name: value.detach().cpu().contiguous() for name, value in self.model.state_dict().items()
            }
            save_file(weights, draft / "model.safetensors", metadata={"format": "pt"})
            (draft / "model.safetensors").chmod(0o644)
            write_tokenizer(draft, self.merges, length=self.length)
            write_json(draft / "preprocessor_config.json", self.preparation.to_config())
            if folder.is_dir():
                folder.rmdir()
            draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def token_rows(
    tokenizer: Any, captions: Sequence[Sequence[str]], *, length: int
) -> tuple[Int64[Tensor, "n m l"], Int64[Tensor, " n"]]:
    """Captions as numbers: (pictures, captions per picture, tokens), padded with the end, and how many there are.

    Texts are cut to `length`, or padded to the longest of all.
    """
    counts = torch.tensor([len(told) for told in captions])
    flat = list(itertools.chain.from_iterable(captions))
    rows = tokenizer(flat, truncation=True, max_length=length)["input_ids"]
    end, longest = tokenizer.eos_token_id, max(map(len, rows))
    padded = torch.tensor([[*row, *[end] * (longest - len(row))] for row in rows])
    found = torch.full((len(captions), int(counts.max()), longest), end)
    starts = counts.cumsum(0) - counts
    for i, (start, count) in enumerate(zip(starts.tolist(), counts.tolist())):
        found[i, :count] = padded[start : start + count]
    return found, counts
