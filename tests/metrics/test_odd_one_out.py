"""Similarities of triplets and choices from them, against loops over triplets in float64."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

import visus.metrics
from visus.errors import InputError
from visus.metrics.odd_one_out import (
    KINDS,
    PUBLISHED_TEMPERATURES,
    choice_cross_entropy,
    choice_probabilities,
    choices,
    fit_temperature,
    hits,
    jensen_shannon_distance,
    pair_similarities,
    probability_choices,
)


def draw(seed: int = 0, objects: int = 12, width: int = 5, n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(objects, width, generator=generator, dtype=torch.float64)
    rows = [torch.randperm(objects, generator=generator)[:3] for _ in range(n)]
    return x, torch.stack(rows)


def slow(x: torch.Tensor, triplets: torch.Tensor, kind: str) -> np.ndarray:
    """One pair after the other, in plain numpy."""
    points = x.double().numpy()
    found = []
    for a, b, c in triplets.tolist():
        row = []
        for i, j in ((a, b), (a, c), (b, c)):
            u, v = points[i], points[j]
            if kind == "dot":
                row.append(sum(u * v))
            elif kind == "cosine":
                length = math.sqrt(sum(u * u)) * math.sqrt(sum(v * v))
                row.append(sum(u * v) / length if length else 0.0)
            else:
                row.append(-math.sqrt(sum((u - v) ** 2)))
        found.append(row)
    return np.array(found)


# ---- similarities -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [1 << 30, 0], ids=["matrix", "rows"])
@pytest.mark.parametrize("chunk", [None, 7, 1])
def test_similarities_equal_the_loop(kind, limit, chunk):
    x, triplets = draw()
    x[3] = 0
    found = pair_similarities(x, triplets, kind=kind, chunk=chunk, limit_bytes=limit)
    assert found.shape == (40, 3)
    assert np.abs(found.numpy() - slow(x, triplets, kind)).max() < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_few_triplets_of_many_objects_need_no_matrix(kind):
    x, _ = draw(objects=500)
    triplets = torch.tensor([[3, 499, 20]])
    assert np.abs(pair_similarities(x, triplets, kind=kind).numpy() - slow(x, triplets, kind)).max() < 1e-12


@pytest.mark.parametrize("limit", [1 << 30, 0])
def test_the_order_of_columns_only_orders_the_pairs(limit):
    x, triplets = draw(1, objects=300, width=33, n=20_000)
    x = x.float()
    found = pair_similarities(x, triplets, limit_bytes=limit)
    turned = pair_similarities(x, triplets[:, [1, 0, 2]], limit_bytes=limit)
    assert torch.equal(found[:, 0], turned[:, 0])
    assert torch.equal(found[:, 1], turned[:, 2])
    assert torch.equal(hits(found), hits(turned))


def test_rotations_and_lengths_leave_cosines():
    x, triplets = draw()
    turn = torch.linalg.qr(
        torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    )[0]
    scale = torch.rand(12, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) + 0.1
    plain = pair_similarities(x, triplets)
    torch.testing.assert_close(pair_similarities(scale * x @ turn, triplets), plain)
    torch.testing.assert_close(
        pair_similarities(x @ turn + 7, triplets, kind="euclidean"),
        pair_similarities(x, triplets, kind="euclidean"),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [1 << 30, 0])
def test_similarities_have_gradients(kind, limit):
    x, triplets = draw(n=6)
    leaf = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda points: pair_similarities(points, triplets, kind=kind, limit_bytes=limit), (leaf,)
    )


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint16])
def test_triplets_may_be_any_integers_and_a_list(kind):
    x, triplets = draw()
    expected = pair_similarities(x, triplets)
    assert torch.equal(pair_similarities(x, triplets.numpy().astype(kind)), expected)
    assert torch.equal(pair_similarities(x.numpy(), triplets.tolist()), expected)


def test_half_precision_is_computed_in_single():
    x, triplets = draw()
    found = pair_similarities(x.half(), triplets, kind="dot")
    assert found.dtype == torch.float32
    assert torch.equal(found, pair_similarities(x.half().float(), triplets, kind="dot"))


def test_a_memory_map_is_read_in_chunks(tmp_path):
    x, _ = draw(objects=50)
    count = 1_000_000
    rows = np.random.default_rng(0).integers(0, 50, (count, 3), dtype=np.int32)
    np.save(tmp_path / "triplets.npy", rows)
    mapped = np.load(tmp_path / "triplets.npy", mmap_mode="r")
    tracemalloc.start()
    found = pair_similarities(x.float(), mapped, chunk=10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # torch's memory is not traced: what is, is what numpy reads
    assert peak < rows.nbytes / 4
    assert torch.equal(found[::1000], pair_similarities(x.float(), rows[::1000], limit_bytes=1 << 30))


@pytest.mark.parametrize(
    ("triplets", "told"),
    [
        ([[0, 1, 12]], "row 0 is \\[0, 1, 12\\] with 12 objects"),
        ([[0, 1, 2], [0, -1, 3]], "row 1"),
        ([[0, 1]], "shape"),
        ([[0.9, 1, 2]], "float64"),
        (np.zeros((2, 3)), "float64"),
        (torch.zeros(2, 3), "float32"),
    ],
)
def test_wrong_triplets_are_told(triplets, told):
    with pytest.raises(InputError, match=told) as caught:
        pair_similarities(draw()[0], triplets)
    assert caught.value.field == "triplets"


def test_the_row_is_told_in_later_chunks_too():
    x, triplets = draw()
    triplets[33, 1] = 99
    with pytest.raises(InputError, match="row 33"):
        pair_similarities(x, triplets, chunk=10)


def test_wrong_embeddings_and_kinds_are_told():
    x, triplets = draw()
    x[4, 2] = math.nan
    with pytest.raises(InputError, match="row 4"):
        pair_similarities(x, triplets)
    with pytest.raises(InputError, match="shape"):
        pair_similarities(x[0], triplets)
    with pytest.raises(InputError, match="cosine, dot, euclidean"):
        pair_similarities(x[:3], [[0, 1, 2]], kind="hamming")
    for chunk in (0, -1):
        with pytest.raises(InputError, match="chunk"):
            pair_similarities(draw()[0], triplets, chunk=chunk)


def test_no_triplets_give_no_rows():
    assert pair_similarities(draw()[0], torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3)


# ---- choices ----------------------------------------------------------------------------------------------


def slow_choice(row: list[float]) -> int:
    best = [k for k in range(3) if row[k] == max(row)]
    return 2 - best[0] if len(best) == 1 else -1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([-1.0, 0.0, 0.5, 2.0])] * 3), min_size=1, max_size=20))
def test_choices_equal_the_loop(rows):
    found = choices(torch.tensor(rows))
    assert found.tolist() == [slow_choice(list(row)) for row in rows]
    assert torch.equal(hits(torch.tensor(rows)), found == 2)


def test_ties_are_no_choice():
    similarities = torch.tensor([[1.0, 1, 1], [2, 2, 1], [2, 1, 2], [1, 2, 2], [2, 1, 1], [math.nan, 0, 1]])
    assert choices(similarities).tolist() == [-1, -1, -1, -1, 2, -1]
    assert hits(similarities).tolist() == [False] * 4 + [True, False]


def test_one_embedding_for_all_scores_nothing():
    _, triplets = draw()
    for kind in KINDS:
        assert not hits(pair_similarities(torch.full((12, 7), 0.25), triplets, kind=kind)).any()


def test_choices_do_not_depend_on_order():
    x, triplets = draw()
    named = None
    for order in itertools.permutations(range(3)):
        turned = triplets[:, list(order)]
        odd = turned.gather(1, choices(pair_similarities(x, turned))[:, None])[:, 0]
        assert named is None or torch.equal(odd, named)
        named = odd


def slow_probability_choice(p: np.ndarray) -> int:
    if len(set(p.tolist())) < 3 or len(set(np.round(p, 2).tolist())) == 1:
        return -1
    return int(np.argmax(p))


def test_the_published_rule_for_probabilities():
    rng = np.random.default_rng(0)
    flat = 1 / 3 + rng.uniform(-0.004, 0.004, (200, 3))
    rows = np.concatenate([flat, rng.dirichlet(np.ones(3), 200), [[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]]])
    expected = [slow_probability_choice(row) for row in rows]
    assert probability_choices(torch.from_numpy(rows)).tolist() == expected
    assert {-1, 0, 1, 2} <= set(expected)


# ---- probabilities ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.05, 1.0, 30.0])
def test_probabilities_are_a_softmax_by_position(temperature):
    similarities = pair_similarities(*draw(), kind="dot")
    found = choice_probabilities(similarities, temperature)
    expected = softmax(similarities.numpy() / temperature, axis=1)[:, ::-1]
    assert np.abs(found.numpy() - expected).max() < 1e-12
    picked = choices(similarities)
    assert torch.equal(found.argmax(1), picked)
    loss = torch.nn.functional.cross_entropy(similarities / temperature, torch.zeros(40, dtype=torch.int64))
    assert choice_cross_entropy(similarities, temperature) == pytest.approx(float(loss), abs=1e-12)


def test_no_similarity_is_chance():
    assert choice_cross_entropy(torch.zeros(3, 3)) == pytest.approx(math.log(3), abs=1e-7)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_wrong_temperatures_are_told(temperature):
    with pytest.raises(InputError, match="temperature"):
        choice_probabilities(torch.zeros(1, 3), temperature)


def test_distance_of_distributions_equals_scipy():
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(3), 30), rng.dirichlet(np.full(3, 0.2), 30)
    p[0], q[0] = [1, 0, 0], [0, 1, 0]
    found = jensen_shannon_distance(torch.from_numpy(p), torch.from_numpy(q))
    assert np.abs(found.numpy() - jensenshannon(p, q, axis=1)).max() < 1e-7
    assert float(found[0]) == pytest.approx(math.sqrt(math.log(2)))


def test_the_published_grid():
    taus = sorted((1 / temperature for temperature in PUBLISHED_TEMPERATURES), reverse=True)
    expected = [1, 0.75, 0.5, 0.25, 0.1, 0.075, 0.05, 0.025, 0.01]
    assert taus[:9] == pytest.approx(expected)
    assert taus[-1] == pytest.approx(1e-5)
    assert len(taus) == 21


@pytest.mark.parametrize("truth", [0.02, 0.7, 40.0])
def test_the_temperature_of_a_reference_is_found(truth):
    similarities = pair_similarities(*draw(n=400), kind="dot")
    reference = choice_probabilities(similarities, truth)
    assert fit_temperature(similarities, reference) == pytest.approx(truth, rel=1e-3)
    grid = (truth * 3, truth, truth / 3)
    assert fit_temperature(similarities, reference, grid=grid) == truth
    assert fit_temperature(similarities, reference.numpy(), grid=grid) == truth


def mean_distance(similarities: np.ndarray, reference: np.ndarray, temperature: float) -> float:
    p = softmax(similarities / temperature, axis=1)[:, ::-1]
    return float(np.mean([jensenshannon(one, other) for one, other in zip(p, reference)]))


def test_the_temperature_is_the_best_of_its_neighbors():
    similarities = pair_similarities(*draw(4, n=150), kind="dot")
    noise = np.random.default_rng(0).dirichlet(np.ones(3), 150)
    reference = 0.6 * choice_probabilities(similarities, 0.8).numpy() + 0.4 * noise
    best = fit_temperature(similarities, torch.from_numpy(reference))
    values = {scale: mean_distance(similarities.numpy(), reference, best * scale) for scale in (0.9, 1, 1.1)}
    assert min(values, key=values.get) == 1
    chosen = fit_temperature(similarities, torch.from_numpy(reference), grid=PUBLISHED_TEMPERATURES)
    losses = {t: mean_distance(similarities.numpy(), reference, t) for t in PUBLISHED_TEMPERATURES}
    assert chosen == min(losses, key=losses.get)


def test_the_temperature_of_choices_is_found():
    generator = torch.Generator().manual_seed(0)
    similarities = torch.randn(60_000, 3, generator=generator, dtype=torch.float64)
    pair = torch.multinomial(torch.softmax(similarities / 0.6, 1), 1, generator=generator)
    # the chosen pair goes first
    places = (pair + torch.arange(3)) % 3
    assert fit_temperature(similarities.gather(1, places)) == pytest.approx(0.6, rel=0.03)
    expected = visus.metrics.fit_temperature(similarities.gather(1, places).numpy(), np.zeros(60_000, int))
    assert fit_temperature(similarities.gather(1, places)) == pytest.approx(expected, rel=1e-4)


def test_temperatures_of_degenerate_similarities():
    assert fit_temperature(torch.ones(5, 3)) == 1.0
    always = torch.tensor([[2.0, 1.0, 1.0]] * 5)
    assert fit_temperature(always) == pytest.approx(1e-3, rel=1e-6)
    with pytest.raises(InputError, match="no triplets"):
        fit_temperature(torch.ones(0, 3))
    with pytest.raises(InputError, match="reference"):
        fit_temperature(torch.ones(5, 3), torch.ones(4, 3) / 3)
    with pytest.raises(InputError, match="temperature"):
        fit_temperature(always, grid=[1.0, -1.0])


def test_the_names_of_the_package_stay_what_they_were():
    assert callable(visus.metrics.similarity)
    assert visus.metrics.fit_temperature is not fit_temperature
