"""The comparisons: arms, seeds and budgets."""

from visus.methods.vgloss.claims.arms import (
    CHANCE,
    CLIP,
    CONFUSABLE,
    CONTRAST,
    DEMO,
    FOLDS,
    GPU,
    LANGUAGE,
    PROXY,
    SMOKE,
    Size,
)
from visus.methods.vgloss.claims.measures import (
    measure_clip,
    measure_confusable,
    measure_contrast,
    measure_language,
    measure_laws,
    measure_lexicon,
    measure_proxy,
)
from visus.protocols import Experiment

_SEEDS = {"smoke": 1, "demo": 3, "gpu": 3, "paper": 3}
_ONCE = {"smoke": 1, "demo": 1, "gpu": 1, "paper": 1}
_PROXY = (
    f"classes of ImageNet with one photograph each, cut into {FOLDS} folds by the seed; texts by MiniLM, pictures by "
    "EfficientNet-Lite0 (trained on all these classes), a kernel ridge regression from texts to classifier rows "
    "learned in every fold from the other folds' classes; the choice of classes and the random texts are the same for "
    "all seeds"
)


def _classes(size: Size) -> str:
    ridge = f"ridge {size.ridge:g}" if size.ridge else "ridge by cross-validation in every fold"
    return f"{size.classes:,} classes, {ridge}"


def _towers(size: Size) -> str:
    told = size.towers
    return (
        f"{size.captioned:,} captioned pictures of {told.image_size} px, {told.epochs} epochs, width {told.width}, "
        f"{size.unseen} unseen kinds on {size.judged:,} pictures"
    )


def _of_presets(told: dict[str, str]) -> str:
    return "; ".join(f"{name}: {words}" for name, words in told.items()) + "; paper: as gpu"


_SIZES = {"smoke": SMOKE, "demo": DEMO, "gpu": GPU}

EXPERIMENTS = (
    Experiment(
        name="laws",
        title="Identities of the classifier, the contrastive texts, the cache and the exchange formats",
        title_zh="分类器、对比描述、缓存与交换格式的恒等式",
        arms=("built", "stated"),
        measure=measure_laws,
        seeds=_ONCE,
        budget="random texts and rows in double precision, no model, the same in every preset",
    ),
    Experiment(
        name="lexicon",
        title="Class labels become WordNet concepts",
        title_zh="类别标签映射为 WordNet 概念",
        arms=("built", "stated"),
        measure=measure_lexicon,
        seeds=_ONCE,
        budget="ImageNet's 1,000 ids and a few small label sets, WordNet 3.0, the same in every preset",
    ),
    Experiment(
        name="proxy",
        title="Texts of unseen classes name real photographs",
        title_zh="未见类别的文本为真实照片命名",
        arms=PROXY,
        measure=measure_proxy,
        seeds=_SEEDS,
        budget=f"{_PROXY}; {_of_presets({name: _classes(size) for name, size in _SIZES.items()})}",
    ),
    Experiment(
        name="language",
        title="What a language model of 135 million parameters writes",
        title_zh="1.35 亿参数的语言模型写出的描述",
        arms=LANGUAGE,
        measure=measure_language,
        seeds={**_SEEDS, "smoke": 0},
        budget="SmolLM2-135M-Instruct, greedy, one worked example, one sentence a class; a class without a usable "
        "sentence goes by its name; as many classes to choose from as are described, the map learned from names and "
        "dictionary entries of the other classes; smoke: not measured; "
        + _of_presets(
            {
                name: f"{size.written} classes per seed, at most {size.tokens} tokens, of {_classes(size)}"
                for name, size in _SIZES.items()
                if name != "smoke"
            }
        ),
    ),
    Experiment(
        name="contrast",
        title="Contrastive sentences where everything is known",
        title_zh="真相已知的世界中的对比描述",
        arms=CONTRAST,
        measure=measure_contrast,
        seeds=_SEEDS,
        budget="pictures and texts are noisy sums of attribute directions; the two classes of a pair differ in one "
        "attribute; two descriptions a class, each of two of six attributes; contrastive sentences are added to them; "
        + _of_presets(
            {name: f"{size.pairs} pairs, {size.pictures:,} pictures" for name, size in _SIZES.items()}
        ),
    ),
    Experiment(
        name="confusable",
        title="Contrastive sentences for real classes that are easily confused",
        title_zh="真实易混类别的对比描述",
        arms=CONFUSABLE,
        measure=measure_confusable,
        seeds=_SEEDS,
        budget=f"{_PROXY}; descriptions without a language model; the pictures are photographs and classifier rows; "
        + _of_presets(
            {
                name: f"folds {size.confused}, most neighbors {size.neighbors}, {_classes(size)}"
                for name, size in _SIZES.items()
            }
        ),
    ),
    Experiment(
        name="clip",
        title="A small CLIP of our own and classes under names that say nothing",
        title_zh="自训练的小型 CLIP 与无意义名称的类别",
        arms=(*CLIP, CHANCE),
        measure=measure_clip,
        seeds=_SEEDS,
        budget="close pictures of single solids with captions in changing words; classes are combinations of size, "
        "color, material and shape that no training picture shows, four descriptions each; one network a seed for all "
        f"arms; {_of_presets({name: _towers(size) for name, size in _SIZES.items()})}",
    ),
)
