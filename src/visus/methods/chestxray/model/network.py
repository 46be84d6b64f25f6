"""The dual-encoder network: one radiograph into class logits and a density of where a radiologist looks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.errors import InputError
from visus.methods.chestxray.model.backbones import Backbone
from visus.methods.chestxray.model.blocks import DEPTH, ClassHead, Decoder, Encoder, SaliencyHead
from visus.methods.chestxray.model.padding import covered_mean, crop, pad_to_multiple


class Reading(NamedTuple):
    """What a network says about a batch of radiographs.

    logits : of the classes; None from a network that does not classify.
    log_density : exp of it sums to 1 over the pixels of each image; None from a network without gaze.
    embedding : pooled features, what the contrastive loss compares.
    """

    logits: Float[Tensor, "b k"] | None
    log_density: Float[Tensor, "b h w"] | None
    embedding: Float[Tensor, "b c"]


class DualNet(nn.Module):
    """A dense backbone and a residual squeeze-and-excitation encoder, joined by one decoder.

    F = backbone(x)  (/32, after its last ReLU)      E1 .. E5 = encoder(x)      D1 = decoder(F; E5 .. E1)
    log q = log-softmax_hw(head(D1))                 logits = MLP([mean_hw F ; mean_hw D1])

    With DenseNet-201, base 64 and 3 classes it has 66,643,143 parameters: dense 18,092,928, its own 3-way head
    5,763, encoder 25,294,016, decoder 23,086,080, saliency head 37,121, fusion classifier 127,235.

    Images of any size: they are padded at the bottom and the right by repeating the border up to a multiple of
    32, D1 is cropped before the saliency head, so the density sums to 1 over the true pixels, and pooled
    features are means over the true area.

    Paper: 2403.16970, fig. 1. The released code hooks the norm after the last dense block and an in-place ReLU
    then changes that tensor, so what it pools and decodes is the rectified map; here the backbone gives just
    that. Differs: padding; backbones other than DenseNet-201, also of stride 16, 64, ...

    Parameters
    ----------
    backbone : see `build_backbone` and `wrap`.
    base_channels : b; the encoder has b, 2b, 4b, 8b, 16b.
    hidden, dropout : of the fusion classifier.
    use_decoder : whether the classifier sees D1 too; without, it sees the dense features alone (ablation).
    strict : refuse images whose sides are no multiples of `multiple`, instead of padding them.

    >>> from visus.methods.chestxray.model import build_backbone
    >>> reading = DualNet(build_backbone("compact"), classes=3, base_channels=4)(torch.rand(2, 1, 50, 64))
    >>> reading.logits.shape, reading.log_density.shape
    (torch.Size([2, 3]), torch.Size([2, 50, 64]))
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        classes: int,
        base_channels: int = 64,
        hidden: int = 64,
        dropout: float = 0.25,
        use_decoder: bool = True,
        strict: bool = False,
    ) -> None:
        super().__init__()
        for field, value in (("classes", classes), ("base_channels", base_channels), ("hidden", hidden)):
            if value < 1:
                raise InputError(f"is {value}", field=field, remedy="give at least 1")
        finest = 2 ** (DEPTH - 1)
        if backbone.stride < finest or backbone.stride & (backbone.stride - 1):
            problem = f"is {backbone.stride}, not a power of 2 from {finest} on"
            raise InputError(problem, field="backbone.stride", remedy="choose another layer of the network")
        self.backbone = backbone
        self.dense_head = nn.Linear(backbone.channels, classes)
        self.encoder = Encoder(base_channels)
        self.decoder = Decoder(backbone.channels, base_channels)
        self.saliency = SaliencyHead(base_channels)
        pooled = backbone.channels + (base_channels if use_decoder else 0)
        self.fusion = ClassHead(pooled, classes, hidden=hidden, dropout=dropout)
        self.use_decoder, self.strict = use_decoder, strict
        self.multiple = backbone.stride

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> Reading:
        """Logits of the fusion classifier and the density.

        Parameters
        ----------
        image : 0..1, bright is dense.

        Raises
        ------
        InputError : not one channel, or a size that `strict` refuses.
        """
        size = _size(image)
        padded = self._padded(image)
        top = self.backbone(padded)
        fine = crop(self.decoder(top, self.encoder(padded)), size)
        embedding = self._pooled(top, size)
        features = torch.cat([embedding, fine.mean((2, 3))], dim=1) if self.use_decoder else embedding
        return Reading(self.fusion(features), self.saliency(fine), embedding)

    def classify(self, image: Float[Tensor, "b 1 h w"]) -> Reading:
        """Logits of the dense network's own head, without encoder and decoder (stage 1b)."""
        embedding = self.embed(image)
        return Reading(self.dense_head(embedding), None, embedding)

    def embed(self, image: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c"]:
        """Pooled features of the backbone alone: what the contrastive loss compares (stage 1a)."""
        size = _size(image)
        return self._pooled(self.backbone(self._padded(image)), size)

    def groups(self) -> dict[str, list[nn.Module]]:
        """The parts that stages train and freeze; every parameter is in exactly one."""
        return {
            "dense": [self.backbone],
            "dense_head": [self.dense_head],
            "encoder": [self.encoder],
            "decoder": [self.decoder],
            "saliency": [self.saliency],
            "fusion": [self.fusion],
        }

    def _padded(self, image: Tensor) -> Tensor:
        return pad_to_multiple(image, self.multiple, strict=self.strict)

    def _pooled(self, top: Tensor, size: tuple[int, int]) -> Tensor:
        return covered_mean(top, size, self.backbone.stride)


def _size(image: Tensor) -> tuple[int, int]:
    if image.ndim != 4 or image.shape[1] != 1:
        problem = f"has the shape {tuple(image.shape)}"
        raise InputError(problem, field="image", remedy="give gray images as (batch, 1, height, width)")
    return image.shape[-2], image.shape[-1]
