"""A transformer classifier in which only the kind of attention varies."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from visus.errors import InputError
from visus.methods.attention.baselines import (
    GroupedQueryAttention,
    LinformerAttention,
    MixedAfterAttention,
    TokenMixer,
)
from visus.methods.attention.config import AttentionConfig
from visus.nn.attention import KINDS, build_attention

EPS = 1e-6


def make_attention(config: AttentionConfig, *, length: int) -> nn.Module:
    """The layer that `config.kind` names, for inputs of at most `length` tokens."""
    width, heads = config.width, config.num_heads
    if config.kind == "super":
        layer = build_attention(
            "super", width, num_heads=heads, length=length, wa_init=config.wa_init, wa_bias=config.wa_bias
        )
        if config.wa_frozen:
            layer.get_parameter("wa").requires_grad_(False)
        return layer
    if config.kind in KINDS:
        return build_attention(config.kind, width, num_heads=heads)
    if config.kind == "efficient_mixed":
        return MixedAfterAttention(width, num_heads=heads, length=length)
    if config.kind == "linformer":
        return LinformerAttention(width, num_heads=heads, length=length)
    if config.kind == "mixer":
        return TokenMixer(length=length, hidden=2 * length)
    return GroupedQueryAttention(
        width, num_heads=heads, groups=1 if config.kind == "mqa" else max(1, heads // 2)
    )


class Block(nn.Module):
    """Attention and a feed-forward layer with residual sums.

    post: x = LN(x + drop(attention(x))), x = LN(x + drop(FFN(x))); pre: x = x + drop(branch(LN(x))). FFN has
    one hidden layer with ReLU; LN has eps 1e-6.

    Paper: 2403.01643, the transformer of its experiments (post). `pre` is ours, for deeper models.
    """

    def __init__(self, config: AttentionConfig, *, length: int) -> None:
        super().__init__()
        self.pre = config.norm == "pre"
        self.attention = make_attention(config, length=length)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.width, config.feed_forward),
            nn.ReLU(),
            nn.Linear(config.feed_forward, config.width),
        )
        self.norms = nn.ModuleList([nn.LayerNorm(config.width, eps=EPS) for _ in range(2)])
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "b n e"], padding: Bool[Tensor, "b n"] | None
    ) -> Float[Tensor, "b n e"]:
        if self.pre:
            x = x + self.dropout(self.attention(self.norms[0](x), key_padding_mask=padding))
            return x + self.dropout(self.feed_forward(self.norms[1](x)))
        x = self.norms[0](x + self.dropout(self.attention(x, key_padding_mask=padding)))
        return self.norms[1](x + self.dropout(self.feed_forward(x)))


class Patches(nn.Module):
    """Images (b, c, s, s) -> one token of `width` numbers per square patch, plus a learned position."""

    def __init__(self, config: AttentionConfig, *, channels: int) -> None:
        super().__init__()
        if config.patch < 1 or config.image_size < 1 or config.image_size % config.patch:
            raise InputError(
                f"{config.image_size} pixels cannot be cut into patches of {config.patch}",
                field="image_size, patch",
                remedy="choose an image_size that is a multiple of patch",
            )
        self.patch, self.length = config.patch, (config.image_size // config.patch) ** 2
        self.project = nn.Linear(channels * config.patch**2, config.width)
        self.position = nn.Parameter(0.02 * torch.randn(self.length, config.width))

    def forward(self, image: Float[Tensor, "b c s s"]) -> Float[Tensor, "b n e"]:
        cut = rearrange(image, "b c (i p) (j q) -> b (i j) (c p q)", p=self.patch, q=self.patch)
        return self.project(cut) + self.position


class Words(nn.Module):
    """Word numbers (b, n) -> a learned vector per word plus one per position."""

    def __init__(self, config: AttentionConfig, *, words: int) -> None:
        super().__init__()
        self.length = config.length
        self.word = nn.Embedding(words, config.width)
        self.position = nn.Parameter(0.02 * torch.randn(self.length, config.width))
        nn.init.normal_(self.word.weight, std=0.02)

    def forward(self, tokens: Int[Tensor, "b n"]) -> Float[Tensor, "b n e"]:
        return self.word(tokens) + self.position[: tokens.shape[1]]


class Classifier(nn.Module):
    """Embedding, blocks, mean over the tokens that are not padding, class scores.

    Parameters
    ----------
    config : sizes and kind of attention.
    embedding : `Patches` or `Words`.
    classes : number of classes.
    """

    def __init__(self, config: AttentionConfig, embedding: Patches | Words, *, classes: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList([Block(config, length=embedding.length) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(config.width, eps=EPS) if config.norm == "pre" else nn.Identity()
        hidden = (
            [nn.Linear(config.width, config.head), nn.ReLU(), nn.Dropout(config.dropout)]
            if config.head
            else []
        )
        self.head = nn.Sequential(*hidden, nn.Linear(config.head or config.width, classes))

    def forward(
        self,
        inputs: Tensor,
        padding: Bool[Tensor, "b n"] | None = None,
        *,
        order: Int[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "b k"]:
        """Class scores.

        Parameters
        ----------
        inputs : images (b, c, s, s) or word numbers (b, n).
        padding : (b, n), True at padded words.
        order : shuffles the embedded tokens (positions included): without padding a control that leaves every
            kind of attention that treats tokens as a set where it was.
        """
        x = self.embedding(inputs)
        x = x if order is None else x[:, order]
        for block in self.blocks:
            x = block(x, padding)
        x = self.dropout(masked_mean(self.norm(x), padding))
        return self.head(x)


def masked_mean(x: Float[Tensor, "b n e"], padding: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b e"]:
    """Mean over the tokens that are not padding; zeros where all are."""
    if padding is None:
        return x.mean(1)
    kept = (~padding)[..., None].to(x.dtype)
    return (x * kept).sum(1) / kept.sum(1).clamp(min=1.0)


def count_parameters(config: AttentionConfig, *, channels: int = 1, classes: int = 10) -> int:
    """Parameters of the image classifier `config` describes, frozen ones included."""
    with torch.device("meta"):
        model = Classifier(config, Patches(config, channels=channels), classes=classes)
    return sum(parameter.numel() for parameter in model.parameters())
