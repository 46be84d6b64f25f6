"""What holds exactly."""

from __future__ import annotations

from visus.methods.vgloss.claims.statements.making import law

_LAWS = {
    "one_template_error": (
        "one-template",
        "With one template as the only description, the classifier is the template classifier.",
        "以单一模板为唯一描述时，分类器即模板分类器。",
    ),
    "many_templates_error": (
        "eighty-templates",
        "With the same 80 templates for every class, its rows are those of the usual builder, written as a loop.",
        "各类使用相同的 80 个模板时，分类器的行与逐类循环的常用构造一致。",
    ),
    "repetition_error": (
        "repetition-changes-nothing",
        "Repeating a class's whole list of descriptions changes nothing.",
        "将某类的全部描述重复一遍，结果不变。",
    ),
    "order_error": (
        "descriptions-are-a-set",
        "The order of a class's descriptions does not matter.",
        "同一类描述的顺序无关紧要。",
    ),
    "length_error": ("rows-have-length-one", "Every row has length 1.", "每一行的长度为 1。"),
    "class_order_error": (
        "classes-are-a-set",
        "Another order of the classes permutes the columns and changes nothing else.",
        "改变类别顺序只会置换列。",
    ),
    "similarity_error": (
        "mean-of-similarities",
        "With rows that are not normalized again, a score is the mean similarity to the class's descriptions.",
        "不再归一化时，得分即与该类各描述相似度的均值。",
    ),
    "scaled_labels": (
        "scale-moves-no-label",
        "The logit scale moves no label.",
        "logit 缩放不改变任何标签。",
    ),
    "empty_class_error": (
        "empty-class-goes-by-name",
        "A class without descriptions goes by its name, with a warning.",
        "没有描述的类别以其名称代替，并给出警告。",
    ),
    "prompts_too_many": (
        "contrast-is-linear",
        "Contrastive prompts are asked once per unordered pair, at most classes times neighbors.",
        "对比提示对每个无序对只问一次，至多为类别数乘以邻居数。",
    ),
    "prompts_outside": (
        "contrast-within-pairs",
        "No pair outside the confusable ones gets a contrastive sentence, and no prompt is asked twice.",
        "易混对之外没有对比句，也没有重复的提示。",
    ),
    "foreign_sentences": (
        "contrast-on-its-side",
        "No contrastive sentence of a class names another class.",
        "任何类别的对比句都不出现其他类别的名称。",
    ),
    "without_pairs": (
        "no-pairs-no-change",
        "With a threshold above 1 there are no pairs, and the contrastive classifier is the normal one.",
        "阈值大于 1 时没有易混对，对比分类器与普通分类器完全相同。",
    ),
    "replayed_bytes": (
        "replay-is-identical",
        "Descriptions replayed from the cache are the same JSON, byte by byte.",
        "从缓存重放的描述与原 JSON 逐字节相同。",
    ),
    "replayed_prompts": (
        "replay-asks-nothing",
        "A replay asks the language model nothing.",
        "重放时不向语言模型提出任何问题。",
    ),
    "asked_again": (
        "temperature-is-in-the-key",
        "Another temperature asks the language model anew, every prompt.",
        "改变温度后，每个提示都会重新询问语言模型。",
    ),
    "exchanged": (
        "formats-round-trip",
        "Description sets in the forms of CuPL, DCLIP and FuDD come back from their files unchanged.",
        "CuPL、DCLIP 与 FuDD 格式的描述集写出再读回，完全不变。",
    ),
    "unlisted": (
        "missing-classes-are-listed",
        "Classes that a published set lacks or cannot tell apart are listed by name.",
        "公开描述集中缺失或无法区分的类别会按名称列出。",
    ),
}
_LEXICON = {
    "ids_resolved": (
        "imagenet-ids-resolve",
        "All 1,000 ids of ImageNet are synsets of WordNet 3.0.",
        "ImageNet 的 1,000 个编号全部对应 WordNet 3.0 的同义词集。",
    ),
    "definitions": ("every-class-has-a-gloss", "Each of them has a definition.", "其中每一个都有释义。"),
    "crane_among_birds": (
        "crane-among-birds",
        "Among birds, crane is an animal.",
        "在鸟类标签中，crane 是动物。",
    ),
    "crane_among_machines": (
        "crane-among-machines",
        "Among machines, crane is an artifact.",
        "在机械标签中，crane 是人造物。",
    ),
    "meanings_of_crane": (
        "company-decides",
        "The two label sets give crane two different meanings.",
        "两组标签使 crane 得到两个不同的词义。",
    ),
    "order_changes": (
        "label-order-does-not-matter",
        "Which meaning a label gets does not depend on the order of the labels.",
        "标签的词义与标签顺序无关。",
    ),
    "shared_meaning_refused": (
        "two-classes-one-meaning",
        "Two labels with one meaning are refused.",
        "两个标签对应同一词义时会被拒绝。",
    ),
    "unknown_id_refused": (
        "unknown-id-is-refused",
        "An id that is no synset is refused, not replaced by another.",
        "不存在的编号会被拒绝，而不会替换为其他词义。",
    ),
    "wu_palmer_error": (
        "wu-palmer-matrix",
        "The matrix of Wu-Palmer similarities is that of single pairs.",
        "Wu-Palmer 相似度矩阵与逐对计算一致。",
    ),
    "asymmetry": (
        "wu-palmer-is-symmetric",
        "Wu-Palmer similarity is symmetric.",
        "Wu-Palmer 相似度是对称的。",
    ),
}
_PAPER = ("ids_resolved", "meanings_of_crane")

LAWS = tuple(law(id, metric, *told) for metric, (id, *told) in _LAWS.items())
LEXICON = tuple(
    law(id, metric, *told, experiment="lexicon", origin="paper" if metric in _PAPER else "ours")
    for metric, (id, *told) in _LEXICON.items()
)
