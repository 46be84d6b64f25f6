"""The bi-level score against loops over images, programs, primitives and slots."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from visus.errors import InputError
from visus.methods.nsi.model import associate, bilevel_scores, similarities


def tensors(images=4, programs=5, slots=6, rows=4, width=7, *, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    length = torch.randint(0, rows + 1, (programs,), generator=generator)
    length[0], length[1] = 0, rows
    return draw(images, slots, width), draw(programs, rows, width), length


def best_matching(table):
    """Greatest sum over one-to-one assignments of rows (primitives) to columns (slots), by trying all."""
    rows, columns = len(table), len(table[0]) if table else 0
    if rows <= columns:
        tries = itertools.permutations(range(columns), rows)
        return max((sum(table[r][c] for r, c in enumerate(each)) for each in tries), default=0.0)
    tries = itertools.permutations(range(rows), columns)
    return max(sum(table[r][c] for c, r in enumerate(each)) for each in tries)


def slow(slots, primitives, length, assign, reduce, normalize, temperature):
    result = torch.zeros(len(slots), len(primitives), dtype=torch.float64)
    for a, b in itertools.product(range(len(slots)), range(len(primitives))):
        table = []
        for j in range(int(length[b])):
            row = []
            for i in range(slots.shape[1]):
                z, e = slots[a, i].tolist(), primitives[b, j].tolist()
                dot = sum(x * y for x, y in zip(z, e))
                if normalize:
                    dot /= math.sqrt(sum(x * x for x in z)) * math.sqrt(sum(y * y for y in e))
                row.append(dot)
            table.append(row)
        if assign == "hungarian":
            total = best_matching(table)
        elif assign == "max":
            total = sum(max(row) for row in table)
        else:
            total = 0.0
            for row in table:
                weights = [math.exp(value / temperature) for value in row]
                total += sum(w * value for w, value in zip(weights, row)) / sum(weights)
        result[a, b] = total / max(1, len(table)) if reduce == "mean" else total
    return result


@pytest.mark.parametrize("assign", ["max", "hungarian", "softmax"])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("slots", "rows"), [(6, 4), (2, 4), (1, 3)])
def test_scores_are_the_loops(assign, reduce, normalize, slots, rows):
    z, e, length = tensors(slots=slots, rows=rows)
    want = slow(z, e, length, assign, reduce, normalize, 0.7)
    settings = {"assign": assign, "reduce": reduce, "normalize": normalize, "temperature": 0.7}
    torch.testing.assert_close(bilevel_scores(z, e, length, **settings), want, atol=1e-10, rtol=0)
    torch.testing.assert_close(bilevel_scores(z, e, length, cells=1, **settings), want, atol=1e-10, rtol=0)
    torch.testing.assert_close(
        bilevel_scores(z.float(), e.float(), length, **settings), want.float(), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize("assign", ["max", "hungarian", "softmax"])
def test_padding_counts_exactly_nothing(assign):
    z, e, length = tensors()
    want = bilevel_scores(z, e, length, assign=assign)
    for b, count in enumerate(length.tolist()):
        e[b, count:] = 1e6
    assert torch.equal(bilevel_scores(z, e, length, assign=assign), want)
    assert (want[:, 0] == 0).all()  # an empty program


@pytest.mark.parametrize("assign", ["max", "hungarian", "softmax"])
def test_slots_and_primitives_are_sets(assign):
    z, e, _ = tensors()
    length = torch.full((5,), 4)
    want = bilevel_scores(z, e, length, assign=assign)
    shuffled = bilevel_scores(z[:, torch.randperm(6)], e[:, torch.randperm(4)], length, assign=assign)
    torch.testing.assert_close(shuffled, want, atol=1e-12, rtol=0)


def test_only_winning_slots_get_a_gradient():
    z, e, length = tensors()
    z.requires_grad_()
    for a, b in itertools.product(range(4), range(5)):
        (gradient,) = torch.autograd.grad(bilevel_scores(z, e, length)[a, b], z)
        winners = {int((z[a] @ e[b, j]).argmax()) for j in range(int(length[b]))}
        touched = {(int(x), int(y)) for x, y in gradient.abs().sum(-1).nonzero()}
        assert touched == {(a, i) for i in winners}
        expected = torch.zeros_like(gradient)
        for j in range(int(length[b])):
            expected[a, int((z[a] @ e[b, j]).argmax())] += e[b, j]
        torch.testing.assert_close(gradient, expected)


def test_max_is_not_below_hungarian_and_equals_it_for_distinct_winners():
    for seed in range(20):
        z, e, length = tensors(slots=6, rows=4, seed=seed)
        best, matched = bilevel_scores(z, e, length), bilevel_scores(z, e, length, assign="hungarian")
        assert (best >= matched - 1e-12).all()
        for a, b in itertools.product(range(4), range(5)):
            count = int(length[b])
            winners = (e[b, :count] @ z[a].T).argmax(1)
            if len(set(winners.tolist())) == count:
                torch.testing.assert_close(best[a, b], matched[a, b])
            else:
                assert best[a, b] > matched[a, b]


def test_a_duplicate_adds_its_best_again_also_for_one_slot():
    z, e, _ = tensors(slots=1, rows=4)
    one = bilevel_scores(z, e, torch.full((5,), 4))
    torch.testing.assert_close(one, torch.einsum("ad,bpd->ab", z[:, 0], e))
    z, e, _ = tensors(rows=3)
    doubled = torch.cat([e, e[:, :1]], 1)
    before, after = (bilevel_scores(z, x, torch.full((5,), n)) for x, n in ((e, 3), (doubled, 4)))
    best = torch.einsum("akd,bd->abk", z, e[:, 0]).amax(-1)
    torch.testing.assert_close(after - before, best)


def test_a_sharp_softmax_is_the_maximum():
    z, e, length = tensors()
    sharp = bilevel_scores(z, e, length, assign="softmax", temperature=1e-4)
    torch.testing.assert_close(sharp, bilevel_scores(z, e, length), atol=1e-3, rtol=0)


def test_association_names_the_winner():
    z, e, length = tensors(images=5, slots=3, rows=4)
    slot = associate(z, e, length)
    for b, j in itertools.product(range(5), range(4)):
        want = int((z[b] @ e[b, j]).argmax()) if j < length[b] else -1
        assert slot[b, j] == want
    one_each = associate(z, e, length, assign="hungarian")
    table = similarities(z, e)
    for b in range(5):
        used = [int(i) for i in one_each[b] if i >= 0]
        assert len(set(used)) == len(used) == min(3, int(length[b]))
        total = sum(float(table[b, i, j]) for j, i in enumerate(one_each[b].tolist()) if i >= 0)
        assert total == pytest.approx(best_matching(table[b, :, : length[b]].T.tolist()))
        assert (one_each[b, length[b] :] == -1).all()


def test_empty_batches_and_refusals():
    z, e, length = tensors()
    assert bilevel_scores(z[:0], e, length).shape == (0, 5)
    assert bilevel_scores(z, e[:0], length[:0]).shape == (4, 0)
    with pytest.raises(InputError, match="slots, primitives: have 6 and 7 numbers"):
        bilevel_scores(z[..., :6], e, length)
    with pytest.raises(InputError, match=r"assign: is 'best'.*max, hungarian, softmax"):
        bilevel_scores(z, e, length, assign="best")
    with pytest.raises(InputError, match="reduce: is 'max'"):
        bilevel_scores(z, e, length, reduce="max")


def test_scale_matters_and_length_biases_the_sum():
    """No unit vectors and no mean by default: twice the slots' length, twice the score."""
    z, e, length = tensors()
    torch.testing.assert_close(bilevel_scores(2 * z, e, length), 2 * bilevel_scores(z, e, length))
    cosine = bilevel_scores(2 * z, e, length, normalize=True)
    torch.testing.assert_close(cosine, bilevel_scores(z, e, length, normalize=True))
    same = e[:, :1].expand(-1, 4, -1)
    assert torch.allclose(
        bilevel_scores(z, same, torch.full((5,), 4)), 4 * bilevel_scores(z, same, torch.ones(5))
    )
