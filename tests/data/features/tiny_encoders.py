"""Small real models in real folders, pictures, and encoders that count what they are asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

VOCABULARY = (
    "a",
    "photo",
    "of",
    "the",
    "red",
    "blue",
    "dog",
    "cat",
    "bird",
    "big",
    "small",
    "sits",
    "on",
    "mat",
)


def save_tokenizer(folder: Path, *, most: int, pad: str = "</s>", start: bool = True) -> None:
    """A word tokenizer that ends every text with </s> and, if asked, starts it with <s>."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "</s>", "[UNK]", "[PAD]"]
    numbers = {word: i for i, word in enumerate([*special, *VOCABULARY])}
    rules = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    rules.normalizer = normalizers.Lowercase()
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    rules.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if start else "$A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=rules,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="[UNK]",
        pad_token=pad,
        model_max_length=most,
    ).save_pretrained(folder)


def _sizes(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "attention_dropout": 0.1,
        **more,
    }


def save_clip(folder: Path, *, seed: int = 0, most: int = 8) -> Path:
    """CLIPModel, tokenizer and image processor."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    text = _sizes(vocab_size=40, max_position_embeddings=most, bos_token_id=0, eos_token_id=1, pad_token_id=1)
    vision = _sizes(image_size=16, patch_size=8)
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=6))
    model.logit_scale.data.fill_(1.5)
    model.save_pretrained(folder)
    save_tokenizer(folder, most=most)
    size = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=size).save_pretrained(folder)
    return folder


def save_siglip(folder: Path, *, seed: int = 0, most: int = 8) -> Path:
    """SiglipModel, tokenizer and image processor."""
    from transformers import SiglipConfig, SiglipModel
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    text = _sizes(vocab_size=40, max_position_embeddings=most, bos_token_id=0, eos_token_id=1, pad_token_id=3)
    vision = _sizes(image_size=16, patch_size=8)
    torch.manual_seed(seed)
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    model.logit_scale.data.fill_(0.5)
    model.logit_bias.data.fill_(-2.0)
    model.save_pretrained(folder)
    save_tokenizer(folder, most=most, pad="[PAD]", start=False)
    SiglipImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def save_vit(folder: Path, *, seed: int = 0, pooling: bool = True) -> Path:
    """ViTModel with or without its pooling head, and an image processor."""
    from transformers import ViTConfig, ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    torch.manual_seed(seed)
    config = ViTConfig(**_sizes(image_size=16, patch_size=8))
    ViTModel(config, add_pooling_layer=pooling).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def noise(*sizes: tuple[int, int], seed: int = 0) -> list[Image.Image]:
    """RGB pictures of random levels, sizes as (width, height)."""
    generator = np.random.default_rng(seed)
    return [
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in sizes
    ]


def save_pictures(folder: Path, count: int, *, seed: int = 0) -> list[Path]:
    """Different small PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:03d}.png" for i in range(count)]
    for path, picture in zip(paths, noise(*[(9, 7)] * count, seed=seed)):
        picture.save(path)
    return paths


class Counting:
    """Mean color of a picture, length and vowels of a text; notes how many items it was given."""

    width, max_tokens = 3, 1000

    def __init__(self, identity: str = "counting 1", *, pause: float = 0.0) -> None:
        self.identity, self.pause, self.seen = identity, pause, 0

    def images(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        time.sleep(self.pause)
        self.seen += len(pictures)
        return torch.stack([torch.from_numpy(np.asarray(p).mean((0, 1))).float() for p in pictures])

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        time.sleep(self.pause)
        self.seen += len(texts)
        return torch.tensor([[len(text), sum(map(text.count, "aeiou")), 1] for text in texts]).float()

    def count_tokens(self, text: str) -> int:
        return len(text.split())
