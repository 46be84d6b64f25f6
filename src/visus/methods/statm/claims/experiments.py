"""The comparisons: arms, seeds and budgets."""

from visus.methods.statm.claims.costs import measure_operations, measure_time
from visus.methods.statm.claims.hidden import measure_hidden
from visus.methods.statm.claims.laws import measure_laws
from visus.methods.statm.claims.occlusion import measure_occlusion
from visus.methods.statm.claims.tokens import measure_tokens
from visus.protocols import Experiment

_ONCE = {"smoke": 1, "demo": 1, "gpu": 1, "paper": 1}
_LARGE_ONLY = {"smoke": 0, "demo": 0, "gpu": 3, "paper": 3}
_TOKENS = (
    "three equal balls that collide in a box, tokens of place and identity, blocks of 64 numbers, 8 frames seen, "
    "6 foretold, judged on 512 new clips"
)

EXPERIMENTS = (
    Experiment(
        name="laws",
        title="What holds for every weight: order, independence, streaming",
        title_zh="对任何权重都成立的性质：顺序、独立性、流式处理",
        arms=("built", "stated"),
        measure=measure_laws,
        seeds={"smoke": 1, "demo": 3, "gpu": 5, "paper": 5},
        budget="random weights and clips of 24 frames in double precision, the same in every preset but for the "
        "number of instances",
    ),
    Experiment(
        name="operations",
        title="Multiply-adds of a step as the memory grows",
        title_zh="一步的乘加次数随记忆增长的情况",
        arms=("counted", "stated"),
        measure=measure_operations,
        seeds=_ONCE,
        budget="11 slots of 128 numbers, 23 to 25 frames in memory, counted while torch runs the step, the same in "
        "every preset",
    ),
    Experiment(
        name="time",
        title="Time of a step as the memory grows",
        title_zh="一步的耗时随记忆增长的情况",
        arms=("cs", "cs_restacked", "joint"),
        measure=measure_time,
        seeds={"smoke": 1, "demo": 3, "gpu": 3, "paper": 3},
        budget="11 slots of 128 numbers, 24 and 96 frames in memory, median step; joint: one layer over all slots of "
        "all frames; smoke: batch 1, 2 repeats; demo: batch 4, 30 repeats, processor time; gpu: batch 64, 60 "
        "repeats; paper: as gpu",
        exclusive=True,
    ),
    Experiment(
        name="tokens",
        title="Colliding balls as tokens: one step and roll-outs of every kind of memory",
        title_zh="以标记表示的碰撞小球：各种记忆的一步预测与推演",
        arms=("copy", "same_speed", "savi", "mlp", "lstm", "cs", "cs_2", "cs_time", "as", "as_time"),
        measure=measure_tokens,
        seeds={"smoke": 1, "demo": 5, "gpu": 5, "paper": 5},
        budget=f"{_TOKENS}; smoke: 3 steps; demo: 230 steps of 24 clips; gpu: 3,000 steps of 64 clips, 4,096 new "
        "clips; paper: as gpu",
    ),
    Experiment(
        name="designs",
        title="Colliding balls as tokens: fusions, buffers, positions, and transformers over the whole history",
        title_zh="以标记表示的碰撞小球：融合方式、缓冲长度、位置编码，以及在全部历史上的变换器",
        arms=(
            "sum",
            "space_then_time",
            "time_then_space",
            "shared_residual",
            "buffer_1",
            "buffer_2",
            "buffer_6",
            "buffer_2_time",
            "all_time",
            "all_sin",
            "slotformer",
            "ocvp",
        ),
        measure=measure_tokens,
        seeds=_LARGE_ONLY,
        budget=f"{_TOKENS}; smoke and demo: not measured; gpu: 3,000 steps of 64 clips, 4,096 new clips; paper: as "
        "gpu",
    ),
    Experiment(
        name="hidden",
        title="Hidden behind a panel: where is the object when it comes out? (true boxes stand for perception)",
        title_zh="被挡板遮住：物体再次出现时在哪里？（以真实边界框代替感知）",
        arms=("same_speed", "savi", "cs", "cs_time"),
        measure=measure_hidden,
        seeds={"smoke": 1, "demo": 3, "gpu": 5, "paper": 5},
        budget="world of moving scenes with gravity, collisions and panels, 3 objects, 24 frames; slots of 64 "
        "numbers, a recurrent cell per object sees its box while it is visible; smoke: 2 steps; demo: 200 steps of 16 "
        "videos, 128 videos, 96 new ones; gpu: 3,000 steps of 64, 2,000 videos, 500 new ones; paper: as gpu",
    ),
    Experiment(
        name="occlusion",
        title="Objects that vanish behind panels and come out again",
        title_zh="被挡板遮住后再次出现的物体",
        arms=("savi", "cs", "cs_time", "as", "unchanged"),
        measure=measure_occlusion,
        seeds=_LARGE_ONLY,
        budget="world of moving scenes, 2 to 5 objects, boxes in the first frame, backward flow decoded, training on "
        "clips of 6 frames, judged on whole videos; smoke and demo: not measured; gpu: 600 videos of 24 frames at "
        "64x64, 6,000 steps of 32 clips, 1,500 steps for roll-outs, 100 new videos; paper: as gpu",
    ),
)
