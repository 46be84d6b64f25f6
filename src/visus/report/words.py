"""Every sentence of the report and of the evidence digest, in English and in Chinese."""

from __future__ import annotations

import re

from visus.errors import InputError

_ENGLISH = {
    "title": "Measured evidence",
    "lead": "What the papers of this page assert, measured: every claim was declared before it was measured.",
    "contents": "Contents",
    "overview": "Verdicts",
    "overview_alt": "One square per claim. {rows}.",
    "overview_caption": "One square per claim: ✓ holds, ✗ fails, ? undecided, – not measured here.",
    "paper": "Paper",
    "papers": "Papers",
    "claim": "Claim",
    "holds": "holds",
    "fails": "fails",
    "undecided": "undecided",
    "count_holds": "{n} hold",
    "count_holds_1": "1 holds",
    "count_fails": "{n} fail",
    "count_fails_1": "1 fails",
    "count_undecided": "{n} undecided",
    "count_undecided_1": "1 undecided",
    "not_measured": "not measured",
    "count_not_measured": "{n} not measured",
    "count_not_measured_1": "1 not measured",
    "join": " · ",
    "total": "All",
    "verdict": "Verdict",
    "planned": "not implemented in visus yet",
    "unknown": "not in the catalogue of visus",
    "not_run": "implemented, not run this time",
    "no_claims": "no claim is measured under this preset",
    "crashed": "{n} trials crashed",
    "crashed_1": "1 trial crashed",
    "measured": "measured",
    "origin_paper": "asserted by the paper",
    "origin_ours": "a control or finding of this project",
    "exact": "exact, decided without seeds",
    "metric": "metric",
    "condition": "holds when",
    "arm": "Arm",
    "mean": "Mean",
    "sd": "sd",
    "n": "n",
    "candidate": "candidate",
    "reference": "reference",
    "effect": "Effect",
    "interval": "95 % interval",
    "range": "Range of instances",
    "smallest_effect": "Smallest effect that counts",
    "no_value": "no value",
    "why": "Why",
    "caveat": "What would explain a failure",
    "note": "Note",
    "experiment": "Experiment",
    "budget": "Budget",
    "values": "Value of every seed",
    "seed": "Seed",
    "strip_alt": "{metric} of every seed for {arms}; effect {effect}, 95 % interval {interval}; {verdict}.",
    "strip_caption": "In each plot, top: every seed of every arm, thin lines join the same seed. Bottom: the "
    "effect with its 95 % interval, ticks are single seeds; a claim holds if the interval lies in the shade.",
    "strip_rows": "{metric}: one mark per seed, bar = mean",
    "strip_effect": "{formula}; shaded: here the claim holds",
    "figures": "Figures",
    "failures": "Trials that crashed",
    "provenance": "Provenance",
    "provenance_lead": "Where these numbers come from.",
    "packages": "Package versions",
    "rerun": "How to measure again",
    "rerun_lead": "The same command resumes in the same folder; in an empty one it measures everything again.",
    "authors": "Authors",
    "task": "Task",
    "extra": "Needs",
    "seconds": "{n} s of measuring",
    "minutes": "{n} min of measuring",
    "evidence_column": "Evidence",
    "evidence_heading": "Evidence (visus {version}, preset {preset}, {date})",
    "seed_count": "{n} seeds",
    "seed_count_1": "1 seed",
    "field_visus": "visus",
    "field_commit": "Commit",
    "field_preset": "Preset",
    "field_device": "Device",
    "field_date": "Date",
    "field_threads": "Threads",
    "field_seeds": "Seeds per experiment",
    "field_python": "Python",
    "field_platform": "Platform",
    "field_seconds": "Measuring time (s)",
    "field_backend": "Backend",
    "field_workers": "Workers",
    "field_schema": "Format of evidence.json",
    "plot": "plot",
    "comma": ", ",
    "semicolon": "; ",
    "stop": ".",
    "colon": ": ",
}

_CHINESE = {
    "title": "实测证据",
    "lead": "本页论文的论断由 visus 实际测量：每条论断都在测量之前声明。",
    "contents": "目录",
    "overview": "结论",
    "overview_alt": "每个方格是一条论断。{rows}。",
    "overview_caption": "每个方格是一条论断：✓ 成立，✗ 不成立，? 未定，– 在此预设下未测。",
    "paper": "论文",
    "papers": "论文",
    "claim": "论断",
    "holds": "成立",
    "fails": "不成立",
    "undecided": "未定",
    "count_holds": "{n} 条成立",
    "count_holds_1": "1 条成立",
    "count_fails": "{n} 条不成立",
    "count_fails_1": "1 条不成立",
    "count_undecided": "{n} 条未定",
    "count_undecided_1": "1 条未定",
    "not_measured": "未测",
    "count_not_measured": "{n} 条未测",
    "count_not_measured_1": "1 条未测",
    "join": " · ",
    "total": "合计",
    "verdict": "结论",
    "planned": "visus 尚未实现",
    "unknown": "不在 visus 目录中",
    "not_run": "已实现，本次未运行",
    "no_claims": "此预设下没有可测的论断",
    "crashed": "{n} 次试验崩溃",
    "crashed_1": "1 次试验崩溃",
    "measured": "已测量",
    "origin_paper": "论文的论断",
    "origin_ours": "本项目的对照或发现",
    "exact": "精确判定，无需随机种子",
    "metric": "指标",
    "condition": "成立条件",
    "arm": "方案",
    "mean": "均值",
    "sd": "标准差",
    "n": "n",
    "candidate": "候选",
    "reference": "参照",
    "effect": "效应",
    "interval": "95 % 区间",
    "range": "各实例的范围",
    "smallest_effect": "有意义的最小效应",
    "no_value": "无数值",
    "why": "原因",
    "caveat": "若不成立，可能的解释",
    "note": "说明",
    "experiment": "实验",
    "budget": "预算",
    "values": "每个种子的数值",
    "seed": "种子",
    "strip_alt": "{arms} 每个种子的 {metric}；效应 {effect}，95 % 区间 {interval}；{verdict}。",
    "strip_caption": "各图上半：每个方案的每个种子，细线连接同一种子。"
    "下半：效应及其 95 % 区间，短线为单个种子；区间全部落在阴影内则论断成立。",
    "strip_rows": "{metric}：每个标记是一个种子，竖线为均值",
    "strip_effect": "{formula}；阴影处论断成立",
    "figures": "图",
    "failures": "崩溃的试验",
    "provenance": "来源",
    "provenance_lead": "这些数字从何而来。",
    "packages": "软件包版本",
    "rerun": "如何重新测量",
    "rerun_lead": "在同一文件夹运行同一命令会继续未完成的工作；在空文件夹中则全部重新测量。",
    "authors": "作者",
    "task": "任务",
    "extra": "需要",
    "seconds": "测量用时 {n} 秒",
    "minutes": "测量用时 {n} 分钟",
    "evidence_column": "证据",
    "evidence_heading": "证据（visus {version}，预设 {preset}，{date}）",
    "seed_count": "{n} 个种子",
    "seed_count_1": "1 个种子",
    "field_visus": "visus",
    "field_commit": "提交",
    "field_preset": "预设",
    "field_device": "设备",
    "field_date": "日期",
    "field_threads": "线程数",
    "field_seeds": "每个实验的种子数",
    "field_python": "Python",
    "field_platform": "平台",
    "field_seconds": "测量用时（秒）",
    "field_backend": "后端",
    "field_workers": "工作进程数",
    "field_schema": "evidence.json 格式",
    "plot": "图",
    "comma": "，",
    "semicolon": "；",
    "stop": "。",
    "colon": "：",
}

_WORDS = {"en": _ENGLISH, "zh": _CHINESE}
MARKS = {"holds": "✓", "fails": "✗", "undecided": "?", "not_measured": "–"}
"""Verdict (or none) -> the sign that stands beside its word; a verdict is never shown by color alone."""


def words(lang: str) -> dict[str, str]:
    """All sentences of one language.

    >>> words("zh")["holds"]
    '成立'
    """
    if lang not in _WORDS:
        raise InputError(f"unknown language {lang!r}", field="--lang", remedy="write en or zh")
    return _WORDS[lang]


def counted(lang: str, key: str, n: int) -> str:
    """A sentence with a number in it, in the right grammatical number.

    >>> counted("en", "count_fails", 1), counted("en", "count_fails", 3)
    ('1 fails', '3 fail')
    """
    table = words(lang)
    return table[f"{key}_1" if n == 1 else key].format(n=n)


_WHY_ZH = (
    (r"not measured in preset (\w+)", r"预设 \1 中未测量"),
    (r"not measured: ", "未测量："),
    (r"the interval reaches across the smallest effect", "区间跨越了有意义的最小效应"),
    (r"(\d+) usable pairs? of seeds, an interval needs (\d+)", r"可用的种子对只有 \1 个，区间至少需要 \2 个"),
    (
        r"all (\d+) seeds give the same effect, so the interval has no width",
        r"全部 \1 个种子效应相同，区间宽度为零",
    ),
    (r"no seed has a value in both arms", "没有任何种子在两个方案中都有数值"),
    (r"a ratio needs positive values in both arms", "比值要求两个方案的数值均为正"),
    (r"(\d+) of (\d+) instances contradict the claim", r"\2 个实例中有 \1 个与论断相悖"),
)
"""The notes with which a verdict is explained (`visus.study.verdict`), in Chinese; others stay as they are."""


def explanation(why: str, lang: str) -> str:
    """Why a verdict came out as it did, in the page's language where there is a translation.

    >>> explanation("1 usable pair of seeds, an interval needs 3", "zh")
    '可用的种子对只有 1 个，区间至少需要 3 个'
    """
    if lang != "zh":
        return why
    for pattern, chinese in _WHY_ZH:
        why = re.sub(pattern, chinese, why)
    return why.replace("; ", "；")
