"""The comparisons: arms, seeds and budgets."""

from collections.abc import Callable

from visus.methods.alignment.claims.arms import DEMO, GPU, SMOKE, Size
from visus.methods.alignment.claims.measures import (
    measure_concepts,
    measure_human,
    measure_images,
    measure_laws,
    measure_objective,
    measure_planted,
    measure_transfer,
    measure_words,
)
from visus.protocols import Experiment

_SEEDS = {"smoke": 1, "demo": 3, "gpu": 3, "paper": 3}
_ONCE = {"smoke": 1, "demo": 1, "gpu": 1, "paper": 1}
_VICE = "triplets are choices sampled from VICE"


def _probes(size: Size) -> str:
    passes = "pass" if size.epochs == 1 else "passes"
    return (
        f"{size.triplets:,} training triplets, batch {size.batch:,}, at most {size.epochs} {passes}, validation every "
        f"{size.check_every} steps, patience {size.patience}"
    )


def _all(told: str, tell: Callable[[Size], str]) -> str:
    """A budget with the three presets' own numbers."""
    return f"{told}; smoke: {tell(SMOKE)}; demo: {tell(DEMO)}; gpu: {tell(GPU)}; paper: as gpu"


def _halved(partitions: int, size: Size) -> str:
    return f"{2 * partitions} splits per seed, {size.judged:,} sampled test triplets, {_probes(size)}"


EXPERIMENTS = (
    Experiment(
        name="laws",
        title="Identities of losses, ties, partitions, files, penalties, tables and ceilings",
        title_zh="损失、平局、划分、文件、惩罚、概念表与上限的恒等式",
        arms=("built", "stated"),
        measure=measure_laws,
        seeds=_ONCE,
        budget="24 random objects in double precision, the same in every preset",
    ),
    Experiment(
        name="human",
        title="Texts of the THINGS objects against people's own choices",
        title_zh="THINGS 物体的文本与人类真实选择的比较",
        arms=(
            "random",
            "zero_shot",
            "zero_dot",
            "centered",
            "probe",
            "probe_identity",
            "glocal",
            "ridge",
            "vice",
            "ceiling",
            "shuffled",
        ),
        measure=measure_human,
        seeds=_SEEDS,
        budget=_all(
            f'MiniLM on "name: definition" (smoke: name) of 1,854 objects, half of them unseen; '
            f"{_VICE} among the training objects; a quarter of the 20,000 real trials lie within either half",
            lambda size: _halved(size.partitions, size),
        ),
    ),
    Experiment(
        name="images",
        title="Photographs of the THINGS objects against VICE's choices",
        title_zh="THINGS 物体的照片与 VICE 选择的比较",
        arms=(
            "zero_shot",
            "logits",
            "centered",
            "probe",
            "probe_identity",
            "glocal",
            "ridge",
            "vice",
            "noise",
        ),
        measure=measure_images,
        seeds=_SEEDS,
        budget=_all(
            f"EfficientNet-Lite0 on photographs of the concepts that ImageNet has, half of them unseen; {_VICE}; "
            "probes learn in the basis of the space that the features span",
            lambda size: _halved(size.photo_partitions, size),
        ),
    ),
    Experiment(
        name="transfer",
        title="A transform learned on THINGS photographs, on 92 pictures judged by others",
        title_zh="在 THINGS 照片上学得的变换用于他人判断的 92 幅图片",
        arms=(
            "pixels",
            "random",
            "zero_shot",
            "ridge",
            "probe_identity",
            "orthogonal",
            "shuffled",
            "ceiling_lower",
            "ceiling_upper",
        ),
        measure=measure_transfer,
        seeds=_SEEDS,
        budget=_all(
            "learned on all concepts with photographs and nothing else; cosine distances against the mean of 16 "
            "people; the untrained network sees pictures of half the side",
            lambda size: f"{size.pictures} pictures, {size.folds} folds, {_probes(size)}",
        ),
    ),
    Experiment(
        name="words",
        title="A transform learned on THINGS names, on words judged by others",
        title_zh="在 THINGS 名称上学得的变换用于他人评定的词对",
        arms=("zero_shot", "ridge", "shuffled"),
        measure=measure_words,
        seeds=_SEEDS,
        budget="MiniLM on single words; 666 noun pairs of SimLex-999 and 353 of WordSim-353, drawn with replacement "
        "per seed, the same in every preset",
    ),
    Experiment(
        name="objective",
        title="Width, objective and data of small networks against a made-up observer",
        title_zh="小网络的宽度、目标与数据，以及合成观察者",
        arms=(
            "supervised_narrow",
            "supervised_wide",
            "simclr_narrow",
            "simclr_wide",
            "random_narrow",
            "random_wide",
            "supervised_other",
        ),
        measure=measure_objective,
        seeds=_SEEDS,
        budget=_all(
            "scenes of one object at 32 px, other pictures for the test; the observer weighs shape 1, color 0.8, size "
            "0.6, material 0.4; supervised networks name shape and color",
            lambda size: (
                f"{size.scenes:,} training and {size.unseen:,} test pictures, {size.steps:,} steps of "
                f"{size.scene_batch}, {size.width} or {2 * size.width} channels first"
            ),
        ),
    ),
    Experiment(
        name="planted",
        title="A world in which the truth is a linear map away",
        title_zh="真相只差一个线性映射的合成世界",
        arms=("zero_shot", "probe", "probe_identity", "ridge", "hidden"),
        measure=measure_planted,
        seeds=_SEEDS,
        budget=_all(
            "world of concepts: a hidden sparse embedding, mixed linearly with nuisance; a quarter of the "
            "objects unseen",
            lambda size: f"{size.objects} objects, {size.planted:,} triplets",
        ),
    ),
    Experiment(
        name="concepts",
        title="Which concepts a network sees: errors by what decides a triplet",
        title_zh="网络能看到哪些概念：按决定三元组的概念划分的误差",
        arms=("food_animal", "other"),
        measure=measure_concepts,
        seeds=_SEEDS,
        budget=_all(
            f"EfficientNet-Lite0 on photographs, cosine of the features as they are; {_VICE}",
            lambda size: f"{size.judged:,} triplets",
        ),
    ),
)
