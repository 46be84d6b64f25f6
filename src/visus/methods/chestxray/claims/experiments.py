"""The comparisons: arms, seeds and budgets."""

from visus.methods.chestxray.claims.arms import DEMO, GPU, Lengths, Size
from visus.methods.chestxray.claims.measures import measure_contest, measure_laws, measure_pretrained
from visus.protocols import Experiment

_LARGE_ONLY = {"smoke": 0, "demo": 0, "gpu": 3, "paper": 3}


def _stages(lengths: Lengths) -> str:
    return " + ".join(str(length) for length in lengths)


def _told(size: Size) -> str:
    """Sizes of a preset in words."""
    height, width = size.image
    return (
        f"{width} x {height} px, {size.train:,} training and {size.test:,} test images, {size.backbone}, "
        f"{size.base_channels} base channels, batch {size.batch}, {size.joint} epochs for all that trains at once, "
        f"stages {_stages(size.total)} (as many updates in all) or {_stages(size.module)} (as many of every module)"
    )


_DATA = (
    "world of made-up torsos, projected to radiographs (Normal, CHF, pneumonia) with a simulated reader; patients of a "
    "validation share choose epochs, the test images choose nothing"
)
_GPU = f"gpu: {_told(GPU)}, bf16; paper: as gpu"

EXPERIMENTS = (
    Experiment(
        name="laws",
        title="Identities of densities, losses, stages and the network",
        title_zh="密度图、损失、训练阶段与网络的恒等式",
        arms=("built", "stated"),
        measure=measure_laws,
        seeds={"smoke": 1, "demo": 1, "gpu": 3, "paper": 3},
        budget="random weights and tensors in double precision, stages of one epoch on noise, the same in every preset",
    ),
    Experiment(
        name="stages",
        title="Stages against joint training, gaze against none, one part changed at a time",
        title_zh="分阶段与联合训练、有无注视，以及每次只改变一处的比较",
        arms=(
            "staged_total",
            "staged_module",
            "staged_head",
            "staged_no_triplet",
            "joint",
            "fixed",
            "mtunet",
            "res_se",
            "unet",
            "dense",
            "gaze_mtl",
            "no_gaze",
            "shuffled",
            "mean_map",
            "center",
        ),
        measure=measure_contest,
        seeds={"smoke": 1, "demo": 3, "gpu": 3, "paper": 3},
        budget=f"{_DATA}; smoke: 24 images, 4 epochs; demo: {_told(DEMO)}; {_GPU}; without triplets the classification "
        f"stage is longer, where the last stage trains the head alone stages last {_stages(DEMO.head)} (gpu: "
        f"{_stages(GPU.head)})",
    ),
    Experiment(
        name="large",
        title="What small images cannot show: the classifier's view of the map, and Grad-CAM",
        title_zh="小图像无法检验的内容：分类器对密度图特征的利用与 Grad-CAM",
        arms=("staged_module", "staged_dense_only", "joint", "dense"),
        measure=measure_contest,
        seeds=_LARGE_ONLY,
        budget=f"{_DATA}; smoke and demo: not measured; {_GPU}",
    ),
    Experiment(
        name="pretrained",
        title="Dense encoders that come pre-trained",
        title_zh="预训练的稠密编码器",
        arms=("pool_staged", "pool_joint", "joint", "mtunet", "lite_staged", "lite_joint"),
        measure=measure_pretrained,
        seeds=_LARGE_ONLY,
        budget=f"{_DATA}; smoke and demo: not measured; {_GPU}, but a {GPU.small} dense encoder; pool: trained before "
        f"on {GPU.pool:,} other images by sex and age; lite: EfficientNet-Lite0 with ImageNet weights",
    ),
)
