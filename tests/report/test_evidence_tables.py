"""The evidence tables of README and of the methods' pages."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import report_examples as examples

from visus.catalogue import works
from visus.errors import InputError
from visus.report.evidence_tables import BEGIN, END, claims_table, evidence_of, main, summary_table, update
from visus.study import to_json


@pytest.fixture(scope="module")
def document():
    papers = [examples.attention(), examples.hyperfusion()]
    made = to_json(papers, preset="demo", device="cpu")
    return json.loads(json.dumps({**made, **examples.HEADER}))


@pytest.fixture
def readme(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"# visus\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter é\n", encoding="utf-8")
    return file


def test_a_row_per_claim_with_its_numbers(document):
    lines = claims_table(document, "attention").splitlines()
    rows = lines[2:-2]
    assert len(rows) == len(examples.ALL)
    assert rows[0].startswith("| Super attention classifies")
    assert rows[0].endswith("| +0.046 | [+0.024, +0.067] | ✓ holds |")
    assert rows[1].endswith("| −0.110 | [−0.148, −0.072] | ✗ fails |")
    assert rows[5].endswith("| – | – | ? undecided |")
    assert {row.replace(r"\|", "").count("|") for row in rows} == {5}
    assert lines[-1] == "visus 0.1.0 · Commit 0123abc · Preset demo · Device cpu · 2026-11-22"
    assert "✓ 成立" in claims_table(document, "attention", lang="zh")
    assert claims_table(document, "gptnas") is None


def test_papers_of_several_measurements_say_which_is_whose(document):
    mixed = json.loads(json.dumps(document))
    for row in mixed["papers"][0]["claims"]:
        row["from"] = {"visus": "0.0.9", "commit": "fedcba9", "device": "cuda", "date": "2026-01-02T00:00:00"}
    old, new = (
        "visus 0.0.9 · Commit fedcba9 · Preset demo · Device cuda · 2026-01-02",
        "visus 0.1.0 · Commit 0123abc · Preset demo · Device cpu · 2026-11-22",
    )
    assert summary_table(mixed).splitlines()[-3:] == [f"attention: {old}", "", f"hyperfusion: {new}"]
    assert claims_table(mixed, "attention").splitlines()[-1] == old
    assert claims_table(mixed, "hyperfusion").splitlines()[-1] == new


def test_a_row_per_paper_and_the_claims_that_fail(document):
    lines = summary_table(document).splitlines()
    assert lines[0] == "| Paper | ✓ holds | ✗ fails | ? undecided | – not measured |"
    papers = {"attention": examples.attention(), "hyperfusion": examples.hyperfusion()}
    for line, (slug, paper) in zip(lines[2:4], papers.items(), strict=True):
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert name == f"[{slug}](docs/{slug}.md)"
        assert sum(map(int, cells)) == len(paper.claims)
        assert int(cells[1]) == sum(claim.verdict == "fails" for claim in paper.claims)
    failing = [line for line in lines if line.endswith("✗ fails |")]
    assert failing
    assert all(line.startswith(("| attention |", "| hyperfusion |")) for line in failing)
    assert "| ✓ 成立 |" in summary_table(document, lang="zh")


def test_records_survive_the_way_through_json(document):
    for made, row in zip(examples.attention().claims, document["papers"][0]["claims"], strict=True):
        found = evidence_of(row)
        assert found.claim == made.claim
        assert (found.effect, found.interval, found.verdict) == (made.effect, made.interval, made.verdict)
        assert str(found.arms) == str(made.arms)  # as text, because nan differs from itself


def test_only_what_every_file_has_is_needed():
    row = {
        "id": "a",
        "statement": "s",
        "metric": "m",
        "direction": "higher",
        "smallest_effect": 0.1,
        "arms": {"x": [1.5], "y": [1.0]},
        "effect": 0.5,
        "interval": None,
        "verdict": "undecided",
    }
    found = evidence_of(row)
    assert (found.claim.candidate, found.claim.reference) == ("x", "y")
    assert "| +0.50 |" in claims_table({"papers": [{"slug": "unknown", "claims": [row]}]}, "unknown")
    for key in row:
        less = {"papers": [{"slug": "p", "claims": [{k: v for k, v in row.items() if k != key}]}]}
        for make in (summary_table, lambda document: claims_table(document, "p")):
            with pytest.raises(InputError):
                make(less)


def test_only_what_stands_between_the_markers_changes(document, readme, tmp_path):
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        file.write_text(json.dumps(document))
    assert update(readme, files)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"# visus\n\nbefore\n\n{BEGIN}\n| Paper |")
    assert text.endswith(f"{END}\n\nafter é\n")
    assert "\nold\n" not in text
    assert text.count("| Paper | ✓ holds |") == 2
    assert not update(readme, files)


def test_a_page_named_after_a_paper_gets_its_claims(document, readme, tmp_path):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(document))
    page = readme.rename(tmp_path / "attention.md")
    assert update(page, [file])
    assert page.read_text(encoding="utf-8").count("| ✓ holds |") == sum(
        claim.verdict == "holds" for claim in examples.attention().claims
    )


def test_wrong_input_leaves_the_readme_alone(document, readme, tmp_path, capsys):
    before = readme.read_text()
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(document))
    bad.write_text('{"papers": [{"slug": "p"}]}')
    with pytest.raises(InputError, match=r"bad\.json: p: has no claims"):
        update(readme, [good, bad])
    assert main([str(readme), "--evidence", str(tmp_path / "missing.json")]) == 2
    assert "missing.json: does not exist" in capsys.readouterr().err
    assert readme.read_text() == before
    readme.write_text("no markers")
    assert main([str(readme), "--evidence", str(good)]) == 2
    assert "has no place for the table" in capsys.readouterr().err
    with pytest.raises(InputError, match="does not exist"):
        update(tmp_path / "no.md", [good])


def test_as_a_command(document, readme, tmp_path):
    file = tmp_path / "e.json"
    file.write_text(json.dumps(document))
    command = [sys.executable, "-W", "error", "-m", "visus.report.evidence_tables", str(readme)]
    done = subprocess.run(
        [*command, "--evidence", str(file), "--lang", "zh"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("README.md: written")
    assert "✗ 不成立" in readme.read_text(encoding="utf-8")


def test_the_pages_of_the_checkout_have_the_markers(root):
    for page in (root / "README.md", *(root / "docs" / f"{card.slug}.md" for card in works())):
        text = page.read_text(encoding="utf-8")
        assert text.count(BEGIN) == text.count(END) == 1, page
