"""Convolutions padded as TensorFlow and JAX pad with "SAME": a strided one may pad one more pixel at the end.

torch pads both ends alike, which shifts the sampling grid of every strided layer by a fraction of a pixel; the
shift adds up over layers and costs accuracy when an architecture of the other family is rebuilt.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError


def same_padding(size: int, *, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Zeros before and after an axis, so that a convolution gives ceil(size / stride) outputs.

    total = max((ceil(size / stride) - 1) stride + dilation (kernel - 1) + 1 - size, 0);   before = total // 2

    >>> same_padding(8, kernel=3, stride=2), same_padding(7, kernel=3, stride=2)
    ((0, 1), (1, 1))
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def transposed_padding(*, kernel: int, stride: int = 1) -> tuple[int, int]:
    """Zeros before and after an axis already spread out by `stride`, so that n inputs give n stride outputs.

    The rule of `jax.lax.conv_transpose` with "SAME": kernel + stride - 2 in all; the larger half before, and no
    more than kernel - 1 there.

    >>> transposed_padding(kernel=5, stride=2), transposed_padding(kernel=2, stride=3)
    ((3, 2), (1, 2))
    """
    total = kernel + stride - 2
    before = kernel - 1 if stride > kernel - 1 else -(-total // 2)
    return before, total - before


class SameConv2d(nn.Conv2d):
    """`nn.Conv2d` with "SAME" padding for any stride: (b, c, h, w) -> (b, o, ceil(h / s), ceil(w / s)).

    >>> import torch
    >>> SameConv2d(3, 8, 5, stride=2)(torch.zeros(1, 3, 63, 64)).shape
    torch.Size([1, 8, 32, 32])
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=bias)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o y x"]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        top, bottom = same_padding(input.shape[-2], kernel=kernel, stride=stride)
        left, right = same_padding(input.shape[-1], kernel=kernel, stride=stride)
        if top == bottom and left == right:
            return F.conv2d(input, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        padded = F.pad(input, (left, right, top, bottom))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


class SameConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` with JAX's "SAME" padding: (b, c, h, w) -> (b, o, h s, w s).

    Differs: torch turns a transposed convolution's kernel by 180 degrees and JAX does not, so a kernel from Flax
    must be flipped along both spatial axes (and its channel axes exchanged) before it is loaded here.

    >>> import torch
    >>> SameConvTranspose2d(8, 3, 5, stride=2)(torch.zeros(1, 8, 8, 9)).shape
    torch.Size([1, 3, 16, 18])
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, bias: bool = True) -> None:
        if kernel < 1 or stride < 1:
            raise InputError(f"are {kernel} and {stride}", field="kernel, stride", remedy="give at least 1")
        before, after = transposed_padding(kernel=kernel, stride=stride)
        # torch's `padding` removes from both ends of the full result; what JAX has more at the front is cut off
        super().__init__(
            inputs,
            outputs,
            kernel,
            stride=stride,
            padding=kernel - 1 - before,
            output_padding=max(after - before, 0),
            bias=bias,
        )

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o y x"]:
        height, width = (side * self.stride[0] for side in input.shape[-2:])
        full = super().forward(input)
        return full[..., :height, :width]
