"""Programs into vectors of the joint space: one per primitive, each aware of the whole scene."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from visus.methods.nsi.model.attributes import Categorical
from visus.methods.nsi.model.schema import Schema
from visus.methods.nsi.model.tensors import Programs
from visus.nn.slots import CrossAttention, mlp


class ProgramEncoder(nn.Module):
    """Schema encoder: a set transformer over a scene's primitives, then the projection to the joint space.

        h_j = embedding of primitive j;   h = blocks(h) over the set, no positions;   e_j = head(LN h_j)

    Primitives see each other, so "the cube" of a scene with one cube differs from one of many.

    Paper: 2403.07887; sizes of the published code by default (8 blocks, 8 heads, 192 -> 64).
    Differs: padded rows are hidden from the real ones. The published code lets every primitive see them, as
    objects of class 0 and raw value 0; `legacy_padding` does the same.

    Parameters
    ----------
    schema : what primitives are made of.
    width, heads, blocks : of the transformer; 0 blocks make every primitive stand for itself (the ablation
        without scene context).
    size : width of the joint space.
    dropout : inside the blocks.
    legacy_padding : see above.

    Memory: (b, heads, p, p) at most; primitives are few.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        width: int = 192,
        heads: int = 8,
        blocks: int = 8,
        size: int = 64,
        dropout: float = 0.0,
        legacy_padding: bool = False,
    ) -> None:
        super().__init__()
        self.legacy_padding = legacy_padding
        self.primitives = PrimitiveEmbedding(schema, width)
        self.blocks = nn.ModuleList(
            SetBlock(width, heads=heads, gain=(3 * blocks) ** -0.5, first=index == 0, dropout=dropout)
            for index in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.head = ProjectionHead(width, size)
        zeros = [-low / span for each in schema.continuous for low, span in zip(each.low, each.span)]
        self.register_buffer("raw_zero", torch.tensor(zeros), persistent=False)

    def forward(self, programs: Programs) -> Float[Tensor, "b p e"]:
        """Vectors of the primitives; zeros in padded rows."""
        mask = programs.mask
        # a scene without objects sees its padding: attention over nothing is not a number
        visible = None if self.legacy_padding else mask | (programs.length == 0)[:, None]
        x = self.primitives(self._filled(programs, mask) if self.legacy_padding else programs)
        for block in self.blocks:
            x = block(x, visible)
        return self.head(self.norm(x)) * mask[..., None]

    def _filled(self, programs: Programs, mask: Bool[Tensor, "b p"]) -> Programs:
        """Padded rows as objects of class 0 and raw value 0."""
        raw_zero = torch.as_tensor(self.raw_zero).to(programs.values)
        values = torch.where(mask[..., None], programs.values, raw_zero)
        return Programs(programs.categories, values, programs.present | ~mask[..., None], programs.length)


class PrimitiveEmbedding(nn.Module):
    """One vector per object: its attributes' vectors side by side, through an MLP.

    Categorical: a learned vector per value. Continuous: ReLU(W x + b) of the values scaled to 0..1. Missing: a
    learned vector per attribute (ours). Then Linear(attributes * d, d), ReLU, Linear(d, d).
    """

    def __init__(self, schema: Schema, width: int) -> None:
        super().__init__()
        self.schema = schema
        self.attributes = nn.ModuleList(
            nn.Embedding(len(each.values), width)
            if isinstance(each, Categorical)
            else nn.Linear(each.size, width)
            for each in schema.attributes
        )
        self.missing = nn.Parameter(0.02 * torch.randn(len(schema.attributes), width))
        self.mix = mlp(len(schema.attributes) * width, width, width)

    def forward(self, programs: Programs) -> Float[Tensor, "b p d"]:
        classes = iter(programs.categories.unbind(-1))
        numbers = programs.values.to(self.missing.dtype)
        found = [
            layer(next(classes))
            if isinstance(each, Categorical)
            else F.relu(layer(numbers[..., self.schema.columns[each.name]]))
            for each, layer in zip(self.schema.attributes, self.attributes)
        ]
        known = torch.where(programs.present[..., None], torch.stack(found, -2), self.missing)
        return self.mix(known.flatten(-2))


class SetBlock(nn.Module):
    """Pre-norm self-attention without biases and a ReLU MLP of four times the width, each with a residual.

        first:   x = LN(x);  x = x + attention(x)             (the norm acts on the residual stream itself)
        others:  x = x + attention(LN(x))                     then  x = x + MLP(LN(x))

    Starts Xavier-uniform (Kaiming inside the MLP); both output maps are scaled by `gain`.

    Source: the blocks of SLATE (2110.11405), which NSI's published code takes over.
    """

    def __init__(self, width: int, *, heads: int, gain: float, first: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = first
        self.attention = CrossAttention(width, heads=heads, bias=False)
        self.mlp = mlp(width, 4 * width, width)
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        attention, inner, outer = self.attention, self.mlp[0], self.mlp[2]
        for weight in (attention.to_query.weight, *attention.to_key_value.weight.chunk(2)):
            nn.init.xavier_uniform_(weight)
        nn.init.xavier_uniform_(attention.to_out.weight, gain=gain)
        nn.init.kaiming_uniform_(inner.get_parameter("weight"), nonlinearity="relu")
        nn.init.xavier_uniform_(outer.get_parameter("weight"), gain=gain)
        for layer in (inner, outer):
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(
        self, x: Float[Tensor, "b p d"], visible: Bool[Tensor, "b p"] | None = None
    ) -> Float[Tensor, "b p d"]:
        normed = self.norm_attention(x)
        x = normed if self.first else x
        x = x + self.dropout(self.attention(normed, normed, visible=visible))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


class ProjectionHead(nn.Module):
    """To the joint space: e = W h;  e = e + Dropout(MLP(LN e)), the MLP with four times the width and ReLU.

    Slots and primitives have one each. Nothing is normalized to unit length.

    Paper: 2403.07887, published code (192 -> 64, dropout .1).
    """

    def __init__(self, width: int, size: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.project = nn.Linear(width, size, bias=False)
        self.norm, self.mlp = nn.LayerNorm(size), mlp(size, 4 * size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b e"]:
        x = self.project(x)
        return x + self.dropout(self.mlp(self.norm(x)))
