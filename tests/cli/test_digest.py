"""`visus digest`: a page in, the same page with evidence out."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from visus import catalogue, study
from visus.cli import digest as module
from visus.cli import main
from visus.cli.digest import digest
from visus.errors import InputError, MissingExtra
from visus.protocols import Figure
from visus.report import listing
from visus.report.page import Entry, Page, parse, read, write

TOYS = str(Path(__file__).resolve().parents[1] / "study")
NUMBERS = {"toy": "2401.00001", "crashing": "2401.00002"}


@pytest.fixture
def toy(monkeypatch):
    """Two small papers that work beside the real planned ones; trials need no engine."""
    monkeypatch.syspath_prepend(TOYS)
    inherited = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", TOYS + (os.pathsep + inherited if inherited else ""))
    import study_toy

    pattern = catalogue.get("attention")
    working = [
        replace(
            pattern, slug=slug, arxiv=number, title=f"A {slug} <paper>", package="study_toy", estimator=name
        )
        for (slug, number), name in zip(NUMBERS.items(), ("Toy", "Crashing"), strict=True)
    ]
    planned = [card for card in catalogue.cards() if not card.implemented]
    known = (*working, *planned)

    def find(word):
        return next((card for card in known if word in (card.arxiv, card.title)), None)

    def get(slug):
        return next((card for card in known if card.slug == slug), None) or catalogue.get(slug)

    monkeypatch.setattr(module, "cards", lambda: known)
    monkeypatch.setattr(module, "find", find)
    monkeypatch.setattr(module, "get", get)
    monkeypatch.setattr(listing, "find", find)
    monkeypatch.setattr(
        study, "measure", partial(study.measure, open_run=study_toy.open_folder, progress=False)
    )
    return SimpleNamespace(cards=known, module=study_toy)


@pytest.fixture
def page(tmp_path):
    entries = [
        Entry(
            ref="1", title="Toy", address=f"https://arxiv.org/abs/{NUMBERS['toy']}v2", summary="一种玩具。"
        ),
        Entry(ref="2", title="Planned", address="https://arxiv.org/abs/2303.11183", summary="计划中。"),
        Entry(ref="3", title="Unknown", address="https://example.org/paper", summary="未知。"),
    ]
    file = tmp_path / "page.md"
    file.write_text(write(Page(tuple(entries), heading="摘要", details="详细")), encoding="utf-8")
    return file


def traces(out: Path) -> dict[str, int]:
    return {str(f.relative_to(out)): len(f.read_text().splitlines()) for f in sorted(out.rglob("trace.txt"))}


def test_a_page_in_and_evidence_out(toy, page, tmp_path, capsys):
    out = tmp_path / "out"
    assert digest(page, preset="smoke", out=out, workers=2, device="cpu") is None
    printed = capsys.readouterr()
    document = json.loads((out / "evidence.json").read_text(encoding="utf-8"))
    assert [paper["slug"] for paper in document["papers"]] == ["toy"]
    claims = {claim["id"]: claim for claim in document["papers"][0]["claims"]}
    assert list(claims) == ["better", "worse", "half", "calibrated", "faster"]
    assert claims["better"]["verdict"] == "holds"
    assert claims["worse"]["verdict"] == "fails"

    text = (out / "evidence.md").read_text(encoding="utf-8")
    done = parse(text)
    assert write(done) == text
    assert [replace(e, extra={}, evidence="") for e in done.entries] == list(read(page).entries)
    verdicts = [claim["verdict"] for claim in claims.values()]
    said = " · ".join(
        f"{verdicts.count(verdict)} 条{word}"
        for verdict, word in (("holds", "成立"), ("fails", "不成立"), ("undecided", "未定"))
    )
    cells = [entry.extra["证据"] for entry in done.entries]
    assert cells == [f"[{said}](report.html#toy)", "visus 尚未实现", "不在 visus 目录中"]

    linked = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert len(linked) == 4  # the loss of no trial is finite
    assert all((out / name).is_file() for name in linked)
    report = (out / "report.html").read_text(encoding="utf-8")
    assert '<html lang="zh-Hans">' in report
    assert "好的比普通的好。" in report
    lines = printed.out.splitlines()
    assert lines[-3:] == [str(out / name) for name in ("report.html", "evidence.md", "evidence.json")]
    rows = [line.split("\t") for line in lines if "\t" in line]
    assert len(rows) == 6
    assert rows[1][:2] == ["toy", "✓ 成立"]
    effect = float(rows[1][2].replace("−", "-"))
    assert effect == pytest.approx(claims["better"]["effect"], abs=5e-4)
    assert not list(out.rglob(".*.*"))  # nothing half written


def test_again_runs_nothing_again_and_one_more_seed_runs_only_that(toy, page, tmp_path):
    out = tmp_path / "out"
    run = partial(digest, page, preset="smoke", out=out, workers=2, device="cpu", lang="en")
    run()
    first, files = traces(out), sorted(out.rglob("*.svg"))
    assert first
    run()
    assert traces(out) == first
    assert sorted(out.rglob("*.svg")) == files
    run(seeds=4)
    later = traces(out)
    assert {name: later[name] for name in first} == first
    assert {name.rsplit("/", 2)[-2] for name in set(later) - set(first)} >= {"seed-3"}


def test_the_command_in_the_report_gives_the_same_again(toy, page, tmp_path):
    out = tmp_path / "a folder"
    digest(page, preset="smoke", out=out, workers=1, device="cpu", lang="en", seeds=3, only="toy")
    report = (out / "report.html").read_text(encoding="utf-8")
    command = re.search(r"<code>(visus digest .*?)</code>", report)
    assert command
    before = traces(out), json.loads((out / "evidence.json").read_text())["papers"]
    said = shlex.split(command[1].replace("&#39;", "'"))
    assert said[:3] == ["visus", "digest", str(page)]
    assert main(said[1:]) == 0
    assert (traces(out), json.loads((out / "evidence.json").read_text())["papers"]) == before


def test_crashed_trials_are_told_and_are_no_error(toy, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        main(["digest", "--preset", "smoke", "--only", "crashing", "--device", "cpu", "--workers", "2"]) == 0
    )
    printed = capsys.readouterr()
    assert printed.err.startswith("warning: 5 trials crashed")  # two raise, three report no score
    for name in ("bad/0", "bad/2", "empty/0", "empty/1", "empty/2"):
        assert f"crashing/crash/{name}" in printed.err
    out = tmp_path / module.FOLDER
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "ValueError: cannot do seed 0" in report
    assert "5 trials crashed" in (out / "evidence.md").read_text(encoding="utf-8")
    document = json.loads((out / "evidence.json").read_text())
    assert [paper["slug"] for paper in document["papers"]] == ["crashing"]
    done = read(out / "evidence.md")
    assert len(done.entries) == len(toy.cards)  # the whole catalogue
    assert done.entries[0].extra["Evidence"] == "implemented, not run this time"


def test_a_page_without_implemented_papers(tmp_path, capsys):
    planned = [card for card in catalogue.cards() if not card.implemented][:3]
    entries = (
        Entry(ref=str(i), title=card.title, address=card.url, summary="计划中。")
        for i, card in enumerate(planned, 1)
    )
    page = tmp_path / "page.md"
    page.write_text(write(Page(tuple(entries), heading="摘要", details="详细")), encoding="utf-8")
    assert main(["digest", str(page), "--preset", "smoke", "--out", str(tmp_path)]) == 0
    assert "No paper of this page is implemented" in capsys.readouterr().out
    assert json.loads((tmp_path / "evidence.json").read_text())["papers"] == []
    done = read(tmp_path / "evidence.md")
    assert [entry.extra["证据"] for entry in done.entries] == ["visus 尚未实现"] * len(planned)


def test_wrong_input_stops_before_anything_is_measured(toy, page, tmp_path, capsys):
    out = tmp_path / "out"
    for only, message in (
        ("toyy", "there is no paper 'toyy'"),
        ("purer", "purer is not implemented yet. What to do: choose from toy"),
        ("crashing", "crashing is not on the page. What to do: choose from toy"),
        (" , ", "names no paper"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            digest(page, preset="smoke", only=only, out=out)
    with pytest.raises(InputError, match="is a file"):
        digest(page, preset="smoke", out=page)
    lines = page.read_text(encoding="utf-8").splitlines()
    row = next(i for i, line in enumerate(lines) if "[^2]" in line)
    lines[row] = "| [^2] | no link | x |"
    page.write_text("\n".join(lines), encoding="utf-8")
    assert main(["digest", str(page), "--out", str(out)]) == 2
    assert f"page.md: line {row + 1}: the title has no link" in capsys.readouterr().err
    assert main(["digest", str(tmp_path / "none.md"), "--out", str(out)]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert not out.exists()


def test_a_missing_package_leaves_only_its_paper_out(toy, page, tmp_path, capsys, monkeypatch):
    def load(card):
        raise MissingExtra(f'{card.slug} needs nibabel: pip install "visus[medical]"')

    monkeypatch.setattr(catalogue.Card, "load", load)
    digest(page, preset="smoke", out=tmp_path / "out", lang="en")
    assert 'toy is left out: toy needs nibabel: pip install "visus[medical]"' in capsys.readouterr().err
    done = read(tmp_path / "out" / "evidence.md")
    assert done.entries[0].extra["Evidence"] == "implemented, not run this time"
    assert "pip install" in done.entries[0].evidence
    assert "pip install" in (tmp_path / "out" / "report.html").read_text()


def test_an_accident_while_writing_leaves_the_old_files_whole(toy, page, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run = partial(digest, page, preset="smoke", out=out, workers=2, device="cpu")
    run(lang="en")
    before = {f.name: f.read_bytes() for f in out.iterdir() if f.is_file()}
    assert len(before) == 3

    def fail(*args, **kwargs):
        raise RuntimeError("no space in the world")

    monkeypatch.setattr("visus.report.html.report", fail)
    with pytest.raises(RuntimeError):
        run(lang="zh")
    assert {f.name: f.read_bytes() for f in out.iterdir() if f.is_file()} == before


def test_figures_of_the_method_are_in_all_outputs(toy, page, tmp_path, monkeypatch, capsys):
    seen = []

    def figures(paper):
        seen.append(paper.slug)
        return [
            Figure(
                name="own", svg="<svg xmlns='http://www.w3.org/2000/svg'/>", caption="Own", caption_zh="自有"
            )
        ]

    monkeypatch.setitem(sys.modules, "study_toy.figures", SimpleNamespace(figures=figures))
    run = partial(digest, page, preset="smoke", workers=2, device="cpu", lang="en")
    run(out=tmp_path / "out")
    assert seen == ["toy"]
    assert "<figcaption>Own</figcaption>" in (tmp_path / "out" / "report.html").read_text()
    assert (tmp_path / "out" / "figures" / "toy-figure-own.svg").read_text().startswith("<svg")
    assert "![Own](figures/toy-figure-own.svg)" in (tmp_path / "out" / "evidence.md").read_text()
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "study_toy.figures", SimpleNamespace(figures=lambda paper: 1 / 0))
    run(out=tmp_path / "out")
    assert "toy: its figures could not be drawn (ZeroDivisionError" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "out" / "evidence.json").read_text())["papers"][0]["claims"]) == 5


def test_a_device_that_is_none_is_refused_first(toy, page, tmp_path):
    with pytest.raises(InputError, match="'gpu' is not a device"):
        digest(page, preset="smoke", out=tmp_path / "out", device="gpu")
    assert not (tmp_path / "out").exists()


def test_what_the_preset_leaves_out_is_counted_apart(toy, page, tmp_path, capsys):
    out = tmp_path / "out"
    digest(page, preset="demo", out=out, workers=2, device="cpu")
    assert capsys.readouterr().out.count("，1 条未测\n") == 1
    assert " · 1 条未测](report.html#toy)" in (out / "evidence.md").read_text(encoding="utf-8")
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "预算：none" in report
    assert "1 条未测" in report


def test_help_and_import_are_light():
    code = (
        "import sys, visus.cli.digest, visus.report.page, visus.report.words\n"
        "print([m for m in ('torch', 'matplotlib', 'jinja2', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_says_what_every_option_does(capsys):
    assert main(["digest", "--help"]) == 0
    text = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    for option in ("--preset", "--only", "--lang", "--out", "--seeds", "--workers", "--backend", "--device"):
        assert option in text
    assert "Exit code 0 also if claims fail" in text
    assert "[PAGE.md]" in text
