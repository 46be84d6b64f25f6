"""The comparisons: arms, seeds and budgets."""

from visus.methods.nsi.claims.measures import measure_alignment, measure_laws
from visus.protocols import Experiment

_DATA = (
    "world of shaded solids (6 shapes, 8 colors, 3 sizes, 2 materials, textured grounds); half of the training "
    "pictures are crowded: 6 objects for 4 slots, two groups of three equal ones that touch; the galleries are the "
    "same for all seeds; every arm begins with the same reconstruction stage"
)
_GPU = (
    "gpu: 64 px, 20,000 training pictures, 3,000 steps of reconstruction and 10,000 of the arm's own loss, batch 128, "
    "2,000 queries in 2,000 pictures, plain and crowded; paper: as gpu"
)

EXPERIMENTS = (
    Experiment(
        name="laws",
        title="Laws of the bi-level score, the program encoder and the programs",
        title_zh="双层得分、程序编码器与程序的性质",
        arms=("built", "stated"),
        measure=measure_laws,
        seeds={"smoke": 1, "demo": 3, "gpu": 3, "paper": 3},
        budget="random tensors and 1,000 random scenes per seed, no training, the same in every preset",
    ),
    Experiment(
        name="alignment",
        title="Pictures and programs: retrieval, discovery and few-shot classes",
        title_zh="图像与程序：检索、物体发现与小样本分类",
        arms=("nsi", "hmc", "pooled", "ungrounded", "random"),
        measure=measure_alignment,
        seeds={"smoke": 1, "demo": 3, "gpu": 3, "paper": 3},
        budget=f"{_DATA}; smoke: 4 steps; demo: 32 px, 1,200 training pictures, 40 steps of reconstruction and 360 of "
        "the arm's own loss, batch 64, temperature 1, 250 queries in 2,000 plain pictures and 250 in 300 crowded ones, "
        f"20 pictures per few-shot class; {_GPU}, 100 pictures per few-shot class",
    ),
    Experiment(
        name="parts",
        title="What the interpreter consists of: one part changed at a time",
        title_zh="解释器的各个部分：每次只改变一处",
        arms=(
            "nsi",
            "hmc",
            "pooled",
            "hungarian",
            "no_transformer",
            "no_position",
            "no_reconstruction",
            "boxes",
            "ungrounded",
            "patches",
        ),
        measure=measure_alignment,
        seeds={"smoke": 0, "demo": 0, "gpu": 3, "paper": 3},
        budget=f"{_DATA}; smoke and demo: not measured; {_GPU}",
    ),
)
