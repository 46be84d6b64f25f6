"""Identities of losses, ties, partitions, files, penalties, tables, closed forms and ceilings: no data decides them."""

from visus.methods.alignment.claims.statements.making import law

LAWS = (
    law(
        "loss-as-written",
        "loss_error",
        "The triplet loss equals -log of the softmax share of the pair (a, b), computed one triplet at a time.",
        "三元组损失等于逐个计算的配对 (a, b) 的 softmax 份额的负对数。",
        origin="paper",
    ),
    law(
        "zero-map-loss-is-log-3",
        "zero_map_loss",
        "A map of zeros has a cross-entropy of exactly log 3.",
        "零映射的交叉熵恰为 log 3。",
    ),
    law(
        "ties-are-no-hits",
        "zero_map_hits",
        "A map of zeros ties all pairs, and a tie is never a hit: accuracy 0, not 1/3.",
        "零映射使所有配对相等，而平局从不算命中：准确率为 0，而非 1/3。",
    ),
    law(
        "indices-equal-one-hot",
        "one_hot_error",
        "Looking up rows by index equals multiplying by one-hot vectors.",
        "按索引取行与乘以独热向量的结果相同。",
    ),
    law(
        "order-of-the-pair",
        "swap_error",
        "Exchanging a and b leaves the loss as it is.",
        "交换 a 与 b 不改变损失。",
    ),
    law(
        "rotation-keeps-the-loss",
        "rotation_loss",
        "An orthogonal turn of the transformed space leaves the loss as it is.",
        "对变换后空间的正交旋转不改变损失。",
    ),
    law(
        "rotation-keeps-accuracy",
        "rotation_accuracy",
        "An orthogonal turn leaves the odd-one-out accuracy of cosines as it is.",
        "正交旋转不改变余弦相似度下的异类判断准确率。",
    ),
    law(
        "rotation-keeps-rsa",
        "rotation_rsa",
        "An orthogonal turn leaves the matrix of cosine distances as it is.",
        "正交旋转不改变余弦距离矩阵。",
    ),
    law(
        "folds-share-no-object",
        "shared_objects",
        "No object is on both sides of a fold.",
        "没有任何物体同时位于一折的两侧。",
        origin="paper",
    ),
    law(
        "mixed-triplets-are-dropped",
        "miscounted_triplets",
        "A triplet belongs to a side exactly if all three of its objects do; mixed ones are in neither.",
        "三元组当且仅当其三个物体都在某侧时才属于该侧；混合的三元组不属于任何一侧。",
        origin="paper",
    ),
    law(
        "files-change-no-bit",
        "changed_by_file",
        "A transform that went through its file (arrays weights, mean, std, bias) gives the same features bit for bit.",
        "变换经文件（weights、mean、std、bias）保存再读取后，给出的特征逐位相同。",
    ),
    law(
        "identity-penalty-leaves-a-multiple",
        "identity_rest",
        "Under a heavy identity penalty the map is a multiple of the identity (within 5 % of its norm).",
        "在很强的恒等惩罚下，映射是单位阵的倍数（误差不超过其范数的 5%）。",
    ),
    law(
        "identity-penalty-keeps-choices",
        "identity_changes",
        "Under a heavy identity penalty cosine choices stay as they were (but for 1 % of the triplets).",
        "在很强的恒等惩罚下，余弦选择保持不变（至多 1% 的三元组例外）。",
    ),
    law(
        "frobenius-penalty-collapses",
        "collapsed_norm",
        "Under a heavy squared Frobenius penalty the map becomes zero (norm within 0.01).",
        "在很强的平方 Frobenius 惩罚下，映射变为零（范数不超过 0.01）。",
    ),
    law(
        "collapsed-loss-is-log-3",
        "collapsed_loss",
        "With the map gone, the cross-entropy is log 3 (within 0.001).",
        "映射消失后，交叉熵为 log 3（误差 0.001 以内）。",
    ),
    law(
        "table-counts-every-triplet",
        "table_count",
        "The concept table's counts sum to the number of triplets.",
        "概念表的计数之和等于三元组的数量。",
    ),
    law(
        "table-holds-the-error",
        "table_error",
        "The overall error recomputed from the concept table is 1 - accuracy.",
        "由概念表重新计算的总误差等于 1 减准确率。",
    ),
    law(
        "ridge-is-its-closed-form",
        "ridge_error",
        "Ridge regression by one decomposition equals the normal equations at the chosen penalties.",
        "由一次分解得到的岭回归与所选惩罚下的正规方程解相同。",
    ),
    law(
        "leave-one-out-in-closed-form",
        "leave_one_out_error",
        "The errors that choose the penalties equal those of leaving out every object in turn.",
        "用于选择惩罚的误差等于逐一留出每个物体的误差。",
    ),
    law(
        "ceiling-is-counted",
        "ceiling_error",
        "The noise ceiling is the mean share of the most frequent answer, however the trials' columns are ordered.",
        "噪声上限是最常见答案的平均份额，与试次中列的顺序无关。",
        origin="paper",
    ),
    law(
        "lower-ceiling-is-lower",
        "ceiling_order",
        "The lower bound of what a model of dissimilarities can reach is not above the upper one.",
        "相异度模型可达到的下界不高于上界。",
    ),
    law(
        "agreeing-people-have-ceiling-1",
        "agreed_ceiling",
        "Where all people agree, both bounds are 1.",
        "当所有人一致时，两个界均为 1。",
    ),
    law(
        "ranks-alone-count",
        "rank_error",
        "Spearman's agreement of matrices does not change under a monotone rescaling.",
        "矩阵的 Spearman 一致性在单调变换下不变。",
    ),
)
