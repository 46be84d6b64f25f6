"""Slow transcriptions of the predictors' formulas: one item, one slot, one frame at a time, in plain loops."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F


def redraw(module: nn.Module, *, seed: int = 0, std: float = 0.4) -> nn.Module:
    """The module in float64 with every parameter drawn anew, so that none is zero or one."""
    generator = torch.Generator().manual_seed(seed)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(std * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def clip(frames: int = 7, *, batch: int = 2, slots: int = 3, size: int = 8, seed: int = 1) -> torch.Tensor:
    """Slots (b, t, k, d) in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, frames, slots, size, generator=generator, dtype=torch.float64)


def norm(x, layer):
    center = x - x.mean()
    return center / (center.square().mean() + 1e-6).sqrt() * layer.weight + layer.bias


def dense(x, layers):
    return layers[2].weight @ (layers[0].weight @ x + layers[0].bias).clamp(min=0) + layers[2].bias


def look(layer, query, entries, *, ages=None, positions=None):
    """One query token at entry tokens; `ages` of the entries where `positions` tell them."""
    qkv = layer.to_out.in_features
    e = qkv // layer.heads
    query = layer.to_query.weight @ query + layer.to_query.bias
    keys, values = [], []
    for place, entry in enumerate(entries):
        if positions is not None and positions.kind == "learned":
            entry = entry + positions.table[min(ages[place], positions.span - 1)]
        if positions is not None and positions.kind == "sin":
            entry = entry + sine(ages[place], len(entry))
        both = layer.to_key_value.weight @ entry + layer.to_key_value.bias
        keys.append(both[:qkv])
        values.append(both[qkv:])
    heads = []
    for head in range(layer.heads):
        part = slice(head * e, (head + 1) * e)
        logits = torch.stack([query[part] @ key[part] / math.sqrt(e) for key in keys])
        if positions is not None and positions.kind == "relative":
            logits = logits + torch.stack([positions.table[head, min(a, positions.span - 1)] for a in ages])
        weights = logits.exp() / logits.exp().sum()
        heads.append(sum(weight * value[part] for weight, value in zip(weights, values)))
    return layer.to_out.weight @ torch.cat(heads) + layer.to_out.bias


def sine(age, size):
    angles = [age / 10000 ** (2 * (i // 2) / size) for i in range(size)]
    values = [math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(angles)]
    return torch.tensor(values, dtype=torch.float64)


def statm_step(predictor, frames):
    """Predictions after the last of `frames` (t, k, d), everything in the buffer re-read."""
    past, pre, norms = predictor.past, predictor.pre_norm, predictor.norms
    seen = frames if past.buffer is None else frames[-past.buffer :]
    now, slots = frames[-1], range(frames.shape[1])

    def before(name, x):
        return norm(x, norms[name]) if pre else x

    def after(name, x):
        return x if pre else norm(x, norms[name])

    def space(xs):
        xs = [before("space", x) for x in xs]
        return [look(predictor.space_attention, x, xs) for x in xs]

    def time(xs):
        made = []
        for slot, x in enumerate(xs):
            entries, ages = [], []
            for age, frame in zip(range(len(seen) - 1, -1, -1), seen):
                for other in slots if past.time == "all" else [slot]:
                    entries.append(before("memory", frame[other]))
                    ages.append(age)
            layer = predictor.time_attention
            made.append(look(layer, before("time", x), entries, ages=ages, positions=layer.positions))
        return made

    def add(name, xs, ys):
        return [after(name, x + y) for x, y in zip(xs, ys)]

    xs = list(now)
    if predictor.fusion == "space_time_sum":
        ys = [a + b for a, b in zip(add("space", xs, space(xs)), add("time", xs, time(xs)))]
    elif predictor.fusion == "shared_residual":
        ys = add("space", xs, [a + b for a, b in zip(space(xs), time(xs))])
    elif predictor.fusion == "space_then_time":
        xs = add("space", xs, space(xs))
        ys = add("time", xs, time(xs))
    else:
        xs = add("time", xs, time(xs))
        ys = add("space", xs, space(xs))
    return torch.stack(add("mlp", ys, [dense(before("mlp", y), predictor.mlp) for y in ys]))


def block(layer, xs):
    """nn.slots' transformer block on a list of tokens."""
    if layer.pre_norm:
        normed = [norm(x, layer.norm_attention) for x in xs]
        xs = [x + look(layer.attention, n, normed) for x, n in zip(xs, normed)]
        return [x + dense(norm(x, layer.norm_mlp), layer.mlp) for x in xs]
    xs = [norm(x + look(layer.attention, x, xs), layer.norm_attention) for x in xs]
    return [norm(x + dense(x, layer.mlp), layer.norm_mlp) for x in xs]


def lstm_sequence(lstm, xs):
    """Outputs of an LSTM cell that starts from zeros; gates in torch's order i, f, g, o."""
    size = lstm.hidden_size
    hidden = cell = torch.zeros(size, dtype=torch.float64)
    made = []
    for x in xs:
        gates = lstm.weight_ih @ x + lstm.bias_ih + lstm.weight_hh @ hidden + lstm.bias_hh
        i, f, g, o = gates.split(size)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        made.append(hidden)
    return made


def history_tokens(predictor, frames):
    """Entered tokens [frame][slot] of the window that ends with the last of `frames` (t, k, d)."""
    seen = frames if predictor.window is None else frames[-predictor.window :]
    return [
        [
            F.linear(x, predictor.enter.weight, predictor.enter.bias) + sine(age, predictor.width)
            for x in frame
        ]
        for age, frame in zip(range(len(seen) - 1, -1, -1), seen)
    ]


def leave(predictor, tokens, now):
    made = torch.stack([F.linear(x, predictor.leave.weight, predictor.leave.bias) for x in tokens])
    return now + made if predictor.residual else made


def slotformer_step(predictor, frames):
    tokens = [token for frame in history_tokens(predictor, frames) for token in frame]
    for layer in predictor.blocks:
        tokens = block(layer, tokens)
    return leave(predictor, tokens[-frames.shape[1] :], frames[-1])


def ocvp_seq_step(predictor, frames):
    tokens = history_tokens(predictor, frames)
    for space, time in zip(predictor.space_blocks, predictor.time_blocks):
        tokens = [block(space, frame) for frame in tokens]
        by_slot = [block(time, list(one)) for one in zip(*tokens)]
        tokens = [list(frame) for frame in zip(*by_slot)]
    return leave(predictor, tokens[-1], frames[-1])


def ocvp_par_step(predictor, frames):
    tokens = history_tokens(predictor, frames)
    for layer in predictor.layers:
        normed = [[norm(x, layer.norm_attention) for x in frame] for frame in tokens]
        made = []
        for t, frame in enumerate(tokens):
            row = []
            for k, x in enumerate(frame):
                x = x + look(layer.space, normed[t][k], normed[t])
                x = x + look(layer.time, normed[t][k], [other[k] for other in normed])
                row.append(x + dense(norm(x, layer.norm_mlp), layer.mlp))
            made.append(row)
        tokens = made
    return leave(predictor, tokens[-1], frames[-1])


def loop(predictor, slots, *, memory=None):
    """One frame at a time: predictions (b, t, k, d) and the last memory."""
    memory = predictor.start(slots.shape[0], slots.shape[2]) if memory is None else memory
    made = []
    for frame in slots.unbind(1):
        predicted, memory = predictor(frame, memory)
        made.append(predicted)
    return torch.stack(made, 1), memory
