"""The networks, and where the table enters them: residual (Alzheimer's), plain (brain age), table only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from visus.errors import InputError
from visus.methods.hyperfusion.baselines import matched_width, modulation, parameter_count
from visus.nn.hyper import HyperConv2d, HyperConv3d, Hyperfan, HyperLinear, condition_variance
from visus.nn.hyper.initialize import VarianceKind
from visus.nn.norms import SyncedBatchNorm

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
HYPER_CONV = {2: HyperConv2d, 3: HyperConv3d}
POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
DROPOUT = {2: nn.Dropout2d, 3: nn.Dropout3d}
BLOCK_DROPOUT = (0.1, 0.2, 0.2, 0.3)
MOMENTUM = 0.05


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the data say about a network: image channels, table columns, outputs, spatial size."""

    channels: int
    columns: int
    outputs: int
    space: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.space) not in (2, 3):
            raise InputError(
                f"images have {len(self.space)} spatial axes", field="image", remedy="give 2 or 3"
            )


class BatchNorm(SyncedBatchNorm):
    """Batch normalization for any number of axes that survives a training batch with one value per channel.

    Differs: such a batch has no variance; it is normalized by the running statistics, which it does not
    change.
    """

    def forward(self, input: Tensor) -> Tensor:
        alone = not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)
        if self.training and alone and input.numel() == input.shape[1]:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class Embedding(nn.Sequential):
    """E: table row -> Linear -> BatchNorm -> PReLU."""

    def __init__(self, columns: int, width: int) -> None:
        super().__init__(nn.Linear(columns, width), BatchNorm(width), nn.PReLU())

    @torch.no_grad()
    def calibrate(self, table: Float[Tensor, "n m"]) -> None:
        """Set the running statistics to those of the training rows, as training would find them."""
        linear, norm, _ = self
        rows = linear(table)
        for buffer, moment in (
            (norm.running_mean, rows.mean(0)),
            (norm.running_var, rows.var(0, correction=0)),
        ):
            assert isinstance(buffer, Tensor)
            buffer.copy_(moment)


class TabularNet(nn.Module):
    """Table only: E and a linear layer. Its trained E can start that of `FusionResNet`."""

    def __init__(self, sizes: Sizes, *, embedding: int = 8) -> None:
        super().__init__()
        self.embedding = Embedding(sizes.columns, embedding)
        self.head = nn.Linear(embedding, sizes.outputs)

    def forward(self, image: Tensor | None, table: Float[Tensor, "b m"]) -> Float[Tensor, "b k"]:
        return self.head(self.embedding(table))


class PreactBlock(nn.Module):
    """out = conv2(drop(relu(bn2(conv1(drop(relu(bn1(m(x)))))))) + shortcut(x), m an optional modulation.

    Shortcut: identity; BN -> 1x1 conv where size or channels change; with emitted weights 1x1 conv -> BN.
    `emitted` says per layer (conv1, conv2, shortcut) whether its weights are emitted, e.g. "FFT".

    Paper: 2403.13319 (the two orders of the shortcut differ there too).
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        dims: int,
        stride: int,
        dropout: float,
        emitted: str = "FFF",
        cond_dim: int = 0,
    ) -> None:
        super().__init__()

        def conv(i: int, o: int, kernel: int, hyper: str, step: int = 1) -> nn.Module:
            if hyper == "T":
                return HYPER_CONV[dims](i, o, kernel, stride=step, padding=kernel // 2, cond_dim=cond_dim)
            return CONV[dims](i, o, kernel, stride=step, padding=kernel // 2)

        self.norm1, self.norm2 = BatchNorm(c_in, momentum=MOMENTUM), BatchNorm(c_out, momentum=MOMENTUM)
        self.conv1 = conv(c_in, c_out, 3, emitted[0], stride)
        self.conv2 = conv(c_out, c_out, 3, emitted[1])
        self.drop = DROPOUT[dims](dropout)
        self.shortcut_first = emitted[2] == "T"
        self.shortcut, self.shortcut_norm = None, None
        if stride != 1 or c_in != c_out:
            self.shortcut = conv(c_in, c_out, 1, emitted[2], stride)
            self.shortcut_norm = BatchNorm(c_out if self.shortcut_first else c_in, momentum=MOMENTUM)

    def forward(
        self,
        x: Float[Tensor, "b c *space"],
        cond: Float[Tensor, "b e"] | None = None,
        modulate: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "b o *out"]:
        main = x if modulate is None else modulate(x)
        main = _apply(self.conv1, self.drop(self.norm1(main).relu()), cond)
        main = _apply(self.conv2, self.drop(self.norm2(main).relu()), cond)
        if self.shortcut is None or self.shortcut_norm is None:
            return main + x
        if self.shortcut_first:
            return main + self.shortcut_norm(_apply(self.shortcut, x, cond))
        return main + _apply(self.shortcut, self.shortcut_norm(x), cond)


class FusionResNet(nn.Module):
    """Pre-activation residual network for 2-D or 3-D images of any size, with a table.

    conv3 -> BN -> ReLU -> max pool 2 -> blocks (f -> 2f -> 4f -> ...) -> mean over space -> dropout .6 ->
    FC1 -> ReLU
    -> dropout .5 -> FC2.

    Paper: 2403.13319 with `position="paper_ad"`, f = 16, four blocks: the embedded row emits the 1x1x1
    convolution of the last shortcut (32,768 weights, 256 biases). Differs: 2-D, other sizes and `fc1`,
    `fc2` are ours; `dropout` multiplies the rates.

    Parameters
    ----------
    sizes : what the data say.
    fusion, position : see `visus.methods.hyperfusion.config`.
    width : f.
    embedding : width of E.

    >>> net = FusionResNet(Sizes(channels=1, columns=3, outputs=2, space=(8, 8)), width=4, blocks=2)
    >>> net(torch.zeros(5, 1, 8, 8), torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        fusion: str = "hyper",
        position: str = "fc1",
        width: int = 16,
        blocks: int = 4,
        stem_pool: bool = True,
        dropout: float = 1.0,
        embedding: int = 8,
    ) -> None:
        super().__init__()
        dims, hyper = len(sizes.space), fusion == "hyper"
        patterns = _patterns(position if hyper else "fc1", blocks)
        self.embedding = Embedding(sizes.columns, embedding) if hyper else None
        self.stem = nn.Sequential(
            CONV[dims](sizes.channels, width, 3, padding=1), BatchNorm(width, momentum=MOMENTUM), nn.ReLU()
        )
        if stem_pool:
            self.stem.append(POOL[dims](2))
        self.blocks = nn.ModuleList(
            PreactBlock(
                width * 2**i,
                width * 2 ** (i + 1),
                dims=dims,
                stride=1 if i == 0 else 2,
                dropout=dropout * BLOCK_DROPOUT[i],
                emitted=pattern,
                cond_dim=embedding,
            )
            for i, pattern in enumerate(patterns)
        )
        self.modulation = modulation(fusion, width * 2 ** (blocks - 1), sizes.columns)
        self.concat = fusion.startswith("concat")
        self.drop1, self.drop2 = nn.Dropout(0.6 * dropout), nn.Dropout(0.5 * dropout)
        top, hidden = width * 2**blocks, 4 * width
        entry = top + (sizes.columns if self.concat else 0)
        emitted1, emitted2 = hyper and position in ("fc1", "fc2"), hyper and position == "fc2"
        self.fc1 = HyperLinear(top, hidden, cond_dim=embedding) if emitted1 else nn.Linear(entry, hidden)
        outputs = sizes.outputs
        self.fc2 = (
            HyperLinear(hidden, outputs, cond_dim=embedding) if emitted2 else nn.Linear(hidden, outputs)
        )
        self.widen = None
        if fusion == "concat_matched":
            options = {"width": width, "blocks": blocks, "stem_pool": stem_pool, "embedding": embedding}
            with torch.device("meta"):
                target = parameter_count(FusionResNet(sizes, position=position, **options))
            rest = parameter_count(self) - parameter_count(self.fc1) + hidden
            units = matched_width(target, rest, entry + 1 + hidden)
            self.widen, self.fc1 = nn.Linear(entry, units), nn.Linear(units, hidden)

    def features(
        self, image: Float[Tensor, "b c *space"], table: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b f"]:
        """The image after pooling."""
        cond = None if self.embedding is None else self.embedding(table)
        return self._pooled(image, table, cond)

    def forward(
        self, image: Float[Tensor, "b c *space"], table: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b k"]:
        cond = None if self.embedding is None else self.embedding(table)
        x = self._pooled(image, table, cond)
        x = self.drop1(torch.cat([x, table], dim=1) if self.concat else x)
        if self.widen is not None:
            x = self.widen(x).relu()
        x = self.drop2(_apply(self.fc1, x, cond).relu())
        return _apply(self.fc2, x, cond)

    def _pooled(self, image: Tensor, table: Tensor, cond: Tensor | None) -> Tensor:
        x = self.stem(image)
        for block in self.blocks[:-1]:
            x = block(x, cond)
        change = self.modulation
        x = self.blocks[-1](x, cond, None if change is None else lambda maps: change(maps, table))
        return x.flatten(2).mean(2)


class AgeNet(nn.Module):
    """Plain 3-D (or 2-D) convolutions, then four fully connected layers that the table emits.

    Three stages {conv3, ReLU, conv3, ReLU, max pool 2, BN} without padding, channels 16, 32, 64 -> dropout
    .2 -> flatten -> 16 -> 32 -> 64 -> outputs. Every emitted layer has an embedding of its own,
    Linear(columns -> 1) with weight 1 and bias 0: at the start the condition is the sum of the columns.

    Paper: 2403.13319 (1x90x120x99 gives 39,424 features; `concat` joins after the first layer).
    Differs: any size of at least 36 per axis; FiLM and DAFT enter before the third stage (ours).
    """

    def __init__(self, sizes: Sizes, *, fusion: str = "hyper", width: int = 16, dropout: float = 1.0) -> None:
        super().__init__()
        dims, hyper = len(sizes.space), fusion == "hyper"
        self.stages = nn.ModuleList()
        c_in = sizes.channels
        for c_out in (width, 2 * width, 4 * width):
            convs = [CONV[dims](c_in, c_out, 3), nn.ReLU(), CONV[dims](c_out, c_out, 3), nn.ReLU()]
            self.stages.append(nn.Sequential(*convs, POOL[dims](2), BatchNorm(c_out)))
            c_in = c_out
        self.modulation = modulation(fusion, 2 * width, sizes.columns)
        self.drop = DROPOUT[dims](0.2 * dropout)
        self.flat = c_in * math.prod(_age_space(side) for side in sizes.space)
        self.concat = fusion.startswith("concat")
        widths = [self.flat, 16, 32, 64, sizes.outputs]
        self.embeddings = nn.ModuleList()
        if hyper:
            self.embeddings.extend(_unit_embedding(sizes.columns) for _ in range(4))
        if fusion == "concat_matched":
            with torch.device("meta"):
                target = parameter_count(AgeNet(sizes, width=width))
            tail = 32 * (sizes.columns + 1) + 32 * 64 + 64 + 64 * sizes.outputs + sizes.outputs
            widths[1] = matched_width(target, parameter_count(self) + tail, self.flat + 1 + 32)
        more = [0, sizes.columns if self.concat else 0, 0, 0]
        self.layers = nn.ModuleList(
            HyperLinear(i, o, cond_dim=1) if hyper else nn.Linear(i + extra, o)
            for i, o, extra in zip(widths, widths[1:], more)
        )

    def features(
        self, image: Float[Tensor, "b c *space"], table: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b f"]:
        """The image after the convolutions, flattened."""
        x = self.stages[1](self.stages[0](image))
        if self.modulation is not None:
            x = self.modulation(x, table)
        return self.drop(self.stages[2](x)).flatten(1)

    def forward(
        self, image: Float[Tensor, "b c *space"], table: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b k"]:
        x = self.features(image, table)
        for i, layer in enumerate(self.layers):
            x = torch.cat([x, table], dim=1) if self.concat and i == 1 else x
            x = _apply(layer, x, self.embeddings[i](table) if len(self.embeddings) else None)
            x = x.relu() if i < 3 else x
        return x


def conditioned_layers(net: nn.Module) -> Iterator[tuple[Any, nn.Module]]:
    """(layer with emitted weights, the embedding that feeds it)."""
    if isinstance(net, AgeNet):
        yield from zip(net.layers, net.embeddings)
    elif isinstance(net, FusionResNet) and net.embedding is not None:
        kinds = (HyperLinear, HyperConv2d, HyperConv3d)
        yield from ((layer, net.embedding) for layer in net.modules() if isinstance(layer, kinds))


@torch.no_grad()
def initialize(
    net: nn.Module, table: Float[Tensor, "n m"], variance: VarianceKind | float, *, trained: bool = False
) -> None:
    """Hyperfan-in initialization of all emitting heads, from the training rows.

    `trained`: the embedding comes from a trained table network; otherwise it is calibrated on the rows
    first, so that its output has the moments it will have in training.
    """
    for layer, embedding in conditioned_layers(net):
        if isinstance(embedding, Embedding) and not trained:
            embedding.calibrate(table)
        found = (
            variance if isinstance(variance, int | float) else condition_variance(table, variance, embedding)
        )
        layer.reset_parameters(Hyperfan(variance=float(found)))


def _apply(layer: nn.Module, x: Tensor, cond: Tensor | None) -> Tensor:
    return layer(x, cond) if isinstance(layer, HyperLinear | HyperConv2d | HyperConv3d) else layer(x)


def _patterns(position: str, blocks: int) -> list[str]:
    """Per block, which of conv1, conv2, shortcut are emitted."""
    if not 1 <= blocks <= len(BLOCK_DROPOUT):
        raise InputError(f"{blocks} blocks", field="blocks", remedy=f"1 to {len(BLOCK_DROPOUT)}")
    patterns = ["FFF"] * blocks
    if position == "paper_ad":
        patterns[-1] = "FFT"
    elif position.startswith("last_"):
        patterns[-1] = position.removeprefix("last_")
    elif position.startswith("block"):
        number = int(position.removeprefix("block"))
        if number > blocks:
            raise InputError(
                f"there are {blocks} blocks", field=f"position {position}", remedy="use an earlier one"
            )
        patterns[number - 1] = "FFT"
    elif position not in ("fc1", "fc2"):
        raise InputError(f"{position!r} is not a place in this network", field="position")
    return patterns


def _age_space(side: int) -> int:
    for _ in range(3):
        side = (side - 4) // 2
    if side < 1:
        raise InputError(
            "the image is too small for this network", field="position paper_age", remedy="use fc1"
        )
    return side


def _unit_embedding(columns: int) -> nn.Linear:
    layer = nn.Linear(columns, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
