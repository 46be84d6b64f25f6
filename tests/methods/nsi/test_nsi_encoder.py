"""The program encoder against a transcription that treats one primitive, head and number at a time."""

from __future__ import annotations

import math

import pytest
import torch
from nsi_samples import SCHEMA, random_scenes

from visus.methods.nsi.model import Categorical, ProgramEncoder, Programs, clevrtex


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def encoder(blocks=3, *, schema=SCHEMA, **options) -> ProgramEncoder:
    made = ProgramEncoder(schema, width=16, heads=4, blocks=blocks, size=6, **options).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():  # norms and biases too leave their neutral starts
            parameter += 0.1 * torch.randn_like(parameter)
    return made


def linear(layer, x):
    out = [sum(w * v for w, v in zip(row, x)) for row in layer.weight.tolist()]
    return out if layer.bias is None else add(out, layer.bias.tolist())


def relu(x):
    return [max(0.0, v) for v in x]


def norm(layer, x):
    mean = sum(x) / len(x)
    spread = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + layer.eps)
    scaled = [(v - mean) / spread * w for v, w in zip(x, layer.weight.tolist())]
    return add(scaled, layer.bias.tolist())


def add(x, y):
    return [a + b for a, b in zip(x, y)]


def attention(layer, rows):
    heads, width = layer.heads, len(rows[0])
    packed = [linear(layer.to_key_value, row) for row in rows]
    queries = [linear(layer.to_query, row) for row in rows]
    size, mixed = width // heads, []
    for query in queries:
        out = []
        for h in range(heads):
            cut = slice(h * size, (h + 1) * size)
            keys, values = ([pair[part:][:width][cut] for pair in packed] for part in (0, width))
            logits = [sum(a * b for a, b in zip(query[cut], key)) / math.sqrt(size) for key in keys]
            weights = [math.exp(v - max(logits)) for v in logits]
            for place in range(size):
                total = sum(w * value[place] for w, value in zip(weights, values))
                out.append(total / sum(weights))
        mixed.append(linear(layer.to_out, out))
    return mixed


def embed(model, primitive):
    """One object from its dict; {} is one of padding as the published code has it."""
    found = []
    for number, each in enumerate(SCHEMA.attributes):
        layer = model.primitives.attributes[number]
        if each.name in primitive and isinstance(each, Categorical):
            found += layer.weight[each.values.index(primitive[each.name])].tolist()
        elif each.name in primitive:
            value = primitive[each.name]
            value = value if isinstance(value, tuple) else (value,)
            found += relu(linear(layer, [(v - a) / s for v, a, s in zip(value, each.low, each.span)]))
        else:
            found += model.primitives.missing[number].tolist()
    first, _, last = model.primitives.mix
    return linear(last, relu(linear(first, found)))


def slow(model, scene, *, legacy=False):
    rows = list(scene)
    if legacy:
        zero = {"size": "small", "color": "red", "position": (0.0, 0.0, 0.0), "weight": 0.0}
        rows += [zero] * (SCHEMA.most - len(rows))
    x = [embed(model, each) for each in rows]
    for index, block in enumerate(model.blocks):
        normed = [norm(block.norm_attention, row) for row in x]
        x = normed if index == 0 else x
        x = [add(a, b) for a, b in zip(x, attention(block.attention, normed))]
        inner = [linear(block.mlp[0], norm(block.norm_mlp, row)) for row in x]
        x = [add(row, linear(block.mlp[2], relu(h))) for row, h in zip(x, inner)]
    result = []
    for row in x[: len(scene)]:
        e = linear(model.head.project, norm(model.norm, row))
        hidden = relu(linear(model.head.mlp[0], norm(model.head.norm, e)))
        result.append(add(e, linear(model.head.mlp[2], hidden)))
    return result


@pytest.mark.parametrize("blocks", [0, 1, 3])
@pytest.mark.parametrize("legacy", [False, True])
def test_encoder_is_its_formula(blocks, legacy):
    model = encoder(blocks, legacy_padding=legacy)
    scenes = random_scenes(5, seed=2, least=1)
    programs = SCHEMA.encode(scenes)
    programs = Programs(programs.categories, programs.values.double(), programs.present, programs.length)
    out = model(programs)
    assert out.shape == (5, 5, 6)
    for row, scene in zip(out, scenes):
        # tensors are scaled in single precision
        want = torch.tensor(slow(model, scene, legacy=legacy), dtype=torch.float64).reshape(-1, 6)
        torch.testing.assert_close(row[: len(scene)], want, atol=1e-5, rtol=0)
        assert (row[len(scene) :] == 0).all()


def test_primitives_are_a_set():
    model, scenes = encoder(), random_scenes(6, least=5)
    order = [3, 0, 4, 2, 1]
    out = model(SCHEMA.encode(scenes))
    shuffled = model(SCHEMA.encode([[scene[j] for j in order] for scene in scenes]))
    torch.testing.assert_close(shuffled, out[:, order], atol=1e-9, rtol=0)


def padded(programs: Programs, rows: int) -> Programs:
    blank = Programs.cat([programs, programs[:1]])[: len(programs)]
    extra = [part.new_zeros(len(programs), rows, part.shape[2]) for part in (blank.categories, blank.values)]
    return Programs(
        torch.cat([blank.categories, extra[0]], 1),
        torch.cat([blank.values, extra[1]], 1),
        torch.nn.functional.pad(blank.present, (0, 0, 0, rows)),
        blank.length,
    )


def test_padding_rows_change_nothing_unless_legacy():
    programs = SCHEMA.encode(random_scenes(6, least=1))
    for legacy in (False, True):
        model = encoder(legacy_padding=legacy)
        gap = (model(padded(programs, 3))[:, :5] - model(programs)).abs().max()
        assert gap > 1e-3 if legacy else gap < 1e-12
    # what stands in padded rows is never looked at
    model, noisy = encoder(), programs.values.clone()
    noisy[~programs.mask] = 99.0
    other = Programs(programs.categories, noisy, programs.present, programs.length)
    assert torch.equal(model(other), model(programs))


def test_a_scene_does_not_depend_on_its_batch_and_may_be_empty():
    model, programs = encoder(), SCHEMA.encode([[], *random_scenes(5)])
    together = model(programs)
    assert (together[0] == 0).all()
    assert together.isfinite().all()
    for row in range(6):
        torch.testing.assert_close(model(programs[row])[0], together[row], atol=1e-12, rtol=0)
    trimmed = model(programs.trimmed())
    torch.testing.assert_close(trimmed, together[:, : trimmed.shape[1]], atol=1e-12, rtol=0)


def test_an_empty_scene_has_a_clean_gradient():
    model = encoder()
    model(SCHEMA.encode([[], []])).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_context_reaches_a_primitive_only_through_blocks():
    scene = random_scenes(1, least=5)[0]
    changed = (*scene[:4], {"size": "small", "position": (3.0, 6.0, 1.0)})
    for blocks in (0, 2):
        out = encoder(blocks)(SCHEMA.encode([scene, changed]))
        gap = (out[0, :4] - out[1, :4]).abs().max()
        assert gap == 0 if blocks == 0 else gap > 1e-4


def test_missing_is_not_the_first_value():
    model = encoder()
    objects = [
        {"position": (0, 0, 1), "size": "small"},
        {"position": (0, 0, 1), "size": "small", "color": "red"},
    ]
    out = model(SCHEMA.encode([[each] for each in objects]))
    assert (out[0, 0] - out[1, 0]).abs().max() > 1e-3
    query = model(SCHEMA.encode([[{"color": "red"}]], partial=True))
    assert query.isfinite().all()


def test_start_is_the_published_one():
    model = ProgramEncoder(clevrtex([f"m{n}" for n in range(60)]))
    blocks = list(model.blocks)
    assert len(blocks) == 8
    assert [block.first for block in blocks] == [True] + [False] * 7
    gain, bound = (3 * 8) ** -0.5, math.sqrt(6 / (192 + 192))
    for block in blocks:
        assert all(layer.bias is None for layer in (block.attention.to_query, block.attention.to_key_value))
        assert block.attention.to_out.bias is None
        for weight in (block.attention.to_query.weight, *block.attention.to_key_value.weight.chunk(2)):
            assert 0.98 * bound < weight.abs().max() <= bound
        assert 0.98 * gain * bound < block.attention.to_out.weight.abs().max() <= gain * bound
        wide = math.sqrt(6 / (192 + 768))
        assert 0.98 * gain * wide < block.mlp[2].weight.abs().max() <= gain * wide
        inner = math.sqrt(6 / 192)
        assert 0.98 * inner < block.mlp[0].weight.abs().max() <= inner
        assert block.mlp[0].bias.abs().max() == block.mlp[2].bias.abs().max() == 0
    # 8 blocks of 4 d^2 + 8 d^2 weights, 5 d biases and 4 d of the two norms
    assert sum(p.numel() for p in model.blocks.parameters()) == 8 * (12 * 192**2 + 9 * 192)
    assert model.head.dropout.p == 0.1
    assert [tuple(model.head.mlp[n].weight.shape) for n in (0, 2)] == [(256, 64), (64, 256)]


def test_every_parameter_gets_a_gradient():
    model = encoder().train()
    model(SCHEMA.encode(random_scenes(40))).square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle
