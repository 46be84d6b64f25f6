"""Synthetic evidence: every verdict, exact and ratio claims, crashed arms, one seed, text that needs escaping."""

from __future__ import annotations

from visus.protocols import Claim, Evidence, Figure, PaperEvidence

PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100"><rect width="200" height="100" fill="#eee"/>'
    '<text x="10" y="50">a figure</text></svg>'
)
NASTY = """<script>alert("x")</script> & 'quotes' ](evil) | pipe"""


def claim(**changes) -> Claim:
    given = {
        "id": "super-better",
        "statement": "Super attention classifies better than standard attention at a short fixed context.",
        "statement_zh": "在较短的固定上下文中，超级注意力的分类效果优于标准注意力。",
        "experiment": "digits",
        "candidate": "super",
        "reference": "standard",
        "metric": "accuracy",
        "direction": "higher",
        "smallest_effect": 0.01,
        "caveat": "Few tokens leave little to mix.",
        "caveat_zh": "词元太少，可混合的信息有限。",
    }
    return Claim(**{**given, **changes})


def holds() -> Evidence:
    return Evidence(
        claim=claim(),
        arms={
            "super": [0.9631, 0.9584, 0.9702, 0.9612, 0.9655],
            "standard": [0.9181, 0.9265, 0.9102, 0.9254, 0.9098],
            "standard with the same number of parameters": [0.9011, 0.8952, 0.9057, 0.9123, 0.8998],
            "super, frozen random W_A": [0.9342, 0.9401, 0.9287, 0.9365, 0.9311],
        },
        effect=0.04568,
        interval=(0.0244, 0.067),
        verdict="holds",
    )


def fails() -> Evidence:
    return Evidence(
        claim=claim(
            id="parity", direction="equal", smallest_effect=0.02, candidate="efficient", origin="ours"
        ),
        arms={"efficient": [0.81, 0.82, 0.80], "standard": [0.91, 0.93, 0.92]},
        effect=-0.11,
        interval=(-0.1476, -0.0724),
        verdict="fails",
    )


def undecided() -> Evidence:
    return Evidence(
        claim=claim(id="lower-error", direction="lower", metric="error", smallest_effect=0.005, caveat_zh=""),
        arms={"super": [0.10, 0.09, 0.13], "standard": [0.11, 0.115, 0.12]},
        effect=-0.00833,
        interval=(-0.0711, 0.0607),
        verdict="undecided",
        why="the interval reaches across the smallest effect",
    )


def exact() -> Evidence:
    return Evidence(
        claim=claim(
            id="count",
            statement="Efficient attention has half the parameters.",
            statement_zh="高效注意力的参数量减半。",
            candidate="measured",
            reference="formula",
            metric="parameters",
            direction="equal",
            smallest_effect=0.0,
            exact=True,
        ),
        arms={"measured": [2112.0], "formula": [2112.0]},
        effect=0.0,
        interval=None,
        verdict="holds",
    )


def ratio() -> Evidence:
    return Evidence(
        claim=claim(id="speed", comparison="ratio", smallest_effect=1.1, metric="tokens per second"),
        arms={"super": [41234.5, 40211.0, 42001.0], "standard": [30111.0, 29000.0, 31222.0]},
        effect=1.367,
        interval=(1.2869, 1.4423),
        verdict="holds",
    )


def crashed() -> Evidence:
    return Evidence(
        claim=claim(id="crashed", statement=NASTY, statement_zh=NASTY, candidate=NASTY),
        arms={NASTY: [], "standard": [0.5]},
        effect=None,
        interval=None,
        verdict="undecided",
        why="an arm has no value",
    )


def one_seed() -> Evidence:
    return Evidence(
        claim=claim(id="one-seed"),
        arms={"super": [0.75], "standard": [0.5]},
        effect=0.25,
        interval=None,
        verdict="undecided",
        why="one seed has no spread",
    )


def gaps() -> Evidence:
    """Seed 1 of one arm and seed 3 of the other crashed."""
    gone = float("nan")
    return Evidence(
        claim=claim(id="gaps"),
        arms={"super": [0.90, gone, 0.92, 0.91], "standard": [0.80, 0.81, 0.82, gone]},
        effect=0.1,
        interval=None,
        verdict="undecided",
        why="left out: candidate without a finite value in seed 1",
    )


def instances() -> Evidence:
    """An exact claim over several instances, one of which contradicts it."""
    return Evidence(
        claim=claim(id="instances", comparison="ratio", direction="lower", smallest_effect=0.75, exact=True),
        arms={"super": [3.0, 3.0, 4.0], "standard": [4.0, 4.0, 4.0]},
        effect=0.82548,
        interval=(0.75, 1.0),
        verdict="fails",
        why="1 of 3 instances contradict the claim",
    )


ALL = (holds, fails, undecided, exact, ratio, crashed, one_seed, gaps, instances)


def attention() -> PaperEvidence:
    return PaperEvidence(
        slug="attention",
        arxiv="2403.01643",
        claims=[make() for make in ALL],
        figures=[Figure(name="cost", svg=PICTURE, caption="Cost <by> length", caption_zh="按长度的成本")],
        failures={
            "digits/super/3": 'Traceback (most recent call last):\n  File "x.py"\nValueError: <b>bad</b>'
        },
        seconds=312.4,
    )


def hyperfusion() -> PaperEvidence:
    return PaperEvidence(slug="hyperfusion", arxiv="2403.13319", claims=[holds(), undecided()], seconds=41.0)


HEADER = {
    "schema": 1,
    "visus": "0.1.0",
    "commit": "0123abc",
    "preset": "demo",
    "device": "cpu",
    "threads": 2,
    "date": "2026-11-22",
    "packages": {"torch": "2.13.0", "numpy": "2.4.1"},
}
