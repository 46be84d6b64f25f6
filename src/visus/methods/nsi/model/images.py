"""Pictures, or features of a frozen network, into slots, their vectors in the joint space, and masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.nsi.model.encoder import ProjectionHead
from visus.nn.slots import (
    Decoded,
    GaussianSlots,
    MLPDecoder,
    SlotAttention,
    SpatialBroadcastDecoder,
    broadcast_decoder,
    mlp,
    slot_encoder,
)

NOISE_SEED = 0


class SlotImages(NamedTuple):
    """What the image side says about a batch.

    slots : (b, k, d).
    embeddings : (b, k, e), the slots in the joint space.
    attention : (b, k, n), Slot Attention's last softmax over slots, per token.
    decoded : output and alphas of the decoder; None unless asked for.
    """

    slots: Float[Tensor, "b k d"]
    embeddings: Float[Tensor, "b k e"]
    attention: Float[Tensor, "b k n"]
    decoded: Decoded | None = None


class SlotImageEncoder(nn.Module):
    """Tokens compete for slots; slots are projected to the joint space and decoded for reconstruction.

        slots = SlotAttention(tokens(x), mu + exp(log_sigma) * noise);   z = head(slots);   x_hat = decoder(slots)

    Paper: 2403.07887: one head, keys without bias, 1e-8 added to every weight before they are divided by their
    sum over tokens, and a residual MLP as wide as the slots.

    Parameters
    ----------
    tokens : inputs to tokens (b, n, c); has `features` (c) and `grid(height, width)`. A `SlotEncoder` for
        pictures, `FeatureTokens` for features.
    decoder : what reconstructs; None for no reconstruction.
    count, size : number of slots K and their width D.
    joint : width of the joint space.
    iterations : rounds of Slot Attention.
    """

    def __init__(
        self,
        tokens: nn.Module,
        decoder: MLPDecoder | SpatialBroadcastDecoder | None,
        *,
        count: int,
        size: int,
        joint: int = 64,
        iterations: int = 3,
    ) -> None:
        super().__init__()
        self.tokens, self.decoder = tokens, decoder
        self.start = GaussianSlots(count, size)
        self.attention = SlotAttention(
            int(tokens.features),  # type: ignore[arg-type]
            size,
            hidden=size,
            iterations=iterations,
            epsilon_inside=True,
        )
        self.head = ProjectionHead(size, joint)

    def forward(
        self,
        inputs: Float[Tensor, b * rest],
        *,
        generator: torch.Generator | None = None,
        seeds: Sequence[int] | None = None,
        decode: bool = False,
    ) -> SlotImages:
        """Slots of pictures (b, 3, h, w) in 0..1, or of features (b, n, c).

        Parameters
        ----------
        generator : draws independent noise for every item: training. Without it (and without `seeds`) every
            item starts from the same noise, so that its result depends neither on its batch nor on the call.
        seeds : one per item, for noise that differs between items but not between calls.
        decode : also reconstruct.

        Raises
        ------
        InputError : `decode` without a decoder, or as many seeds as not items.
        """
        if decode and self.decoder is None:
            raise InputError("there is no decoder", field="decode", remedy="build the encoder with one")
        tokens = self.tokens(inputs)
        slots, attention = self.attention(tokens, self._noise(len(tokens), generator, seeds))
        decoded = self.decoder(slots) if decode and self.decoder is not None else None
        return SlotImages(slots, self.head(slots), attention, decoded)

    def _noise(
        self, batch: int, generator: torch.Generator | None, seeds: Sequence[int] | None
    ) -> Float[Tensor, "b k d"]:
        if seeds is not None:
            if len(seeds) != batch:
                problem = f"has {len(seeds)} numbers for {batch} items"
                raise InputError(problem, field="seeds", remedy="give one per item")
            each = [self.start(1, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
            return torch.cat(each)
        if generator is not None:
            return self.start(batch, generator=generator)
        return self.start(batch, generator=torch.Generator().manual_seed(NOISE_SEED), shared=True)

    def target(self, inputs: Float[Tensor, b * rest]) -> Float[Tensor, b * cells]:
        """What the decoder is to give: the features, or the picture at the decoder's resolution."""
        if inputs.ndim == 3 or self.decoder is None:
            return inputs
        if isinstance(self.decoder, SpatialBroadcastDecoder):
            return F.interpolate(inputs, size=self.decoder.image, mode="area")
        return rearrange(F.interpolate(inputs, size=self.decoder.grid, mode="area"), "b c h w -> b (h w) c")

    def decoder_masks(self, decoded: Decoded) -> Float[Tensor, "b k h w"]:
        """The decoder's alphas on its grid: sums to 1 over slots. What discovery is measured from."""
        masks = decoded.masks
        grid = self.decoder.grid if isinstance(self.decoder, MLPDecoder) else masks.shape[-2:]
        return masks.view(*masks.shape[:2], *grid)

    def attention_masks(
        self, attention: Float[Tensor, "b k n"], inputs: Float[Tensor, b * rest]
    ) -> Float[Tensor, "b k h w"]:
        """Slot Attention's maps on the token grid: sums to 1 over slots. Not the same as `decoder_masks`."""
        grid = self.tokens.grid(*inputs.shape[-2:])  # type: ignore[operator]
        return attention.view(*attention.shape[:2], *grid)


class FeatureTokens(nn.Module):
    """Features of a frozen network into tokens: LN -> Linear, ReLU, Linear of the same width.

    Paper: 2403.07887, in front of Slot Attention; positions are in the features already.

    Parameters
    ----------
    features : width c.
    cells : rows and columns of the features' grid.
    """

    def __init__(self, features: int, *, cells: tuple[int, int]) -> None:
        super().__init__()
        self.features, self.cells = features, (int(cells[0]), int(cells[1]))
        self.norm, self.mlp = nn.LayerNorm(features), mlp(features, features, features)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens, whatever the shape."""
        return self.cells

    def forward(self, features: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        rows, columns = self.cells
        if features.shape[1:] != (rows * columns, self.features):
            problem = f"are {features.shape[1]} tokens of width {features.shape[2]}"
            remedy = f"give {rows * columns} tokens of width {self.features}, from the same frozen network"
            raise InputError(problem, field="features", remedy=remedy)
        return self.mlp(self.norm(features))


def segment(masks: Float[Tensor, "b k y x"], *, size: tuple[int, int]) -> Int[Tensor, "b h w"]:
    """The slot with the greatest mask at every pixel, masks resized bilinearly."""
    return F.interpolate(masks, size=size, mode="bilinear", align_corners=False).argmax(1)


def picture_slots(
    *,
    image: tuple[int, int],
    count: int = 7,
    size: int = 64,
    joint: int = 64,
    iterations: int = 3,
    channels: int = 32,
    strides: Sequence[int] = (2, 2, 1),
    decoder: Literal["mlp", "broadcast", "none"] = "mlp",
    cells: tuple[int, int] = (16, 16),
    hidden: Sequence[int] = (128, 128),
) -> SlotImageEncoder:
    """An image encoder that learns from pictures: a strided CNN, and a decoder of pixels.

    Parameters
    ----------
    image : height and width of the pictures.
    count, size, joint, iterations : see `SlotImageEncoder`.
    channels, strides : of the CNN; tokens are the picture's cells after all strides.
    decoder : `mlp` reconstructs the picture at the resolution `cells` (cheap); `broadcast` at full size; or none.
    cells, hidden : resolution and inner widths of the MLP decoder.
    """
    tokens = slot_encoder("cnn", channels=channels, strides=strides)
    decoding: MLPDecoder | SpatialBroadcastDecoder | None = None
    if decoder == "mlp":
        decoding = MLPDecoder(size, 3, grid=cells, hidden=hidden)
    elif decoder == "broadcast":
        decoding = broadcast_decoder(size, 3, image=image, channels=channels)
    elif decoder != "none":
        raise InputError(f"is {decoder!r}", field="decoder", remedy="choose from mlp, broadcast, none")
    return SlotImageEncoder(tokens, decoding, count=count, size=size, joint=joint, iterations=iterations)


def feature_slots(
    *,
    features: int,
    cells: tuple[int, int],
    count: int = 15,
    size: int = 192,
    joint: int = 64,
    iterations: int = 3,
    hidden: Sequence[int] = (1024, 1024, 1024),
    decode: bool = True,
) -> SlotImageEncoder:
    """An image encoder over features of a frozen network; sizes of the published code by default.

    Parameters
    ----------
    features, cells : width of the features, and rows and columns of their grid.
    count, size, joint, iterations : see `SlotImageEncoder`.
    hidden : inner widths of the decoder that reconstructs the features.
    decode : whether there is one.
    """
    decoder = MLPDecoder(size, features, grid=cells, hidden=hidden) if decode else None
    tokens = FeatureTokens(features, cells=cells)
    return SlotImageEncoder(tokens, decoder, count=count, size=size, joint=joint, iterations=iterations)
