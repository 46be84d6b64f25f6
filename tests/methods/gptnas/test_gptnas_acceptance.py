"""The ten checks by which the method is accepted, one class each, and the same on files where these are given."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from visus.data import Tensors
from visus.data.corpora.architecture_table import ArchitectureTable
from visus.data.corpora.nasbench201 import cell_to_key, key_to_cell, load_nasbench201
from visus.data.corpora.nasbench_macro import load_nasbench_macro
from visus.engine import Run
from visus.methods.gptnas.baselines import ARMS, make_search
from visus.methods.gptnas.model.blocks import BLOCKS, Block
from visus.methods.gptnas.model.gpt import LayerGPT
from visus.methods.gptnas.model.network import BlockNetwork
from visus.methods.gptnas.model.rebuild import build
from visus.methods.gptnas.model.tokens import UNKNOWN, Vocabulary
from visus.methods.gptnas.model.tracing import trace
from visus.methods.gptnas.model.zoo import ZOO, zoo_architecture, zoo_architectures
from visus.methods.gptnas.search.asktell import Candidate, SearchSettings
from visus.methods.gptnas.search.ledger import Ledger
from visus.methods.gptnas.search.priors import TabulatedPrior, UniformPrior
from visus.methods.gptnas.search.regrow import elimination_rate, regrow
from visus.methods.gptnas.search.run import run_search
from visus.methods.gptnas.search.search import Search
from visus.methods.gptnas.search.space import Space
from visus.methods.gptnas.search.sweep import SWEEP_SETTINGS, Curves, sweep, train_priors
from visus.methods.gptnas.training import Candidates, Labeled, Pixels, Recipe
from visus.methods.gptnas.training.prior import PriorRecipe, TrainedPrior, network_space

CELLS = Space("cells", ("a", "b", "c", "d", "e"), least=6, most=6)
CHAINS = Space("chains", tuple("abcdefg"), least=2, most=6)


PARAMETERS = """
efficientnet_b0 5288548, efficientnet_b1 7794184, efficientnet_b2 9109994,
efficientnet_b3 12233232, efficientnet_b4 19341616, efficientnet_b5 30389784,
efficientnet_b6 43040704, efficientnet_b7 66347960, googlenet 6624904, regnet_x_400mf 5495976,
regnet_x_800mf 7259656, regnet_x_1_6gf 9190136, regnet_x_3_2gf 15296552,
regnet_x_8gf 39572648, regnet_x_16gf 54278536, regnet_x_32gf 107811560,
regnet_y_400mf 4344144, regnet_y_800mf 6432512, regnet_y_1_6gf 11202430,
regnet_y_3_2gf 19436338, regnet_y_8gf 39381472, regnet_y_16gf 83590140,
regnet_y_32gf 145046770, resnet18 11689512, resnet34 21797672, resnet50 25557032,
resnet101 44549160, resnet152 60192808, resnext50_32x4d 25028904, resnext101_32x8d 88791336,
wide_resnet50_2 68883240, wide_resnet101_2 126886696, shufflenet_v2_x0_5 1366792,
shufflenet_v2_x1_0 2278604, shufflenet_v2_x1_5 3503624, shufflenet_v2_x2_0 7393996
"""
PUBLISHED = {name: int(count) for name, count in (entry.split() for entry in PARAMETERS.split(","))}
"""Trainable parameters of the published networks with 1,000 classes."""


def opinionated(space: Space, seed: int = 0) -> TabulatedPrior:
    rng, base = np.random.default_rng(seed), len(space.symbols)
    levels = tuple(rng.dirichlet(np.full(base, 0.4), base**n) for n in range(space.most))
    return TabulatedPrior(space, levels, 0.4)


def worth(individual: tuple[int, ...]) -> float:
    return float(sum((3 * s + 2 * i) % 7 * (1 + individual[i - 1]) for i, s in enumerate(individual)))


def sequence(search) -> list[tuple[int, ...]]:
    order = []
    while asked := search.ask():
        for individual in asked:
            order.append(individual)
            search.tell(individual, worth(individual))
    return order


class TestCheck1Causality:
    """Changing a token leaves earlier scores bit-identical, and scores beyond the window too."""

    @pytest.mark.parametrize("kind", ["standard", "optimized", "efficient", "super"])
    def test_what_a_score_depends_on(self, kind):
        torch.manual_seed(0)
        model = LayerGPT(12, width=16, depth=4, heads=4, window=10, attention=kind).eval()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.3)
        tokens = torch.randint(12, (3, 27))
        with torch.no_grad():
            before = model(tokens)
            for place in range(27):
                changed = tokens.clone()
                changed[:, place] = (changed[:, place] + 5) % 12
                moved = (model(changed) != before).any(dim=2).all(dim=0)
                expected = [place <= t < place + 10 for t in range(27)]
                assert moved.tolist() == expected, (kind, place)


class TestCheck2RoundTrip:
    """encode(build(a)) == a for the 36 networks; parameters are the published ones."""

    def test_the_zoo_is_the_paper_s(self):
        families = [name.split("_")[0].rstrip("0123456789") for name in ZOO]
        counts = {family: families.count(family) for family in set(families)}
        expected = "efficientnet 8, googlenet 1, regnet 14, resnet 5, resnext 2, shufflenet 4, wide 2"
        assert ", ".join(f"{family} {counts[family]}" for family in sorted(counts)) == expected
        assert set(PUBLISHED) == set(ZOO)

    @pytest.mark.parametrize("name", sorted(PUBLISHED))
    def test_build_and_trace_give_the_record_back(self, name):
        record = zoo_architecture(name)
        assert record.num_params == PUBLISHED[name]
        with torch.device("meta"):
            network = build(record)
        assert sum(weight.numel() for weight in network.parameters()) == PUBLISHED[name]
        again = trace(network, record.input_size, name=record.name)
        assert again.with_blocks(record.blocks) == record
        assert type(record).from_text(record.to_text()) == record

    def test_the_vocabulary_is_the_same_in_every_run(self):
        records = zoo_architectures()
        one, other = Vocabulary.fit(records), Vocabulary.fit(tuple(reversed(records)))
        assert one == other == Vocabulary.from_plain(one.to_plain())
        lines = [one.sentence(record) for record in records]
        assert lines == [other.sentence(record) for record in records]
        assert all(UNKNOWN not in line for line in lines)
        assert [len(line) for line in lines] == [len(record.layers) + 2 for record in records]
        assert 60 < len(one) < 340  # the paper counts 168

    @pytest.mark.parametrize(
        ("name", "channels", "count"),
        [
            ("ConvNormActivation", (3, 32), 3 * 32 * 9 + 2 * 32),
            ("BasicBlock", (64, 64), 2 * 64 * 64 * 9 + 4 * 64),
            ("Bottleneck(ResNet)", (256, 256), 2 * 256 * 64 + 64 * 64 * 9 + 2 * (64 + 64 + 256)),
            ("Bottleneck(ResNeXt)", (256, 256), 2 * 256 * 128 + 128 * 4 * 9 + 2 * (128 + 128 + 256)),
            ("Bottleneck(wide)", (256, 256), 2 * 256 * 128 + 128 * 128 * 9 + 2 * (128 + 128 + 256)),
            ("InvertedResidual(ShuffleNet)", (116, 116), 2 * 58 * 58 + 58 * 9 + 2 * 3 * 58),
            ("BatchNorm", (64, 64), 128),
            ("ReLU", (64, 64), 0),
            ("MaxPool", (64, 64), 0),
        ],
    )
    def test_blocks_have_the_published_parameters(self, name, channels, count):
        block = next(block for block in BLOCKS if block.name == name)
        module = block.build(*channels, 1)
        assert sum(weight.numel() for weight in module.parameters()) == count

    def test_a_candidate_has_the_parameters_of_its_blocks(self):
        blocks = tuple(range(len(BLOCKS)))
        net = BlockNetwork(blocks, in_channels=3, num_classes=10, width=16, stages=3)
        assert len(net.blocks) == len(blocks)
        parts = sum(weight.numel() for part in (net.blocks, net.head) for weight in part.parameters())
        assert parts == sum(weight.numel() for weight in net.parameters())
        assert trace(net, (3, 32, 32)).num_params == parts


class TestCheck3Schedule:
    """r_0 = 0.4, r_{T/2} = 0.2, r_T = 0; without elimination the search is the genetic search."""

    def test_the_rate_falls_in_a_line(self):
        assert [elimination_rate(0.4, t / 20) for t in (0, 10, 20)] == [0.4, 0.2, 0.0]
        search = Search(CELLS, SearchSettings(budget=100, population=10), 0, opinionated(CELLS))
        seen = [search.rate]
        while asked := search.ask(1):
            search.tell(asked[0], worth(asked[0]))
            seen.append(search.rate)
        assert seen == pytest.approx([0.4 - t / 100 * 0.4 for t in range(101)], abs=1e-15)
        assert (seen[0], seen[50], seen[100]) == (0.4, 0.2, 0.0)

    @pytest.mark.parametrize("space", [CELLS, CHAINS])
    @pytest.mark.parametrize("seed", range(3))
    def test_off_it_is_the_genetic_search(self, space, seed):
        prior = opinionated(CELLS) if space is CELLS else UniformPrior(space)
        off = SearchSettings(budget=150, population=12, rate=0.0)
        plain = sequence(Search(space, off, seed))
        assert sequence(Search(space, off, seed, prior)) == plain
        assert sequence(Search(space, replace(off, rate=0.4), seed, prior)) != plain


class TestCheck4Regrowth:
    """The regrown share is r_t; what is not regrown stays; blocks are legal expansions of their layers."""

    @pytest.mark.parametrize("rate", [0.4, 0.13])
    def test_share_and_untouched(self, rate):
        rng, prior = np.random.default_rng(1), opinionated(CELLS)
        hits = total = 0
        for _ in range(10_000):
            old = CELLS.random(rng)
            new, written = regrow(old, prior, CELLS, rng, rate=rate)
            assert len(new) == len(old) == len(written)
            assert all(a is b for a, b, flag in zip(old, new, written, strict=True) if not flag)
            hits += sum(written)
            total += len(written)
        error = math.sqrt(rate * (1 - rate) / total)
        assert abs(hits / total - rate) < 3 * error

    def test_the_prior_sees_the_new_prefix(self):
        asked = []

        class Watching(UniformPrior):
            def distribution(self, prefix):
                asked.append(prefix)
                return super().distribution(prefix)

        rng = np.random.default_rng(0)
        prior = Watching(CELLS)
        for _ in range(50):
            old = CELLS.random(rng)
            asked.clear()
            new, written = regrow(old, prior, CELLS, rng, rate=0.5)
            assert asked == [new[:place] for place, flag in enumerate(written) if flag]

    def first_tokens(self, block: Block, vocabulary: Vocabulary) -> set[int]:
        """What the block begins with, over sizes before and after it that need no projection."""
        sizes = itertools.product((3, 16, 64), (16, 32, 64, 128), (1, 2))
        return {
            vocabulary.token(block.layers(before, after, stride)[0])
            for before, after, stride in sizes
            if (before == after or block.widens) and (stride == 1 or block.strides)
        }

    def test_a_block_is_an_expansion_of_the_predicted_layer(self):
        vocabulary = Vocabulary.fit([block.record() for block in BLOCKS])
        recipe = PriorRecipe(width=16, depth=1, heads=2)
        prior = TrainedPrior(recipe, vocabulary, information={"stage-2": 0.1}).over(network_space())
        tokens = [self.first_tokens(block, vocabulary) for block in BLOCKS]
        legal = np.array([[opening in mine for mine in tokens] for opening in prior.openings])
        assert legal.any(axis=0).all()
        assert not legal.all()
        rng, prefix = np.random.default_rng(0), ()
        for _ in range(8):
            given_layer = prior.blocks(prefix)
            assert (given_layer[~legal] == 0).all()
            assert (given_layer > 0).any(axis=0).all()
            assert np.allclose(given_layer.sum(axis=1), 1)
            weights = prior.distribution(prefix)
            assert weights.sum() == pytest.approx(1)
            prefix = (*prefix, int(rng.choice(len(BLOCKS), p=weights[:-1] / weights[:-1].sum())))


@pytest.fixture(scope="module")
def tables() -> dict[str, ArchitectureTable]:
    """The installed tables: chosen by one run, scored by the others."""
    return {name: load_nasbench201(name) for name in ("cifar10", "cifar100", "imagenet")}


@pytest.fixture(scope="module")
def priors(tables):
    """Layer models of shares of the CIFAR-10 cells."""
    return train_priors(tables["cifar10"], seed=11, steps=200)


@pytest.fixture(scope="module")
def curves(tables, priors) -> Curves:
    """50 evaluations on CIFAR-100, 100 seeds."""
    arms = ("ga", "gpt", "uniform", "null", "anti", "keep70")
    settings = replace(SWEEP_SETTINGS, budget=50)
    return sweep(tables["cifar100"], arms, seeds=range(100), settings=settings, priors=priors)


class TestCheck5PriorSteers:
    """CIFAR-10 prior, CIFAR-100 search, 50 evaluations, 100 seeds."""

    def test_the_search_gains(self, curves):
        gain, z = curves.difference("gpt", "ga", 50)
        assert gain >= 0.4
        assert z > 3

    def test_a_prior_of_everything_is_uniform_regrowth(self, curves):
        _, z = curves.difference("null", "uniform", 50)
        assert abs(z) < 2

    def test_a_prior_of_the_worst_hurts(self, curves):
        loss, z = curves.difference("anti", "ga", 50)
        assert loss < -0.5
        assert z < -3

    def test_on_published_test_accuracies(self, extra_data, priors):
        table = load_nasbench201("cifar100", tests=extra_data("nasbench201_cifar100.json"))
        settings = replace(SWEEP_SETTINGS, budget=50)
        found = sweep(table, ("ga", "gpt", "anti"), seeds=range(100), settings=settings, priors=priors)
        gain, z = found.difference("gpt", "ga", 50)
        assert gain >= 0.4
        assert z > 3
        assert found.difference("anti", "ga", 50)[1] < -3


class TestCheck6WeakFilter:
    """Keeping 70 % loses the gain; gains follow the information of the priors."""

    def test_the_gain_is_gone(self, curves):
        gain, z = curves.difference("keep70", "ga", 50)
        assert gain < 0.4
        assert z < 2

    def test_gain_is_monotone_in_information(self, curves):
        names = sorted(("null", "keep70", "gpt"), key=curves.information.__getitem__)
        assert names == ["null", "keep70", "gpt"]
        means = [curves.mean(name, 50) for name in names]
        for (low, error), (high, other) in itertools.pairwise(means):
            assert high > low - 2 * math.hypot(error, other)
        assert means[-1][0] > means[0][0] + 0.4
        assert curves.information["gpt"] > 0.15
        assert abs(curves.information["null"]) < 0.05


class TestCheck7Tables:
    """Optima, keys and sizes of the tables."""

    def test_installed(self, tables):
        for table in tables.values():
            assert len(table) == 15_625
            assert key_to_cell("421211") == (
                "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
            )
            assert table.architecture(table.index((4, 2, 1, 2, 1, 1))) == (4, 2, 1, 2, 1, 1)
        best = {name: max(table.fitness.max(), table.score.max()) for name, table in tables.items()}
        assert 91.5 < best["cifar10"] < 92.0
        assert 73.0 < best["cifar100"] < 74.5
        assert 46.5 < best["imagenet"] < 48.0

    @pytest.mark.parametrize(
        ("name", "best"), [("cifar10", 94.373), ("cifar100", 73.513), ("imagenet", 47.311)]
    )
    def test_published_optima(self, extra_data, name, best):
        table = load_nasbench201(name, tests=extra_data(f"nasbench201_{name}.json"))
        assert table.score.max() == pytest.approx(best, abs=6e-4)
        chosen = {"cifar10": 94.373, "cifar100": 73.513, "imagenet": 46.20}[name]
        assert table.score[table.best("fitness")] == pytest.approx(chosen, abs=6e-3)

    def test_macro(self, extra_data):
        table = load_nasbench_macro(extra_data("nas-bench-macro_cifar10.json"))
        assert len(table) == 6561
        top = table.columns["mean_acc"]
        assert top.max() == pytest.approx(93.127, abs=6e-4)
        best = {"".join(map(str, table.architecture(int(row)))) for row in np.flatnonzero(top == top.max())}
        assert best == {"22212220", "22212202"}  # the same network, its identity in another place

    def test_key_of_the_first_cell(self, extra_data):
        lines = extra_data("mini-bench-arch-cell-accs.csv").read_text().splitlines()
        assert cell_to_key(lines[1].split(",")[1]) == "421211"


class TestCheck8OnlyTheRegrown:
    """Training a candidate moves the regrown blocks (and the head) alone, or the normalization alone."""

    BLOCKS = (0, 7, 12, 9, 14)

    def trained(self, folder: Path, flags: list[bool]) -> tuple[dict[str, torch.Tensor], ...]:
        rng = torch.Generator().manual_seed(0)
        target = torch.arange(48) % 2
        source = Tensors({"image": torch.rand(48, 1, 8, 8, generator=rng) + target[:, None, None, None]})
        whole = Labeled(source, Pixels.learn(source, range(48)), target)
        parts = whole.subset(torch.arange(32)), whole.subset(torch.arange(32, 48))
        states: list[dict[str, torch.Tensor]] = []
        nets: list[nn.Module] = []

        def make(individual: tuple[int, ...]) -> nn.Module:
            nets.append(
                BlockNetwork(individual, in_channels=1, num_classes=2, image_size=8, width=8, stages=2)
            )
            states.append(copy.deepcopy(nets[-1].state_dict()))
            return nets[-1]

        run = Run(folder, seed=0, device="cpu", progress=False)
        recipe = Recipe(epochs=2, batch_size=16, learning_rate=0.05)
        Candidates(make, parts, recipe, run, settled=False).worth(self.BLOCKS, flags)
        return states[0], nets[0].state_dict()

    def moved(self, before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
        assert before.keys() == after.keys()
        return {name for name in before if not torch.equal(before[name], after[name])}

    def test_frozen_blocks_are_bit_identical(self, tmp_path):
        moved = self.moved(*self.trained(tmp_path, [False, True, False, False, True]))
        assert {name.split(".")[0] for name in moved} == {"blocks", "head"}
        assert {int(name.split(".")[1]) for name in moved if name.startswith("blocks")} == {1, 4}

    def test_without_regrown_blocks_exactly_the_normalization_moves(self, tmp_path):
        before, after = self.trained(tmp_path, [False] * 5)
        net = BlockNetwork(self.BLOCKS, in_channels=1, num_classes=2, image_size=8, width=8, stages=2)
        norms = {
            f"{name}.{part}"
            for name, module in net.named_modules()
            if isinstance(module, _BatchNorm)
            for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        }
        assert self.moved(before, after) == norms


class TestCheck9Budget:
    """Never more different evaluations than allowed; a resumed search equals an uninterrupted one."""

    @pytest.mark.parametrize("arm", sorted(set(ARMS) - {"tpe"}))
    @pytest.mark.parametrize("budget", [1, 23, 57])
    def test_hard_and_without_repeats(self, arm, budget):
        known = {name: opinionated(CELLS, 3) for name in ("gpt", "null", "anti", "keep70")}
        search = make_search(arm, CELLS, SearchSettings(budget=budget, population=10), 5, known)
        order = sequence(search)
        assert len(order) == len(set(order)) == budget
        assert search.ask() == []

    def test_a_small_space_ends_the_search(self):
        space = Space("tiny", ("a", "b"), least=1, most=3)
        order = sequence(Search(space, SearchSettings(budget=500, population=5), 0, UniformPrior(space)))
        assert sorted(order) == sorted({*order})
        assert len(order) == space.size == 14

    @pytest.mark.parametrize("stop", [1, 17, 38])
    def test_resumed_equals_uninterrupted(self, stop, tmp_path):
        settings, prior = SearchSettings(budget=60, population=10), opinionated(CELLS)

        class Killed(Exception):
            pass

        paid: list[Candidate] = []

        def evaluate(candidate: Candidate) -> float:
            paid.append(candidate)
            if len(paid) == stop + 1 and not resumed:
                raise Killed
            return worth(candidate.individual)

        resumed = False
        with pytest.raises(Killed):
            run_search(
                Search(CELLS, settings, 7, prior), evaluate, ledger=Ledger(tmp_path / "trials.journal")
            )
        resumed = True
        again = run_search(
            Search(CELLS, settings, 7, prior), evaluate, ledger=Ledger(tmp_path / "trials.journal")
        )
        whole = run_search(Search(CELLS, settings, 7, prior), lambda c: worth(c.individual))
        assert again.history == whole.history
        assert (again.best, again.value) == (whole.best, whole.value)
        assert again.paid == 60 - stop
        assert len(paid) == 60 + 1  # the one that was interrupted is done again


class TestCheck10Proxy:
    """Twelve epochs predict two hundred, and searching on them loses little."""

    def test_rank_correlation(self, extra_data):
        proxy = load_nasbench201(
            "cifar10",
            tests=extra_data("nasbench201_cifar10.json"),
            proxy=extra_data("mini-bench-arch-cell-accs.csv"),
        )
        assert spearmanr(proxy.fitness, proxy.score).statistic == pytest.approx(0.77, abs=0.01)

    def test_searching_on_the_proxy_loses_little(self, extra_data, priors):
        tests = extra_data("nasbench201_imagenet.json")
        real = load_nasbench201("imagenet", tests=tests)
        cheap = load_nasbench201("imagenet", tests=tests, proxy=extra_data("mini-bench-arch-cell-accs.csv"))
        for arm in ("ga", "gpt"):
            means = [
                sweep(table, [arm], seeds=range(60), priors=priors).mean(arm, 100)[0]
                for table in (real, cheap)
            ]
            assert means[0] - means[1] < 0.6, arm

    def test_one_run_predicts_the_others(self, tables):
        """On the installed table: the run that chooses ranks cells as the runs that are reported."""
        for table in tables.values():
            assert spearmanr(table.fitness, table.score).statistic > 0.9
