"""Fused kernels, autocast and torch.compile; and the cost model against what torch counts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from visus.errors import InputError
from visus.nn.attention import KINDS, StandardAttention, build_attention, cost, super_limits
from visus.nn.attention.base import wide_head_backends

ALL = [*KINDS, "absorbed"]


def build(kind, width=32, heads=4, length=24):
    if kind == "absorbed":
        return StandardAttention(width, num_heads=heads).absorb_heads()
    return build_attention(kind, width, num_heads=heads, length=length)


class LargestTensor(TorchDispatchMode):
    """Remembers the largest tensor any operation returned."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.numel = max([self.numel, *(x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor))])
        return out


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_fused_kernel_and_no_score_tensor(kind, causal):
    length, width = 512, 64
    module, x = build(kind, width, 4, length), torch.randn(1, length, width)
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as seen:
        module(x, causal=causal)
    assert any("scaled_dot_product_flash_attention" in event.key for event in seen.key_averages())
    with torch.no_grad(), LargestTensor() as largest:
        module(x, causal=causal)
    scores = 4 * length * length
    # causal Super masks W_A itself, which is l x l but exists once, not per head and sequence
    assert largest.numel < scores / 2


@pytest.mark.parametrize("kind", ALL)
def test_autocast(kind):
    torch.manual_seed(0)
    module, x = build(kind), torch.randn(2, 9, 32)
    padded = torch.zeros(2, 9, dtype=torch.bool)
    padded[0, 6:] = True
    want = module(x, causal=True, key_padding_mask=padded)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = module(x, causal=True, key_padding_mask=padded)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), want, atol=0.03, rtol=0.03)
    got.float().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())


COMPILED = """
import torch
from torch import nn
from visus.nn.attention import KINDS, build_attention

class Sum(nn.Module):  # one compilation for all kinds: compiling is most of this test's time
    def __init__(self):
        super().__init__()
        self.kinds = nn.ModuleList([build_attention(kind, 16, num_heads=2, length=8) for kind in KINDS])
    def forward(self, x, padded):
        return sum(kind(x, causal=True, key_padding_mask=padded) for kind in self.kinds)

torch.manual_seed(0)
module = Sum()
x, padded = torch.randn(2, 7, 16), torch.arange(7)[None] >= torch.tensor([[7], [4]])
results = []
for run in (module, torch.compile(module, fullgraph=True)):
    module.zero_grad()
    out = run(x, padded)
    out.square().sum().backward()
    results.append([out.detach(), *(p.grad.clone() for p in module.parameters())])
for want, got in zip(*results):
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-3)
print("same")
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("c++")), reason="torch.compile needs a C++ compiler"
)
def test_torch_compile(tmp_path):
    # a process of its own: a shape-checking hook in this one would not survive compilation
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "same", done.stderr


@pytest.mark.parametrize(
    ("width", "heads", "length", "batch"), [(32, 4, 24, 2), (16, 1, 40, 1), (24, 3, 8, 3)]
)
@pytest.mark.parametrize("kind", ALL)
def test_macs_agree_with_the_flop_counter(kind, width, heads, length, batch):
    module, x = build(kind, width, heads, length), torch.randn(batch, length, width)
    # the plain kernel is made of matrix products, which the counter knows on every device
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(x)
    want = cost(kind, width=width, length=length, num_heads=heads, batch=batch)
    assert counter.get_total_flops() == 2 * want.macs


@pytest.mark.parametrize("kind", ALL)
@torch.no_grad()
def test_decode_macs_and_cache_agree_with_a_decoded_token(kind):
    module, x = build(kind), torch.randn(3, 24, 32)
    cache = module.make_cache(3, 24)
    module(x[:, :23], cache=cache)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(x[:, 23:], cache=cache)
    want = cost(kind, width=32, length=24, num_heads=4, batch=3)
    assert counter.get_total_flops() == 2 * want.decode_macs
    assert cache.nbytes == want.cache_bytes


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("wa_bias", [True, False])
def test_super_limits_are_where_it_stops_paying(bias, wa_bias):
    for width in (1, 2, 7, 64, 300):
        limits = super_limits(width, bias=bias, wa_bias=wa_bias)

        def pays(length, field, width=width):
            standard, mixed = (
                cost(kind, width=width, length=length, bias=bias, wa_bias=wa_bias)
                for kind in ("standard", "super")
            )
            return getattr(mixed, field) < getattr(standard, field)

        for field in ("macs", "decode_macs", "parameters"):
            last = getattr(limits, field)
            assert last == 0 or pays(last, field)
            assert not pays(last + 1, field)
        assert limits.macs == 2 * width - 1


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("other", {"width": 8, "length": 8}),
        ("super", {"width": 0, "length": 8}),
        ("super", {"width": 8, "length": 8, "num_heads": 3}),
        ("super", {"width": 8, "length": 8, "wa_length": 4}),
    ],
)
def test_cost_refuses_nonsense(kind, sizes):
    with pytest.raises(InputError) as caught:
        cost(kind, **sizes)
    assert caught.value.remedy


def test_cuda_heads_too_wide_for_flash_use_other_kernels():
    assert wide_head_backends("cpu", 1024) is None
    assert wide_head_backends("cuda", 256) is None
    assert SDPBackend.FLASH_ATTENTION not in wide_head_backends("cuda", 257)


def test_wide_heads_are_warned_about_once(monkeypatch):
    monkeypatch.setattr("visus.nn.attention.base.wide_head_backends", lambda *_: (SDPBackend.MATH,))
    module, x = build("efficient"), torch.zeros(1, 4, 32)
    with pytest.warns(UserWarning, match="too wide"):
        module(x)
    module(x)  # warnings are errors in this suite: a second one would raise
