"""A list of blocks -> a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from visus.errors import InputError
from visus.methods.gptnas.model.blocks import BLOCKS
from visus.methods.gptnas.model.records import Architecture
from visus.methods.gptnas.model.tracing import evaluating, hollow, trace


@dataclass(frozen=True, kw_only=True)
class Step:
    """How a block is used: its number in `BLOCKS`, and the sizes around it."""

    block: int
    in_channels: int
    out_channels: int
    stride: int
    in_side: tuple[int, int]

    @property
    def out_side(self) -> tuple[int, int]:
        """Height and width behind the block."""
        height, width = self.in_side
        return -(-height // self.stride), -(-width // self.stride)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a part of a network costs: sizes (C, H, W), parameters, floating point operations for one image."""

    name: str
    in_size: tuple[int, ...]
    out_size: tuple[int, ...]
    params: int
    flops: int


def plan(
    blocks: Sequence[int],
    *,
    in_channels: int,
    image_size: int | tuple[int, int],
    width: int = 16,
    stages: int = 3,
) -> list[Step]:
    """The sizes between the blocks of a list.

    The list is cut into `stages` parts of equal length (as far as it goes; a shorter list has fewer stages).
    Stage s has width * 2^s channels, and the first block of every stage but the first halves the image, rounding
    up, unless it is a single cell already.

    Raises
    ------
    InputError : the list is empty or names no block, or a number is not positive.

    >>> [(step.in_channels, step.out_channels, step.stride) for step in plan([7, 7, 7], in_channels=3, image_size=8)]
    [(3, 16, 1), (16, 32, 2), (32, 64, 2)]
    """
    side = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    for field, number in (("in_channels", in_channels), ("width", width), ("stages", stages)):
        _positive(number, field)
    for number in side:
        _positive(number, "image_size")
    if len(blocks) == 0 or not all(0 <= block < len(BLOCKS) for block in blocks):
        raise InputError(
            f"is {list(blocks)}", field="blocks", remedy=f"give numbers of blocks, 0 to {len(BLOCKS) - 1}"
        )
    steps: list[Step] = []
    stages, channels, before = min(stages, len(blocks)), in_channels, 0
    for position, block in enumerate(blocks):
        stage = position * stages // len(blocks)
        stride = 2 if stage > before and max(side) > 1 else 1
        step = Step(
            block=int(block),
            in_channels=channels,
            out_channels=width * 2**stage,
            stride=stride,
            in_side=(side[0], side[1]),
        )
        steps.append(step)
        side, channels, before = step.out_side, step.out_channels, stage
    return steps


def _positive(number: int, field: str) -> None:
    if number < 1:
        raise InputError(f"is {number}", field=field, remedy="give a positive number")


class BlockNetwork(nn.Module):
    """A classifier made of a list of blocks: images (b, c, h, w) -> logits (b, k).

    Shape repair: a block takes the channels the block before it gives, and `plan` says what it must give and where
    the image is halved. A block that cannot change channels or size by itself (squeeze-excitation, pools, batch
    normalization, ReLU) gets a `Projection` (1x1 convolution with stride, batch normalization) in front, which
    belongs to the block: `blocks[i]` holds everything that serves block i of the list, and nothing else does.
    Behind the last block come the mean over all cells and a linear layer (`head`).

    Paper: 2305.05351, sec. III-B (individuals are lists of blocks of Table II).
    Differs: how sizes are repaired is not described there.

    Parameters
    ----------
    blocks : positions in `BLOCKS`, at least one.
    in_channels, image_size : of the images; other sizes run too, but are not what `describe` speaks of.
    num_classes : of the logits.
    width : channels of the first stage.
    stages : halvings of the image plus one.

    >>> BlockNetwork([14, 12, 13], in_channels=1, image_size=8, num_classes=10)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        blocks: Sequence[int],
        *,
        in_channels: int,
        num_classes: int,
        image_size: int | tuple[int, int] = 32,
        width: int = 16,
        stages: int = 3,
    ) -> None:
        super().__init__()
        self.plan = plan(blocks, in_channels=in_channels, image_size=image_size, width=width, stages=stages)
        _positive(num_classes, "num_classes")
        self.blocks = nn.ModuleList(
            BLOCKS[step.block].build(step.in_channels, step.out_channels, step.stride) for step in self.plan
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.plan[-1].out_channels, num_classes)
        )

    @property
    def input_size(self) -> tuple[int, int, int]:
        """(C, H, W) the network was planned for."""
        return self.plan[0].in_channels, *self.plan[0].in_side

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def architecture(self, name: str = "BlockNetwork") -> Architecture:
        """The network's record, with a span per block (its projection included)."""
        spans = {f"blocks.{i}": BLOCKS[step.block].name for i, step in enumerate(self.plan)}
        return trace(self, self.input_size, name=name, blocks=spans)

    def describe(self) -> list[Summary]:
        """A row per block and one for the head, for one image of the planned size.

        Multiplications and additions count one each; only convolutions and linear maps count.
        """
        names = [*(BLOCKS[step.block].name for step in self.plan), "head"]
        x = torch.empty(1, *self.input_size, device="meta")
        rows = []
        for name, part in zip(names, [*self.blocks, self.head]):
            with evaluating(part), hollow(part), torch.no_grad(), FlopCounterMode(display=False) as counter:
                y = part(x)
            rows.append(
                Summary(
                    name=name,
                    in_size=tuple(x.shape[1:]),
                    out_size=tuple(y.shape[1:]),
                    params=sum(parameter.numel() for parameter in part.parameters()),
                    flops=counter.get_total_flops(),
                )
            )
            x = y
        return rows
