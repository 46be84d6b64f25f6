"""The block chooser: legal blocks only, the shared embedding untouched."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.gptnas.model.chooser import BlockChooser, last_tokens, legal_openings

OPENINGS = [[2, 3], [3], [4], [3, 4]]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def made(**options):
    legal = legal_openings(OPENINGS, size=7)
    return BlockChooser(legal, width=5, window=3, hidden=(12, 8), **options), nn.Embedding(7, 5)


def test_legality_is_what_the_openings_say():
    legal = legal_openings(OPENINGS, size=7)
    assert legal.tolist() == [[token in opening for opening in OPENINGS] for token in range(7)]


def test_impossible_blocks_have_probability_zero():
    chooser, embedding = made()
    with torch.no_grad():
        for parameter in chooser.parameters():
            parameter.mul_(30)
    context, layer = torch.randint(0, 7, (70, 3)), torch.arange(7).repeat(10)
    p = chooser(context, layer, embedding=embedding)
    legal = torch.tensor([[token in opening for opening in OPENINGS] for token in layer.tolist()])
    assert (p[~legal] == 0).all()
    possible = legal.any(1)
    assert torch.allclose(p[possible].sum(1), torch.ones(int(possible.sum())))
    assert (p[~possible] == 0).all()
    assert torch.isfinite(p).all()


def test_it_is_its_formula():
    chooser, embedding = (module.double() for module in made())
    context, layer = torch.tensor([[6, 0, 1], [5, 5, 2]]), torch.tensor([3, 4])
    p = chooser(context, layer, embedding=embedding)
    first, second, third = chooser.layers[0], chooser.layers[2], chooser.layers[4]
    for row in range(2):
        tokens = [*context[row].tolist(), int(layer[row])]
        x = torch.cat([embedding.weight[token] for token in tokens])
        x = (first.weight @ x + first.bias).clamp(min=0)
        x = (second.weight @ x + second.bias).clamp(min=0)
        x = third.weight @ x + third.bias
        weights = [float(x[b].detach().exp()) if int(layer[row]) in OPENINGS[b] else 0.0 for b in range(4)]
        want = torch.tensor(weights, dtype=torch.float64) / sum(weights)
        assert torch.allclose(p[row], want, atol=1e-12)


def test_the_embedding_is_shared_but_not_trained():
    chooser, embedding = made()
    before = chooser(torch.zeros(1, 3, dtype=torch.long), torch.tensor([3]), embedding=embedding)
    with torch.no_grad():
        embedding.weight[0] += 1.0
    after = chooser(torch.zeros(1, 3, dtype=torch.long), torch.tensor([3]), embedding=embedding)
    assert not torch.allclose(before, after)
    scores = chooser.scores(torch.zeros(1, 3, dtype=torch.long), torch.tensor([3]), embedding=embedding)
    F.cross_entropy(scores, torch.tensor([1])).backward()
    assert embedding.weight.grad is None
    assert all(parameter.grad is not None for parameter in chooser.parameters())
    assert not any("embedding" in name for name in chooser.state_dict())


def test_it_learns_from_triples():
    """Block 0 after token 6, block 1 after token 5, both beginning with layer 3."""
    chooser, embedding = made()
    context = torch.randint(0, 7, (256, 3))
    context[:, -1] = torch.randint(5, 7, (256,))
    layer, block = torch.full((256,), 3), (context[:, -1] == 5).long()
    optimizer = torch.optim.Adam(chooser.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        loss = F.cross_entropy(chooser.scores(context, layer, embedding=embedding), block)
        loss.backward()
        optimizer.step()
    p = chooser(context, layer, embedding=embedding)
    assert (p.argmax(1) == block).all()
    assert float(loss.detach()) < 0.1


def test_last_tokens():
    assert last_tokens([1, 2, 3, 4], window=3, padding=9) == [2, 3, 4]
    assert last_tokens([1], window=3, padding=9) == [9, 9, 1]
    assert last_tokens([], window=2, padding=9) == [9, 9]
    assert last_tokens([1], window=0, padding=9) == []


def test_bad_input():
    chooser, embedding = made()
    with pytest.raises(InputError, match="context: has 2 tokens, expected 3"):
        chooser(torch.zeros(1, 2, dtype=torch.long), torch.tensor([3]), embedding=embedding)
    with pytest.raises(InputError, match=r"blocks \[1\] begin with no known layer"):
        BlockChooser(legal_openings([[1], []], size=3), width=4)
