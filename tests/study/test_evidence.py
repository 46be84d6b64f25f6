"""From claims to evidence and into JSON and back."""

from __future__ import annotations

import json
import math
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import study_toy as toy
from study_toy import Crashing, Lacking, Toy, claim, open_folder

from visus.errors import InputError
from visus.protocols import Evidence, Figure, PaperEvidence
from visus.study import decide, from_json, measure, merge, to_json
from visus.study.evidence import check, plan
from visus.study.provenance import code_digest, commit, device_name, installed
from visus.version import __version__


def study(provable, out: Path, **changes) -> PaperEvidence:
    given = {"preset": "smoke", "workers": 2, "device": "cpu", "progress": False, "open_run": open_folder}
    return measure(provable, "toy", out=out, arxiv="2401.00001", **{**given, **changes})


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def paper(out):
    return study(Toy, out)


def by_id(paper: PaperEvidence) -> dict[str, Evidence]:
    return {evidence.claim.id: evidence for evidence in paper.claims}


def plain(paper: PaperEvidence, **changes) -> dict:
    return {**to_json([paper], preset="smoke", device="cpu"), **changes}


def same(left: PaperEvidence, right: PaperEvidence) -> bool:
    return repr(replace(left, folders={})) == repr(replace(right, folders={}))  # NaN equals itself in print


def test_every_claim_is_decided_from_its_own_arms(paper):
    assert [evidence.claim.id for evidence in paper.claims] == [c.id for c in Toy.claims()]
    found = by_id(paper)
    verdicts = {name: evidence.verdict for name, evidence in found.items()}
    assert verdicts == {
        "better": "holds",
        "worse": "fails",
        "half": "holds",
        "calibrated": "undecided",
        "faster": "holds",
    }
    better = found["better"]
    assert list(better.arms) == ["good", "plain", "third arm, with a comma"]
    assert {len(column) for column in better.arms.values()} == {3}
    again = decide(better.claim, better.arms["good"], better.arms["plain"])
    assert (better.effect, better.interval) == again[:2]
    assert found["half"].arms == {"small": [2112.0], "large": [4224.0]}
    assert found["half"].interval == (0.5, 0.5)
    assert found["faster"].interval == pytest.approx((2.0, 2.0))
    assert "without a finite value" in found["calibrated"].why
    assert paper.failures == {}
    assert paper.seconds > 0


def test_figures_find_what_a_trial_left(paper, out):
    assert paper.folders
    for name, folder in paper.folders.items():
        told = json.loads((folder / "result.json").read_text())["trial"]
        assert name == f"{told['experiment']}/{told['arm']}/{told['seed']}"
        assert folder.is_relative_to(out)


def test_crashed_trials_have_no_folder(tmp_path):
    found = study(Crashing, tmp_path)
    assert found.failures
    assert not found.failures.keys() & found.folders.keys()


def test_measuring_again_keeps_everything(paper, out):
    assert same(study(Toy, out), paper)


def test_a_part_can_be_measured_and_seeds_chosen(tmp_path):
    part = study(Toy, tmp_path, experiments=["count"], seeds=4)
    assert [evidence.claim.id for evidence in part.claims] == ["half"]
    assert part.claims[0].arms == {"small": [2112.0], "large": [4224.0]}
    with pytest.raises(InputError, match="experiments: score, count, clock"):
        study(Toy, tmp_path, experiments=["counts"])


def test_plan_runs_seed_by_seed_and_leaves_exact_experiments_alone():
    claims, experiments = Toy.claims(), Toy.experiments()
    names = [(t.experiment, t.arm, t.seed) for t in plan("toy", claims, experiments, preset="demo")]
    assert names[:4] == [
        ("score", "plain", 0),
        ("score", "third arm, with a comma", 0),
        ("score", "good", 0),
        ("score", "plain", 1),
    ]
    assert len(names) == 5 * 3 + 2
    chosen = plan("toy", claims, experiments, preset="smoke", seeds=7)
    counts = {name: sum(t.experiment == name for t in chosen) for name in ("score", "count", "clock")}
    assert counts == {"score": 21, "count": 2, "clock": 14}
    assert plan("toy", claims, experiments, preset="paper", seeds=7) == []
    with pytest.raises(InputError, match="0 seeds"):
        plan("toy", claims, experiments, preset="smoke", seeds=0)


def test_a_claim_left_out_of_a_preset_says_so(out):
    found = by_id(study(Toy, out, preset="paper"))
    assert {evidence.verdict for evidence in found.values()} == {"undecided"}
    assert found["better"].why == "not measured in preset paper"
    assert found["better"].arms == {}


def test_crashes_are_told_where_they_matter(tmp_path):
    paper = study(Crashing, tmp_path)
    assert sorted(paper.failures) == ["crash/bad/0", "crash/bad/2", *(f"crash/empty/{s}" for s in range(3))]
    assert "ValueError: cannot do seed 0" in paper.failures["crash/bad/0"]
    (evidence,) = paper.claims
    assert evidence.verdict == "undecided"
    assert "bad crashed in seed 0, 2" in evidence.why
    assert "1 usable pair" in evidence.why
    assert [math.isnan(value) for value in evidence.arms["bad"]] == [True, False, True]
    assert list(evidence.arms) == ["bad", "fine"]
    row = plain(paper)["papers"][0]["claims"][0]
    assert row["arms"]["bad"] == [None, 0.51, None]


def test_what_needs_absent_data_is_not_measured_until_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("LACK", str(tmp_path))
    paper = study(Lacking, tmp_path / "study")
    found = by_id(paper)
    assert paper.failures == {}
    assert found["better"].why == "not measured: needs photos: see docs/data.md"
    assert found["better"].arms == {}
    assert 'pip install "visus[pens]"' in found["drawn"].why
    (tmp_path / "photos").touch()
    found = by_id(study(Lacking, tmp_path / "study"))
    assert found["better"].verdict == "holds"
    assert found["drawn"].arms == {}


def test_a_metric_nobody_reports_is_named(tmp_path):
    class Silent(Toy):
        @classmethod
        def claims(cls):
            return (claim("c", experiment="count", candidate="small", reference="large", metric="speed"),)

    (evidence,) = study(Silent, tmp_path, experiments=["count"]).claims
    assert evidence.verdict == "undecided"
    assert "small reports no speed; large reports no speed" in evidence.why


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ([claim("c", experiment="nothing")], "no experiment 'nothing'"),
        ([claim("c", candidate="best")], "has no arm 'best'"),
        ([claim("c", reference="best")], "has no arm 'best'"),
        ([claim("c"), claim("c")], "two claims"),
        ([claim("c", smallest_effect=math.inf)], "not finite"),
    ],
)
def test_declarations_that_do_not_fit_are_refused(claims, message):
    with pytest.raises(InputError, match=message):
        check(claims, Toy.experiments())
    with pytest.raises(InputError, match="two experiments"):
        check([], [toy.SCORE, toy.SCORE])


def test_json_has_the_agreed_form(paper):
    document = json.loads(json.dumps(plain(paper), allow_nan=False))
    header = {"schema", "visus", "commit", "preset", "device", "packages", "papers"}
    assert header | {"python", "platform", "date", "threads"} == document.keys()
    assert document["schema"] == 1
    assert document["visus"] == __version__
    assert document["device"] == "cpu"
    assert {"torch", "numpy"} <= document["packages"].keys()
    (row,) = document["papers"]
    assert (row["slug"], row["arxiv"]) == ("toy", "2401.00001")
    agreed = {
        "id",
        "statement",
        "metric",
        "direction",
        "smallest_effect",
        "arms",
        "effect",
        "interval",
        "verdict",
    }
    extra = {"statement_zh", "exact", "comparison", "why", "origin", "caveat"}
    assert agreed | extra <= row["claims"][0].keys()
    assert row["claims"][0]["statement_zh"] == "好的比普通的好。"


def test_json_round_trip(paper):
    pictured = PaperEvidence(
        slug="x",
        arxiv="",
        claims=paper.claims,
        figures=[Figure(name="f", svg="<svg/>", caption="a", caption_zh="图")],
        failures={"e/a/0": "Traceback\n"},
        seconds=1.5,
        experiments={"score": {"title": "t", "title_zh": "题", "budget": "10 steps"}},
    )
    document = json.loads(json.dumps(to_json([paper, pictured], preset="smoke", device="cpu")))
    first, second = from_json(document)
    assert same(first, paper)
    assert same(second, pictured)


def test_budgets_are_carried_along(paper, out):
    assert paper.experiments["score"] == {"title": "score", "title_zh": "score", "budget": "none"}
    assert list(paper.experiments) == ["score", "count", "clock"]
    document = plain(paper)
    rows = document["papers"][0]["claims"]
    assert {(row["experiment"], row["budget"]) for row in rows} == {
        ("score", "none"),
        ("count", "none"),
        ("clock", "none"),
    }
    part = plain(study(Toy, out, experiments=["count"]))
    merged = merge(document, part)
    assert set(merged["papers"][0]["experiments"]) == {"score", "count", "clock"}


def test_a_document_with_the_agreed_keys_alone_is_read():
    row = {
        "id": "c",
        "statement": "s",
        "metric": "m",
        "direction": "higher",
        "smallest_effect": 1,
        "arms": {"ours": [3, 4, None], "theirs": [1, 2, 3]},
        "effect": 2,
        "interval": None,
        "verdict": "undecided",
    }
    document = {"schema": 1, "papers": [{"slug": "x", "arxiv": "1", "claims": [row], "note": "unknown key"}]}
    (paper,) = from_json(document)
    (evidence,) = paper.claims
    assert (evidence.claim.candidate, evidence.claim.reference) == ("ours", "theirs")
    assert math.isnan(evidence.arms["ours"][2])
    assert same(from_json(plain(paper))[0], paper)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: [d], "is no evidence"),
        (lambda d: None, "is no evidence"),
        (lambda d: {**d, "schema": 2}, "schema"),
        (lambda d: {key: d[key] for key in d if key != "papers"}, "papers"),
        (lambda d: change(d, "verdict", "maybe"), r"papers\.0\.claims\.0\.verdict"),
        (lambda d: change(d, "arms", {"a": ["x"]}), r"papers\.0\.claims\.0\.arms"),
        (lambda d: change(d, "interval", [1]), r"claims\.0\.interval"),
        (lambda d: change(d, "direction", "up"), r"claims\.0\.direction"),
        (lambda d: change(d, "arms", {}, candidate=None, reference=None), r"toy\.better\.arms"),
    ],
)
def test_a_malformed_document_is_an_input_error_with_its_place(paper, spoil, message):
    with pytest.raises(InputError, match=message) as caught:
        from_json(spoil(plain(paper)), file="evidence.json")
    assert str(caught.value).startswith("evidence.json: ")


def change(document: dict, key: str, value, **more) -> dict:
    first, *others = document["papers"][0]["claims"]
    return {
        **document,
        "papers": [{**document["papers"][0], "claims": [{**first, key: value, **more}, *others]}],
    }


def test_merge_replaces_what_was_measured_again_and_marks_the_rest(paper):
    other = PaperEvidence(slug="other", arxiv="2", claims=paper.claims[:1], seconds=2.0)
    failed = PaperEvidence(**{**vars(paper), "failures": {"count/small/0": "old", "score/good/1": "old"}})
    old = to_json([other, failed], preset="smoke", device="cpu")
    old["commit"] = "0123"
    half = PaperEvidence(
        slug="toy", arxiv="2401.00001", claims=[by_id(paper)["half"]], failures={"count/large/0": "n"}
    )
    third = PaperEvidence(slug="third", arxiv="3")
    new = to_json([half, third], preset="smoke", device="cpu")
    new["commit"] = "4567"
    merged = merge(old, new)
    assert merged["commit"] == "4567"
    assert [row["slug"] for row in merged["papers"]] == ["other", "toy", "third"]
    rows = {row["id"]: row for row in merged["papers"][1]["claims"]}
    assert list(rows) == [c.id for c in Toy.claims()]
    assert "from" not in rows["half"]
    assert rows["better"]["from"]["commit"] == "0123"
    assert merged["papers"][0]["claims"][0]["from"]["commit"] == "0123"
    assert merged["papers"][1]["failures"] == {"score/good/1": "old", "count/large/0": "n"}
    later = merge(merged, {**new, "commit": "89ab"})
    assert later["papers"][1]["claims"][0]["from"]["commit"] == "0123"
    assert same(from_json(merge(old, old))[1], failed)
    assert "from" not in json.dumps(merge(old, old)).replace("from_", "")
    with pytest.raises(InputError, match="cannot be mixed"):
        merge(old, {**new, "preset": "demo"})
    with pytest.raises(InputError, match="schema"):
        merge({}, new)


def git(*arguments: str, folder: Path) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_commit_is_told_only_for_tracked_files_and_says_dirty(tmp_path):
    source = tmp_path / "src" / "visus" / "study" / "provenance.py"
    source.parent.mkdir(parents=True)
    source.write_text("1")
    assert commit(source) is None
    git("init", folder=tmp_path)
    assert commit(source) is None  # the repository does not know the file
    git("add", ".", folder=tmp_path)
    git("commit", "-m", "first", folder=tmp_path)
    clean = commit(source)
    assert re.fullmatch("[0-9a-f]{40}", clean or "")
    (tmp_path / "evidence.json").write_text("{}")
    assert commit(source) == clean
    (source.parent.parent / "new.py").write_text("2")
    assert commit(source) == f"{clean}-dirty"


def test_what_only_shows_is_not_code_that_numbers_depend_on(tmp_path):
    def digest(name: str, files: tuple[str, ...]) -> str:
        package = tmp_path / name
        for file in files:
            path = package / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# {path.name}")
        return code_digest("toy", package)

    measured = ("methods/toy/model.py", "nn/layers.py", "data/tables/source.py")
    bare = digest("bare", measured)
    shown = ("figures.py", "verbs.py", "figures/cells.py", "figures/deep/axes.py", "verbs/pages.py")
    assert digest("shown", (*measured, *(f"methods/toy/{file}" for file in shown))) == bare
    assert digest("other", (*measured, "methods/other/model.py")) == bare
    for more in ("methods/toy/model/figures.py", "methods/toy/claims/verbs/one.py", "nn/verbs.py"):
        assert digest(more.replace("/", "-"), (*measured, more)) != bare


def test_versions_and_device():
    assert installed(("numpy", "no-such-package-anywhere")).keys() == {"numpy"}
    assert device_name("cpu") == "cpu"
    assert device_name("auto").startswith(("cpu", "cuda"))
