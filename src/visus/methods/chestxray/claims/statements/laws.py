"""Identities of densities, losses, stages and the network: no training decides them."""

from visus.methods.chestxray.claims.statements.making import law

LAWS = (
    law(
        "density-sums-to-one",
        "density_error",
        "The predicted map is a probability density: it sums to 1 over the pixels of every image, of any size.",
        "预测图是概率密度：无论图像尺寸，每幅图像的像素之和为 1。",
        origin="paper",
    ),
    law(
        "padding-is-removed",
        "padding_error",
        "An image whose sides are no multiples of 32 is padded by its border; the padding is cut off before the "
        "saliency head, so that no probability lies on it.",
        "边长不是 32 的倍数时以边缘像素填充；填充在显著性头之前裁掉，因此其上没有概率。",
    ),
    law(
        "batch-mates-do-not-matter",
        "neighbor_error",
        "Probabilities and map of an image do not depend on the images beside it in the batch.",
        "一幅图像的概率与密度图不受同批其他图像影响。",
    ),
    law(
        "fused-vector-is-1984",
        "fusion_width",
        "The diagnosis reads 1,920 means of the dense encoder and 64 of the decoder: 1,984 numbers.",
        "诊断头读取稠密编码器的 1,920 个均值与解码器的 64 个均值，共 1,984 个数。",
        origin="paper",
    ),
    law(
        "parameters-as-published",
        "parameters",
        "With DenseNet-201, 64 base channels and three classes the network has 66,643,143 parameters.",
        "采用 DenseNet-201、64 个基础通道和三个类别时，网络有 66,643,143 个参数。",
        origin="paper",
        caveat="Needs MONAI, which builds DenseNet-201.",
        caveat_zh="需要 MONAI 来构建 DenseNet-201。",
    ),
    law(
        "saliency-loss-of-truth-is-zero",
        "kl_of_truth",
        "The saliency loss of the true density is 0.",
        "真实密度的显著性损失为 0。",
        origin="paper",
    ),
    law(
        "saliency-loss-is-per-image",
        "kl_loop_error",
        "The saliency loss is the sum of p log(p / q) over the pixels of each image, as a plain loop computes it.",
        "显著性损失是每幅图像各像素 p log(p/q) 之和，与逐项循环的结果一致。",
        origin="paper",
    ),
    law(
        "missing-gaze-counts-nothing",
        "missing_gaze",
        "An image without gaze adds exactly 0 to the saliency loss and to its gradient.",
        "没有注视数据的图像对显著性损失及其梯度的贡献恰为 0。",
    ),
    law(
        "uncertainty-at-start",
        "uncertainty_error",
        "At log sigma = 0 the weighted loss is CE + ln 2 + KL / 2 + ln 2.",
        "log sigma = 0 时，加权损失为 CE + ln 2 + KL/2 + ln 2。",
        origin="paper",
    ),
    law(
        "triplets-as-loop",
        "triplet_error",
        "The triplet loss over all valid triplets of a batch equals a loop over all three indices.",
        "批内全部有效三元组的损失与三重循环一致。",
        origin="paper",
    ),
    law(
        "one-class-has-no-triplets",
        "one_class_triplets",
        "A batch of one class has a triplet loss of 0 with gradient 0.",
        "只含一个类别的批次，其三元组损失与梯度均为 0。",
    ),
    law(
        "frozen-encoder-stays",
        "frozen_changes",
        "In the saliency stage not one bit of the dense encoder changes, running statistics included.",
        "在显著性阶段，稠密编码器（含滑动统计量）一位都不变。",
        origin="paper",
    ),
    law(
        "first-stages-leave-the-decoder",
        "early_changes",
        "The contrastive and the classification stage leave the second encoder, the decoder and the heads of the last "
        "stage untouched.",
        "对比阶段与分类阶段不改动第二编码器、解码器及最后阶段的头部。",
        origin="paper",
    ),
    law(
        "head-stage-trains-the-head",
        "head_changes",
        "A last stage that trains the head alone changes nothing else.",
        "最后阶段若只训练头部，则其余部分不变。",
    ),
    law(
        "durations-are-mass",
        "duration_mass_error",
        "Two distant fixations of 1 and 3 seconds carry mass 1 to 3 by duration, and 1 to 1 by count.",
        "两个相距较远、时长 1 秒与 3 秒的注视点，按时长加权的质量比为 1:3，按次数为 1:1。",
    ),
    law(
        "many-hits-do-not-wrap",
        "wrapped_mass",
        "200 fixations on one pixel weigh 200 times one fixation elsewhere: counts do not wrap at 128.",
        "同一像素上的 200 次注视的权重是别处一次注视的 200 倍：计数不会在 128 处溢出。",
    ),
    law(
        "spread-follows-scale",
        "spread_error",
        "A fixation's spread in a smaller map is sigma times the scale (within 2 %).",
        "缩小的密度图中，注视点的扩散等于 sigma 乘以缩放比例（误差 2% 以内）。",
    ),
)
