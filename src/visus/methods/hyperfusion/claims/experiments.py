"""Arms, seeds and budgets, and how one arm is measured with one seed."""

from __future__ import annotations

import dataclasses
from typing import Any

from visus.methods.hyperfusion.config import PRESETS, HyperFusionConfig
from visus.protocols import Experiment, Run, Scores, Trial

XOR_ARMS = (
    "hyper",
    "concat",
    "concat_matched",
    "image",
    "tabular",
    "film",
    "daft",
    "film_centered",
    "daft_centered",
    "gbm_features",
    "majority",
)
CLINIC_ARMS = ("hyper", "paper_ad", "concat", "image", "tabular", "film", "daft")
GAP_ARMS = ("indicators", "fill", "indicators_at_random", "fill_at_random")


def measure_xor(trial: Trial, run: Run) -> Scores:
    """y = (digit >= 5) xor key."""
    from visus.data.worlds import digits

    n, n_test = _size(trial, smoke=(80, 60), demo=(600, 597), gpu=(1200, 597))
    world = digits.make("xor", n=n, n_test=n_test, seed=trial.seed)
    if trial.arm == "majority":
        return _majority(world)
    return _scores(_config(trial, epochs=20, fusion=trial.arm), world, run)


def measure_rules(trial: Trial, run: Run) -> Scores:
    """Four questions about a digit, chosen by a categorical column."""
    from visus.data.worlds import digits

    n, n_test = _size(trial, smoke=(80, 60), demo=(900, 597), gpu=(1200, 597))
    world = digits.make("four_rules", n=n, n_test=n_test, seed=trial.seed)
    arms: dict[str, dict[str, Any]] = {"fc1": {}, "paper_ad": {"position": "paper_ad"}}
    return _scores(_config(trial, epochs=20, **arms.get(trial.arm, {"fusion": trial.arm})), world, run)


def measure_gaps(trial: Trial, run: Run) -> Scores:
    """XOR with 40 % of the keys missing: those of value 1 more often, or at random."""
    from visus.data.worlds import digits

    n, n_test = _size(trial, smoke=(80, 60), demo=(600, 597), gpu=(1200, 597))
    chance = "mcar" if trial.arm.endswith("_at_random") else "mnar"
    world = digits.make("xor", n=n, n_test=n_test, seed=trial.seed, missing=0.4, mechanism=chance)
    config = _config(
        trial, epochs=20, missing=trial.arm.removesuffix("_at_random"), columns={"key": "binary"}
    )
    return _scores(config, world, run)


def measure_age(trial: Trial, run: Run) -> Scores:
    """Age from a head whose ventricles grow with a slope that depends on sex."""
    import numpy as np

    from visus.data.worlds import phantom
    from visus.metrics import mae

    n, n_test = _size(trial, smoke=(24, 16), demo=(400, 200), gpu=(2000, 500))
    large = trial.preset in ("gpu", "paper")
    shape = (32, 40, 32) if large else (16, 20, 16)
    world = phantom.make("age", n=n, n_test=n_test, shape=shape, seed=trial.seed)
    if trial.arm == "ceiling":
        truth = world.test_truth
        best = phantom.bayes_age(truth["ventricle_ml"].to_numpy(), list(truth["sex"]))
        return {"mae": float(mae(np.asarray(world.test.targets, dtype=float), best))}
    kinds = {"PTGENDER": "categorical", "PTEDUCAT": "continuous", "APOE4": "continuous"}
    config = _config(trial, epochs=24, fusion=trial.arm, columns=kinds, task="regression", stem_pool=large)
    if not large:
        # half the resolution keeps the ventricles' volume, which is all that depends on age
        config = dataclasses.replace(config, image_size=(8, 10, 8), width=4, dropout=0.0, learning_rate=8e-3)
        config = dataclasses.replace(config, batch_size=32, schedule="cosine", check_every=2)
    return _scores(config, world, run)


def measure_clinic(trial: Trial, run: Run) -> Scores:
    """Diagnosis from a hippocampus-like volume and a table of nine variables with the real table's gaps."""
    import torch

    from visus.data.worlds import phantom

    n, n_test = _size(trial, smoke=(20, 10), demo=(300, 200), gpu=(3000, 1000))
    shape = (64, 96, 64) if trial.preset in ("gpu", "paper") else (16, 20, 16)
    dtype = torch.float16 if trial.preset in ("gpu", "paper") else torch.float32
    world = phantom.make("diagnosis", n=n, n_test=n_test, shape=shape, seed=trial.seed, dtype=dtype)
    arm = {"position": "paper_ad"} if trial.arm == "paper_ad" else {"fusion": trial.arm}
    numbers = ("AGE", "PTEDUCAT", "APOE4", "FDG", "AV45", "ABETA", "TAU", "PTAU")
    kinds = {**dict.fromkeys(numbers, "continuous"), "PTGENDER": "categorical"}
    config = _config(trial, epochs=30, columns=kinds, classes=phantom.CLASSES, stem_pool=True, **arm)
    return _scores(config, world, run)


def measure_exact(trial: Trial, run: Any) -> Scores:
    """Counts and identities of the networks; no training."""
    import torch

    from visus.methods.hyperfusion.model import AgeNet, FusionResNet, Sizes, conditioned_layers
    from visus.nn.hyper import hyperize

    if trial.arm == "stated":
        # 128 to 256 channels by a 1x1x1 kernel; 64 maps of 7x11x8; no difference at all
        numbers = {"weights": 128 * 256, "biases": 256, "flat": 64 * 7 * 11 * 8, "distance": 0, "neighbor": 0}
        return {name: float(value) for name, value in numbers.items()}
    diagnosis = Sizes(channels=1, columns=16, outputs=3, space=(64, 96, 64))
    with torch.device("meta"):
        ((layer, _),) = list(conditioned_layers(FusionResNet(diagnosis, position="paper_ad")))
        flat = AgeNet(Sizes(channels=1, columns=2, outputs=1, space=(90, 120, 99))).flat
    with run.seeded("exact"):
        sizes = Sizes(channels=1, columns=3, outputs=2, space=(8, 8))
        plain = FusionResNet(sizes, fusion="image", width=4, blocks=3).eval()
        image, row = torch.randn(6, 1, 8, 8), torch.randn(6, 3)
        wrapped = hyperize(plain, ["blocks.2.shortcut", "fc1"], cond_dim=3)
        distance = (wrapped(image, row, cond=row) - plain(image, row)).abs().max()
        net = FusionResNet(sizes, position="paper_ad", width=4, blocks=3).double().eval()
        image, row = image.double(), row.double()
        together = net(image, row)
        alone = torch.cat([net(image[i : i + 1], row[i : i + 1]) for i in range(6)])
    weights, biases = layer.emits
    return {
        "weights": float(weights),
        "biases": float(biases),
        "flat": float(flat),
        "distance": float(distance.detach()),
        "neighbor": round(float((together - alone).detach().abs().max()), 9),
    }


def _config(trial: Trial, *, epochs: int, **changes: Any) -> HyperFusionConfig:
    base = PRESETS["demo" if trial.preset == "demo" else "smoke" if trial.preset == "smoke" else "gpu"]
    if trial.preset == "smoke":
        return dataclasses.replace(base, **{**changes, "epochs": 1, "imputer": "median"})
    if trial.preset == "demo":
        return dataclasses.replace(base, **{"epochs": epochs, **changes})
    return dataclasses.replace(base, **{**changes, "stem_pool": changes.get("stem_pool", False)})


def _size(trial: Trial, **sizes: tuple[int, int]) -> tuple[int, int]:
    """(training, test) items of the preset."""
    return sizes.get(trial.preset, sizes["gpu"])


def _scores(config: HyperFusionConfig, world: Any, run: Any) -> Scores:
    from visus.methods.hyperfusion.estimator import HyperFusion

    return HyperFusion(config).fit(world.train, run).evaluate(world.test, intervals=False)


def _majority(world: Any) -> Scores:
    from visus.metrics import accuracy, balanced_accuracy

    train, test = world.train.targets, world.test.targets
    guess = [max(set(train), key=train.count)] * len(test)
    return {"balanced_accuracy": balanced_accuracy(test, guess), "accuracy": accuracy(test, guess)}


def _digits_budget(n: int) -> str:
    """Budget of an experiment on digits that trains on `n` of them in preset demo."""
    return (
        f"8x8 digits; demo: {n} training and 597 test, 20 epochs, width 8, three blocks; gpu and paper: 1,200 "
        "and 597, 60 epochs, width 16, four blocks; smoke: 80 and 60, 1 epoch, width 4, three blocks"
    )


EXPERIMENTS = (
    Experiment(
        name="xor",
        title="Digits whose label is (digit >= 5) xor a table column",
        title_zh="数字图像：标签 =（数字 ≥ 5）异或 表格列",
        arms=XOR_ARMS,
        measure=measure_xor,
        seeds={"smoke": 1, "demo": 5, "gpu": 5, "paper": 5},
        budget=_digits_budget(600),
    ),
    Experiment(
        name="four_rules",
        title="Digits with four questions, chosen by a table column",
        title_zh="数字图像：由表格列选择的四个问题",
        arms=("fc1", "paper_ad", "concat", "concat_matched"),
        measure=measure_rules,
        seeds={"smoke": 1, "demo": 5, "gpu": 5, "paper": 5},
        budget=_digits_budget(900),
    ),
    Experiment(
        name="gaps",
        title="The same with 40 % of the column missing, by value or at random",
        title_zh="同上，但表格列缺失 40%（与取值有关，或随机）",
        arms=GAP_ARMS,
        measure=measure_gaps,
        seeds={"smoke": 1, "demo": 5, "gpu": 5, "paper": 5},
        budget=_digits_budget(600),
    ),
    Experiment(
        name="phantom_age",
        title="Age from a head phantom whose ventricles grow at a sex-dependent rate",
        title_zh="头部仿体的年龄预测：脑室增长速度取决于性别",
        arms=("hyper", "concat", "image", "tabular", "ceiling"),
        measure=measure_age,
        seeds={"smoke": 1, "demo": 5, "gpu": 5, "paper": 5},
        budget="demo: 400 training and 200 test volumes of 16x20x16 halved, 24 epochs, width 4, three blocks; "
        "gpu and paper: 2,000 and 500 of 32x40x32, 60 epochs, width 16, four blocks; "
        "smoke: 24 and 16 of 16x20x16 halved, 1 epoch, width 4, three blocks",
    ),
    Experiment(
        name="phantom_clinic",
        title="Diagnosis from a head phantom and nine variables with gaps, with the published architecture and "
        "position (our training budget)",
        title_zh="头部仿体与九个（有缺失的）变量的诊断，采用论文的网络结构与位置（训练预算由我们设定）",
        arms=CLINIC_ARMS,
        measure=measure_clinic,
        seeds={"smoke": 0, "demo": 0, "gpu": 3, "paper": 3},
        budget="gpu and paper: 3,000 training and 1,000 test volumes of 64x96x64, 60 epochs, width 16, "
        "four blocks; smoke and demo: not measured",
    ),
    Experiment(
        name="exact",
        title="Counts and identities of the networks",
        title_zh="网络的计数与恒等式",
        arms=("built", "stated"),
        measure=measure_exact,
        seeds={"smoke": 1, "demo": 1, "gpu": 1, "paper": 1},
        budget="every preset: no training",
    ),
)
