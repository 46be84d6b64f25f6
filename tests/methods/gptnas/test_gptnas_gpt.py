"""The layer model: what it may see, and that it is its formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.gptnas.model.gpt import LayerGPT, next_token_loss
from visus.nn.attention import KINDS

WINDOW = 4


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def model(attention="standard", **options):
    made = LayerGPT(
        9, **{"width": 16, "depth": 3, "heads": 2, "window": WINDOW, "attention": attention, **options}
    )
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [3, WINDOW, 13])
def test_later_tokens_leave_earlier_logits_bit_identical(kind, length):
    gpt, tokens = model(kind), torch.randint(0, 9, (2, length))
    before = gpt(tokens)
    for place in range(length):
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] + 1) % 9
        after = gpt(changed)
        assert torch.equal(after[:, :place], before[:, :place])
        assert not torch.equal(after[:, place], before[:, place])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_further_back_than_the_window_is_seen(kind):
    """With three layers a receptive field that grew with depth would reach back 3 (k - 1) tokens."""
    gpt, tokens = model(kind), torch.randint(0, 9, (2, 13))
    before = gpt(tokens)
    for place in range(13):
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] + 1) % 9
        after = gpt(changed)
        assert torch.equal(after[:, place + WINDOW :], before[:, place + WINDOW :])
        seen = slice(place, min(place + WINDOW, 13))
        assert (after[:, seen] != before[:, seen]).any(-1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_the_right_changes_nothing(kind):
    gpt, tokens = model(kind), torch.randint(0, 9, (2, 7))
    padded = torch.cat([tokens, torch.full((2, 5), 8)], dim=1)
    assert torch.allclose(gpt(padded)[:, :7], gpt(tokens), atol=1e-5)


def slow_logits(gpt, tokens):
    """Scores after the last of at most `window` tokens, in plain loops over one sequence."""

    def norm(v, layer):
        center = v - v.mean()
        return center / (center.square().mean() + layer.eps).sqrt() * layer.weight + layer.bias

    x = [gpt.embedding.weight[token] + gpt.position[place] for place, token in enumerate(tokens)]
    for block in gpt.blocks:
        attention = block.attention
        normed = [norm(v, block.norms[0]) for v in x]
        q, k, v = zip(
            *[F.linear(n, attention.in_proj.weight, attention.in_proj.bias).chunk(3) for n in normed]
        )
        size = attention.width // attention.num_heads
        mixed = []
        for i in range(len(x)):
            heads = []
            for head in range(attention.num_heads):
                part = slice(head * size, (head + 1) * size)
                scores = torch.stack([q[i][part] @ k[j][part] / math.sqrt(size) for j in range(i + 1)])
                weights = scores.exp() / scores.exp().sum()
                heads.append(sum(weights[j] * v[j][part] for j in range(i + 1)))
            mixed.append(F.linear(torch.cat(heads), attention.out_proj.weight, attention.out_proj.bias))
        x = [a + b for a, b in zip(x, mixed, strict=True)]
        enter, _, leave = block.feed_forward
        for i, vector in enumerate(x):
            hidden = F.linear(norm(vector, block.norms[1]), enter.weight, enter.bias)
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
            x[i] = vector + F.linear(hidden, leave.weight, leave.bias)
    return gpt.head.weight @ norm(x[-1], gpt.norm)


def test_it_is_its_formula():
    gpt = model().double()
    tokens = torch.randint(0, 9, (7,))
    with torch.no_grad():
        got = gpt(tokens[None])[0]
        for place in range(7):
            window = tokens[max(0, place + 1 - WINDOW) : place + 1].tolist()
            assert torch.allclose(got[place], slow_logits(gpt, window), atol=1e-10)


def test_next_is_the_last_position():
    gpt, tokens = model(), torch.randint(0, 9, (11,))
    for length in (1, 3, 4, 11):
        assert torch.allclose(gpt.next(tokens[:length]), gpt(tokens[None, :length])[0, -1], atol=1e-5)
    with pytest.raises(InputError, match="prefix: is empty"):
        gpt.next(tokens[:0])


def test_sequences_of_a_batch_are_independent():
    gpt, tokens = model(), torch.randint(0, 9, (3, 8))
    assert torch.allclose(gpt(tokens)[1:2], gpt(tokens[1:2]), atol=1e-5)


def test_tied_head_has_no_weights_of_its_own():
    plain, tied = model(), model(tied=True)
    counts = [sum(parameter.numel() for parameter in gpt.parameters()) for gpt in (plain, tied)]
    assert counts[0] - counts[1] == 9 * 16
    block = 4 * (16 * 16 + 16) + 2 * 2 * 16 + (16 * 64 + 64) + (64 * 16 + 16)
    assert counts[0] == 9 * 16 + WINDOW * 16 + 3 * block + 2 * 16 + 9 * 16
    tokens = torch.randint(0, 9, (1, 3))
    last = tied.norm(tied._read(tokens))
    assert torch.allclose(tied(tokens), last @ tied.embedding.weight.T)


def test_every_parameter_gets_a_gradient():
    for kind in KINDS:
        gpt, tokens = model(kind), torch.randint(0, 9, (8, 12))
        next_token_loss(gpt(tokens), tokens).backward()
        dead = [name for name, p in gpt.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not dead, (kind, dead)


def test_loss_is_the_mean_over_predicted_tokens():
    logits = torch.randn(2, 4, 9, dtype=torch.float64)
    tokens = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    terms = []
    for row, length in ((0, 4), (1, 2)):
        for place in range(1, length):
            scores = logits[row, place - 1]
            terms.append(-(scores[tokens[row, place]] - scores.exp().sum().log()))
    assert torch.allclose(next_token_loss(logits, tokens, padding=0), torch.stack(terms).mean())
    everything = next_token_loss(logits, tokens)
    assert not torch.allclose(everything, torch.stack(terms).mean())


def test_it_learns_what_only_the_window_can_tell():
    """Period-3 sequences: the next token is the one three back, so a window of 3 suffices and 2 does not."""
    torch.manual_seed(1)
    losses = {}
    for window in (3, 2):
        gpt = LayerGPT(9, width=16, depth=2, heads=2, window=window)
        optimizer = torch.optim.Adam(gpt.parameters(), lr=1e-2)
        for _ in range(100):
            tokens = torch.randint(0, 9, (64, 3)).repeat(1, 3)
            loss = F.cross_entropy(gpt(tokens)[:, 2:-1].flatten(0, 1), tokens[:, 3:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses[window] = float(loss.detach())
    assert losses[3] < 0.2
    assert losses[2] > 1.5


def test_bad_sizes():
    for options in ({"window": 0}, {"depth": 0}, {"heads": 3}, {"attention": "linear"}):
        with pytest.raises(InputError):
            model(**options)
