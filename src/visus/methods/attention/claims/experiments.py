"""The comparisons: arms, seeds and budgets."""

from visus.methods.attention.claims.measures import (
    measure_conversion,
    measure_crossover,
    measure_digits,
    measure_parameters,
    measure_reviews,
    measure_speed,
)
from visus.nn.attention import KINDS
from visus.protocols import Experiment

EXPERIMENTS = (
    Experiment(
        name="parameters",
        title="Parameters of one layer at d = l = 32",
        title_zh="d = l = 32 时单层的参数量",
        arms=KINDS,
        measure=measure_parameters,
        seeds={"smoke": 1, "demo": 1, "gpu": 1, "paper": 1},
        budget="counted on the modules, the same in every preset",
    ),
    Experiment(
        name="crossover",
        title="Operations of Super and standard attention around l = 2 d",
        title_zh="l = 2d 附近超级注意力与标准注意力的运算量",
        arms=("standard", "super"),
        measure=measure_crossover,
        seeds={"smoke": 1, "demo": 1, "gpu": 1, "paper": 1},
        budget="counted by torch's flop counter, d = 16, l = 31, 32, 64, the same in every preset",
    ),
    Experiment(
        name="conversion",
        title="A one-head layer before and after conversion",
        title_zh="单头注意力层转换前后的对比",
        arms=("standard", "efficient"),
        measure=measure_conversion,
        seeds={"smoke": 1, "demo": 1, "gpu": 1, "paper": 1},
        budget="random weights, d = 64, 20 tokens, causal, float64, the same in every preset",
    ),
    Experiment(
        name="digits",
        title="8x8 digits, 16 tokens of fixed place",
        title_zh="8x8 手写数字，16 个位置固定的词元",
        arms=(*KINDS, "standard_equal_parameters", "super_frozen", "efficient_mixed", "mixer"),
        measure=measure_digits,
        seeds={"smoke": 1, "demo": 5, "gpu": 10, "paper": 10},
        budget="900 training and 897 test images, best epoch by validation loss; smoke: 1 layer of width 16, "
        "2 epochs; demo: 2 layers of width 64, 25 epochs; gpu: as demo, more seeds; paper: as gpu",
    ),
    Experiment(
        name="reviews",
        title="Made-up film reviews, read up to a number of words",
        title_zh="合成影评，只读取限定数量的词",
        arms=KINDS,
        measure=measure_reviews,
        seeds={"smoke": 1, "demo": 5, "gpu": 5, "paper": 5},
        budget="1,000 test reviews, best epoch by validation loss; smoke: 300 training reviews, 24 words, 1 layer "
        "of width 16, 2 epochs; demo: 3,000 reviews, 32 words, 1 layer of width 32, 6 epochs; gpu: 20,000 "
        "reviews, 48 words, 4 layers of width 128, 15 epochs; paper: 20,000 reviews, the last 32 words, 1 layer "
        "of width 32, 10 epochs",
    ),
    Experiment(
        name="baselines",
        title="8x8 digits: other ways to save or to mix",
        title_zh="8x8 手写数字：其他节省计算或混合词元的方法",
        arms=("super", "efficient", "super_eye", "mqa", "linformer"),
        measure=measure_digits,
        seeds={"smoke": 0, "demo": 0, "gpu": 10, "paper": 10},
        budget="as the digits experiment; smoke and demo: not measured; gpu: as demo of digits, 10 seeds; "
        "paper: as gpu",
    ),
    Experiment(
        name="speed",
        title="Forward pass against fused standard attention",
        title_zh="前向计算与融合标准注意力的速度对比",
        arms=KINDS,
        measure=measure_speed,
        seeds={"smoke": 1, "demo": 3, "gpu": 5, "paper": 5},
        budget="d = 512, l = 128 and d = 128, l = 512; best of interleaved rounds, float32; on a CPU one thread; "
        "seconds per size: smoke: 0.1; demo: 1; gpu: 2; paper: as gpu",
        exclusive=True,
    ),
)
