"""Agreement of RDMs, its ceiling and its resamples against rsatoolbox, scipy and loops."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.spatial.distance import squareform

from visus.data.formats.mat import read_mat
from visus.data.provided import provided
from visus.errors import InputError, MissingData, MissingExtra
from visus.metrics.rdm import rdm_vectors
from visus.metrics.rsa import (
    KINDS,
    compare_rdms,
    human_ceiling,
    infer_models,
    resampled_agreements,
    rsa_difference,
    rsa_interval,
    score_rdm,
    to_rsatoolbox,
)
from visus.metrics.rsa_inference import TOOLBOX_NAMES

PLAIN = [kind for kind in KINDS if not kind.startswith("whitened")]


@pytest.fixture(scope="module")
def toolbox():
    return pytest.importorskip("rsatoolbox")


@pytest.fixture(scope="module")
def ceilings(toolbox):
    """rsatoolbox's two ceilings; for Kendall's tau it warns that mean ranks stand in."""
    from rsatoolbox.inference import noise_ceiling

    def quietly(name):
        def call(*arguments, **options):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Noise ceiling for tau")
                return getattr(noise_ceiling, name)(*arguments, **options)

        return call

    return quietly("boot_noise_ceiling"), quietly("cv_noise_ceiling")


def judgments(seed: int = 0, people: int = 5, stimuli: int = 9, *, tied: bool = False) -> np.ndarray:
    """RDMs (people, stimuli, stimuli) that share a structure."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(stimuli, 4))
    shared = ((points[:, None] - points[None]) ** 2).sum(-1)
    noise = rng.gamma(2.0, 2.0, size=(people, stimuli, stimuli))
    rdms = shared + (noise + noise.transpose(0, 2, 1))
    rdms = np.round(rdms / 4) if tied else rdms
    rdms[:, np.arange(stimuli), np.arange(stimuli)] = 0
    return rdms


def real_judgments() -> np.ndarray:
    try:
        content = read_mat(provided("92images/92_behavRDMs.mat"))
    except MissingData as missing:
        pytest.skip(str(missing))
    return np.stack([person["RDM"] for person in content["rdms_behav_92"].ravel()])


# ---- tables -----------------------------------------------------------------------------------------------


def test_squares_and_pairs_are_the_same():
    rdms = judgments()
    pairs = np.stack([squareform(rdm) for rdm in rdms])
    assert np.array_equal(rdm_vectors(rdms), pairs)
    assert np.array_equal(rdm_vectors(torch.from_numpy(rdms[0])), pairs[:1])
    assert np.array_equal(rdm_vectors(pairs[0]), pairs[:1])
    assert compare_rdms(rdms[0], pairs[1]) == compare_rdms(rdms[0], rdms[1])


def test_shapes_of_comparisons_follow_the_arguments():
    rdms = judgments()
    assert isinstance(compare_rdms(rdms[0], rdms[1]), float)
    assert compare_rdms(rdms[0], rdms).shape == (5,)
    assert compare_rdms(rdms[:2], rdms[0]).shape == (2,)
    assert compare_rdms(rdms[:2], rdms).shape == (2, 5)
    assert compare_rdms(rdms[:1], rdms[:1]).shape == (1, 1)


@pytest.mark.parametrize(
    ("rdm", "told"),
    [
        (np.arange(9.0).reshape(3, 3), "symmetric"),
        (np.zeros(4), "4 pairs"),
        (np.zeros((2, 2, 2, 2)), "shape"),
        (np.zeros((0, 3)), "empty"),
        (np.array([np.inf, 1, 2]), "infinite"),
    ],
)
def test_wrong_tables_are_told(rdm, told):
    with pytest.raises(InputError, match=told):
        rdm_vectors(rdm)


def test_wrong_comparisons_are_told():
    rdms = judgments()
    with pytest.raises(InputError, match="9 and 8 stimuli"):
        compare_rdms(rdms, rdms[:, 1:, 1:])
    with pytest.raises(InputError, match="spearman, pearson"):
        compare_rdms(rdms[0], rdms[1], "tau")
    alike = 1 - rdms[0] / rdms[0].max()
    with pytest.raises(InputError, match="similarities and the other dissimilarities"):
        compare_rdms(alike, rdms)
    assert compare_rdms(alike, alike) == pytest.approx(1)
    assert compare_rdms(1 - alike, rdms[0]) == pytest.approx(1)


# ---- agreement --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [False, True])
def test_agreement_equals_rsatoolbox(kind, tied, toolbox):
    rdms = judgments(1, 6, 12, tied=tied)
    one, other = toolbox.rdm.RDMs(rdms[:2]), toolbox.rdm.RDMs(rdms[2:])
    expected = toolbox.rdm.compare(one, other, method=TOOLBOX_NAMES[kind])
    assert np.abs(compare_rdms(rdms[:2], rdms[2:], kind) - expected).max() < 1e-6


def test_agreement_equals_scipy():
    one, other = rdm_vectors(judgments(2, 2, 10, tied=True))
    assert compare_rdms(one, other) == pytest.approx(scipy.stats.spearmanr(one, other).statistic)
    assert compare_rdms(one, other, "pearson") == pytest.approx(np.corrcoef(one, other)[0, 1])
    signs = [
        np.sign(one[i] - one[j]) * np.sign(other[i] - other[j]) for i in range(len(one)) for j in range(i)
    ]
    assert compare_rdms(one, other, "kendall_tau_a") == pytest.approx(np.mean(signs))


@pytest.mark.parametrize("kind", KINDS)
def test_agreement_ignores_what_it_should(kind):
    rdms = judgments(3)
    base = compare_rdms(rdms[0], rdms[1], kind)
    assert compare_rdms(3 * rdms[0], rdms[1], kind) == pytest.approx(base)
    order = np.random.default_rng(0).permutation(9)
    turned = rdms[:, order][:, :, order]
    assert compare_rdms(turned[0], turned[1], kind) == pytest.approx(base)
    if kind in ("spearman", "kendall_tau_a", "rho_a"):
        assert compare_rdms(np.exp(rdms[0] / 5), rdms[1], kind) == pytest.approx(base)
    if not kind.endswith("cosine"):
        shifted = rdms[0] + 0.1 * (1 - np.eye(9))
        assert compare_rdms(shifted, rdms[1], kind) == pytest.approx(base)
        assert compare_rdms(np.full(36, 0.1), rdms, kind) == pytest.approx(np.zeros(5))


@pytest.mark.parametrize("kind", PLAIN)
def test_missing_pairs_are_left_out_of_each_comparison(kind):
    one, other = rdm_vectors(judgments(4, 2))
    one[[3, 7]], other[[7, 20]] = np.nan, np.nan
    both = ~(np.isnan(one) | np.isnan(other))
    # pairs that form no whole table: padded to one whose other pairs are missing on both sides
    blanks = [np.where(both, vector, np.nan) for vector in (one, other)]
    assert compare_rdms(one, other, kind) == pytest.approx(compare_rdms(*blanks, kind), abs=1e-12)
    expected = {
        "spearman": lambda x, y: scipy.stats.spearmanr(x, y).statistic,
        "pearson": lambda x, y: np.corrcoef(x, y)[0, 1],
        "cosine": lambda x, y: x @ y / np.linalg.norm(x) / np.linalg.norm(y),
        "rho_a": lambda x, y: scipy.stats.spearmanr(x, y).statistic,
        "kendall_tau_a": lambda x, y: scipy.stats.kendalltau(x, y).statistic,
    }[kind](one[both], other[both])
    assert compare_rdms(one, other, kind) == pytest.approx(expected)
    stack = compare_rdms(np.stack([one, other]), np.stack([other, np.full(36, np.nan)]), kind)
    assert stack[0, 0] == pytest.approx(expected)
    assert np.isnan(stack[:, 1]).all()


def test_whitening_needs_all_pairs():
    vectors = rdm_vectors(judgments())
    vectors[0, 3] = np.nan
    with pytest.raises(InputError, match="missing"):
        compare_rdms(vectors[0], vectors[1], "whitened_pearson")


# ---- ceiling ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 4), (5, 9), (16, 92)])
def test_ceilings_equal_rsatoolbox(kind, shape, toolbox, ceilings):
    rdms = judgments(sum(shape), *shape, tied=shape == (5, 9))
    expected = ceilings[0](toolbox.rdm.RDMs(rdms), method=TOOLBOX_NAMES[kind])
    assert np.abs(np.subtract(human_ceiling(rdms, kind), expected)).max() < 1e-6


@pytest.mark.parametrize("kind", ["spearman", "pearson", "cosine"])
def test_ceilings_of_pairs_nobody_judged_equal_rsatoolbox(kind, toolbox, ceilings):
    vectors = rdm_vectors(judgments(7))
    vectors[:, [0, 5, 11]] = np.nan
    expected = ceilings[0](toolbox.rdm.RDMs(vectors), method=TOOLBOX_NAMES[kind])
    assert np.abs(np.subtract(human_ceiling(vectors, kind), expected)).max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_ceilings_within_folds_equal_rsatoolbox(kind, toolbox, ceilings):
    rdms = judgments(8, 4, 12)
    folds = np.random.default_rng(0).permutation(12).reshape(3, 4)
    data = toolbox.rdm.RDMs(rdms)
    train, test = [], []
    for fold in folds:
        for person in range(4):
            others = data.subset("index", [k for k in range(4) if k != person])
            train.append((others, np.arange(12)))
            test.append((data.subset("index", [person]).subset_pattern("index", list(fold)), sorted(fold)))
    expected = ceilings[1](data, train, test, method=TOOLBOX_NAMES[kind])
    assert np.abs(np.subtract(human_ceiling(rdms, kind, folds=folds), expected)).max() < 1e-6


def test_people_who_judged_other_pairs_share_a_ceiling():
    vectors = rdm_vectors(judgments(9))
    whole = human_ceiling(vectors, "pearson")
    vectors[0, :4], vectors[1, 3:9] = np.nan, np.nan
    found = human_ceiling(vectors, "pearson")
    scaled = (vectors - np.nanmean(vectors, 1, keepdims=True)) / np.nanstd(vectors, 1, keepdims=True)
    lower, upper = [], []
    for person in range(5):
        seen = ~np.isnan(vectors[person])
        others = np.nanmean(np.delete(scaled, person, axis=0), axis=0)
        for pool, values in ((others, lower), (np.nanmean(scaled, axis=0), upper)):
            values.append(np.corrcoef(pool[seen], vectors[person, seen])[0, 1])
    assert found == pytest.approx((np.mean(lower), np.mean(upper)))
    assert found != whole


def test_no_model_exceeds_the_upper_bound_of_pearson():
    rdms = judgments(10, 6, 8)
    upper = human_ceiling(rdms, "pearson").upper
    rng = np.random.default_rng(0)
    for _ in range(50):
        guess = rdm_vectors(rdms).mean(0) + rng.normal(size=28)
        assert compare_rdms(guess, rdms, "pearson").mean() <= upper + 1e-12


def test_wrong_ceilings_are_told():
    with pytest.raises(InputError, match="one person"):
        human_ceiling(judgments()[:1])
    with pytest.raises(InputError, match="folds"):
        human_ceiling(judgments(), folds=[[0, 1], [2, 3, 4]])


def test_ceilings_of_real_people_equal_rsatoolbox(toolbox, ceilings):
    rdms = real_judgments()
    assert rdms.shape == (16, 92, 92)
    for kind in ("spearman", "pearson", "cosine"):
        expected = ceilings[0](toolbox.rdm.RDMs(rdms), method=TOOLBOX_NAMES[kind])
        assert np.abs(np.subtract(human_ceiling(rdms, kind), expected)).max() < 1e-6
    assert human_ceiling(rdms) == pytest.approx((0.477, 0.577), abs=1e-3)


# ---- intervals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("tied", [False, True])
def test_resampled_stimuli_equal_rsatoolbox(kind, tied, toolbox):
    rdms = judgments(11, 5, 10, tied=tied)
    model, people = rdms[:2], rdms[2:]
    counts = np.random.default_rng(0).multinomial(10, np.full(10, 0.1), size=6)
    counts[-1] = [5, 5] + [0] * 8
    found = resampled_agreements(rdm_vectors(model), rdm_vectors(people), counts, kind)
    assert np.isnan(found[:, :, -1]).all()
    for r, row in enumerate(counts[:-1]):
        drawn = np.repeat(np.arange(10), row)
        one, other = (toolbox.rdm.RDMs(stack).subsample_pattern("index", drawn) for stack in (model, people))
        expected = toolbox.rdm.compare(one, other, method=TOOLBOX_NAMES[kind])
        assert np.abs(found[:, :, r] - expected).max() < 1e-6


def test_missing_pairs_stay_missing_in_resamples():
    vectors = rdm_vectors(judgments(12, 3))
    vectors[1, 4], vectors[0, 9] = np.nan, np.nan
    counts = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), size=4)
    found = resampled_agreements(vectors[:1], vectors[1:], counts, "spearman")
    row, column = np.triu_indices(9, 1)
    for r in range(4):
        often = counts[r, row] * counts[r, column]
        for s in (1, 2):
            both = ~(np.isnan(vectors[0]) | np.isnan(vectors[s]))
            one, other = (np.repeat(vectors[k][both], often[both]) for k in (0, s))
            assert found[0, s - 1, r] == pytest.approx(scipy.stats.spearmanr(one, other).statistic)


def test_chunks_of_resamples_do_not_matter(monkeypatch):
    vectors = rdm_vectors(judgments(13))
    counts = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), size=20)
    whole = resampled_agreements(vectors[:1], vectors[1:], counts, "spearman")
    monkeypatch.setattr("visus.metrics.rsa._CELLS", 36 * 5 * 3)
    assert np.array_equal(resampled_agreements(vectors[:1], vectors[1:], counts, "spearman"), whole)


def test_drawing_people_draws_their_values():
    rdms = judgments(14, 7)
    each = compare_rdms(rdms[0], rdms[1:])
    rng = np.random.default_rng(1)
    expected = np.quantile(each[rng.integers(0, 6, (20_000, 6))].mean(1), [0.025, 0.975])
    found = rsa_interval(rdms[0], rdms[1:], over="subjects", resamples=20_000)
    assert np.abs(np.subtract(found, expected)).max() < 0.03 * np.ptp(expected)


def test_scores_and_widths():
    rdms = judgments(15, 6, 14)
    model, people = rdms[0], rdms[1:]
    found = {over: score_rdm(model, people, over=over) for over in ("stimuli", "subjects", "both")}
    for score in found.values():
        assert score.value == pytest.approx(compare_rdms(model, people).mean())
        assert score.interval[0] < score.value < score.interval[1]
        assert score.ceiling == human_ceiling(people)
        assert (score.subjects, score.stimuli) == (5, 14)
    widths = {over: np.ptp(score.interval) for over, score in found.items()}
    assert widths["both"] > max(widths["stimuli"], widths["subjects"])
    alone = score_rdm(model, people.mean(0))
    assert alone.ceiling is None
    assert alone.value == pytest.approx(compare_rdms(model, people.mean(0)))
    assert score_rdm(model, people, seed=1).interval != found["stimuli"].interval
    assert score_rdm(model, people) == found["stimuli"]


@pytest.mark.parametrize("over", ["stimuli", "subjects", "both"])
def test_differences_use_the_same_resamples(over):
    rdms = judgments(16, 6)
    people = rdms[2:]
    found = rsa_difference(rdms[0], rdms[1], people, over=over)
    expected = compare_rdms(rdms[0], people).mean() - compare_rdms(rdms[1], people).mean()
    assert found.effect == pytest.approx(expected)
    turned = rsa_difference(rdms[1], rdms[0], people, over=over)
    assert turned.interval == pytest.approx((-found.interval[1], -found.interval[0]))
    assert rsa_difference(rdms[0], 2 * rdms[0], people, over=over).interval == pytest.approx(
        (0, 0), abs=1e-12
    )


def test_whitened_intervals_draw_people():
    rdms = judgments(17)
    low, high = rsa_interval(rdms[0], rdms[1:], kind="whitened_pearson", over="subjects")
    assert low < compare_rdms(rdms[0], rdms[1:], "whitened_pearson").mean() < high
    with pytest.raises(InputError, match="whitened_pearson"):
        rsa_interval(rdms[0], rdms[1:], kind="whitened_pearson")


@pytest.mark.parametrize(
    ("options", "told"),
    [({"over": "items"}, "over"), ({"resamples": 0}, "resamples"), ({"level": 2.0}, "level")],
)
def test_wrong_options_are_told(options, told):
    rdms = judgments()
    with pytest.raises(InputError, match=told):
        rsa_interval(rdms[0], rdms, **options)


def test_one_model_and_several_people_are_asked_for():
    rdms = judgments()
    with pytest.raises(InputError, match="one RDM"):
        score_rdm(rdms, rdms)
    with pytest.raises(InputError, match="one person"):
        rsa_interval(rdms[0], rdms[1], over="both")


# ---- rsatoolbox -------------------------------------------------------------------------------------------


def test_tables_go_over_with_their_names(toolbox):
    rdms = judgments(18, 3, 4)
    found = to_rsatoolbox(rdms, stimuli=["a", "b", "c", "d"], subjects=["x", "y", "z"], measure="euclidean")
    assert np.allclose(found.get_matrices(), rdms)
    assert found.pattern_descriptors["stimulus"] == ["a", "b", "c", "d"]
    assert found.rdm_descriptors["subject"] == ["x", "y", "z"]
    assert found.dissimilarity_measure == "euclidean"
    with pytest.raises(InputError, match="3 names for 4"):
        to_rsatoolbox(rdms, stimuli=["a", "b", "c"])


@pytest.mark.parametrize(
    ("over", "call", "options"),
    [
        ("stimuli", "eval_bootstrap_pattern", {}),
        ("subjects", "eval_bootstrap_rdm", {}),
        ("both", "eval_dual_bootstrap", {"k_pattern": 1, "k_rdm": 1}),
    ],
)
@pytest.mark.parametrize("kind", ["spearman", "whitened_cosine", "kendall_tau_a"])
def test_inference_is_rsatoolboxs(over, call, options, kind, toolbox, capsys):
    from rsatoolbox import inference

    rdms = judgments(19, 6, 8)
    models, people = {"first": rdms[0], "second": rdms[1]}, rdms[2:]
    state = np.random.get_state()  # noqa: NPY002
    found = infer_models(models, people, kind=kind, over=over, resamples=12, seed=5)
    assert capsys.readouterr().err == ""
    assert all(np.array_equal(a, b) for a, b in zip(state, np.random.get_state()))  # noqa: NPY002
    assert infer_models(models, people, kind=kind, over=over, resamples=12, seed=5) == found

    np.random.seed(5)  # noqa: NPY002
    fixed = [toolbox.model.ModelFixed(name, squareform(rdm)) for name, rdm in models.items()]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Noise ceiling for tau")
        direct = getattr(inference, call)(
            fixed, toolbox.rdm.RDMs(people), method=TOOLBOX_NAMES[kind], N=12, **options
        )
    np.random.set_state(state)  # noqa: NPY002
    assert [one.name for one in found.models] == ["first", "second"]
    assert [one.value for one in found.models] == pytest.approx(direct.get_means())
    assert [one.standard_error for one in found.models] == pytest.approx(direct.get_sem())
    assert np.allclose(np.transpose([one.interval for one in found.models]), direct.get_ci(0.95))
    assert [one.p_above_zero for one in found.models] == pytest.approx(direct.test_zero())
    assert [one.p_below_ceiling for one in found.models] == pytest.approx(direct.test_noise())
    assert found.pairwise == {("first", "second"): pytest.approx(direct.test_pairwise()[0, 1])}
    ceiling = direct.noise_ceiling[..., 0] if over == "both" else direct.noise_ceiling
    assert found.ceiling == pytest.approx(ceiling.reshape(2, -1).mean(1))


def test_inference_of_one_model_has_no_pairs(toolbox):
    rdms = judgments(20, 5, 7)
    found = infer_models({"only": rdms[0]}, rdms[1:], resamples=10, over="stimuli")
    assert found.pairwise == {}
    assert found.models[0].interval[0] < found.models[0].value < found.models[0].interval[1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"models": {}}, "models"),
        ({"over": "items"}, "over"),
        ({"resamples": 1}, "resamples"),
        ({"people": judgments()[:1]}, "one person"),
        ({"people": judgments(0, 3, 6)}, "stimuli"),
        ({"people": np.where(np.add.outer(range(9), range(9)) == 1, np.nan, judgments()[1:])}, "lack pairs"),
    ],
)
def test_wrong_inference_is_told(change, told, toolbox):
    rdms = judgments()
    given = {"models": {"one": rdms[0]}, "people": rdms[1:], **change}
    with pytest.raises(InputError, match=told):
        infer_models(given.pop("models"), given.pop("people"), **given)


def test_without_rsatoolbox_the_extra_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "rsatoolbox", None)
    with pytest.raises(MissingExtra, match=r"visus\[rsa\]"):
        to_rsatoolbox(judgments())
