"""The pages and what surrounds them: catalogue, evidence, languages, headers, refusals."""

from __future__ import annotations

import re
from html import unescape
from importlib.resources import files

import pytest
import serve_needs  # noqa: F401
from serve_client import NASTY

from visus.catalogue import cards
from visus.serve.pages import style
from visus.serve.words import WORDS

PAGES = ("/", "/models", "/reports", "/papers/attention", "/papers/nsi")


def test_the_catalogue_lists_every_paper_those_that_work_first(site):
    page = site.ask("/")
    assert page.status == 200
    shown = re.findall(r'href="/papers/(\w+)\?lang=en"', page.text)
    assert shown == [card.slug for card in cards()]
    states = re.findall(r'<span class="state (\w+)">', page.text)
    assert states == [card.status for card in cards()]
    assert states == sorted(states, reverse=True)


def test_both_languages(site):
    english, chinese = site.ask("/?lang=en").text, site.ask("/?lang=zh").text
    assert '<html lang="en">' in english
    assert '<html lang="zh-Hans">' in chinese
    for card in cards():
        assert card.title in unescape(english)
        assert card.title_zh in unescape(chinese)
    assert 'href="?lang=zh"' in english
    assert 'href="?lang=en"' in chinese
    assert site.ask("/?lang=xx").text == english


@pytest.mark.parametrize("card", cards(), ids=lambda card: card.slug)
def test_every_paper_has_its_page(site, card):
    page = unescape(site.ask(f"/papers/{card.slug}?lang=zh").text)
    assert card.title in page
    assert card.summary_zh in page
    assert card.gives_zh in page
    assert (f"from {card.package} import {card.estimator}" in page) is card.implemented


def test_a_paper_shows_its_commands_models_and_evidence(site, attention):
    page = site.ask("/papers/attention").text
    assert "visus attention fit --help" in page
    assert "Train a classifier" in page
    assert f"/models/{attention}?lang=en" in page
    assert "runs/study/evidence.json" in page
    assert "holds" in page
    assert "+0.040" in page
    assert "[+0.030, +0.050]" in page
    assert NASTY not in page
    assert NASTY in unescape(page)
    assert "成立" in site.ask("/papers/attention?lang=zh").text
    assert "visus reproduce hyperfusion" in site.ask("/papers/hyperfusion").text


def reports(site) -> dict[str, str]:
    found = re.findall(r'<a href="(/reports/\w+)\?lang=en">([^<]+)</a>', site.ask("/reports").text)
    return {name: address for address, name in found}


def test_reports_are_found_and_cannot_run_anything(site):
    found = reports(site)
    assert sorted(found) == [
        "runs/broken/evidence.json",
        "runs/study/evidence.json",
        "runs/study/report.html",
    ]
    report = site.ask(found["runs/study/report.html"])
    assert "<h1>A report</h1>" in report.text
    drawn = site.ask(found["runs/study/evidence.json"] + "?lang=zh")
    assert "实测证据" in drawn.text
    assert "<svg" in drawn.text
    assert "<script" not in drawn.text
    for answer in (report, drawn):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none'")
        assert "script" not in policy
        assert "allow" not in policy


def test_broken_evidence_is_told_where_it_is_opened_and_nowhere_else(site, folder):
    answer = site.ask(reports(site)["runs/broken/evidence.json"])
    assert answer.status == 400
    assert "is not valid JSON" in answer.text
    assert site.ask("/papers/attention").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/papers/nothing",
        "/reports/0123456789ab",
        "/models/0123456789ab",
        "/reports/..%2f..%2fetc%2fpasswd",
        "/reports/../../../../etc/passwd",
        "/models/..%2fstudy",
        "//evil.example/x",
        "/api/nothing",
        "/docs",
        "/redoc",
    ],
)
def test_what_does_not_exist(site, path):
    answer = site.ask(path)
    assert answer.status == 404
    assert "root:" not in answer.text
    assert "evil" not in answer.text
    assert ("error" in answer.json) if path.startswith("/api") else ("There is no such" in answer.text)


@pytest.mark.parametrize("path", [*PAGES, "/style.css", "/api/papers", "/nothing", "/api/nothing"])
def test_every_answer_has_the_security_headers(site, path):
    headers = site.ask(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("path", PAGES)
def test_pages_need_nothing_from_elsewhere(site, path, lang):
    text = site.ask(f"{path}?lang={lang}").text
    assert "<script" not in text
    assert " style=" not in text
    assert not re.findall(r'src="', text)
    outward = re.findall(r'href="(https?://[^"]+)"', text)
    assert all(address.startswith("https://arxiv.org/abs/") for address in outward)
    assert not re.findall(r"url\(|@import", style())
    assert [mark for mark in ("{{", "{%", "None") if mark in text] == []


def test_the_style_is_the_reports_and_more(site):
    sheet = site.ask("/style.css")
    assert sheet.headers["content-type"].startswith("text/css")
    used = set(re.findall(r"var\((--[\w-]+)\)", sheet.text))
    assert used <= set(re.findall(r"(--[\w-]+):", sheet.text))
    assert "prefers-color-scheme: dark" in sheet.text


def test_words_are_the_same_in_both_languages_and_all_used():
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    for key, english in WORDS["en"].items():
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", WORDS["zh"][key]))
    folder = files("visus.serve") / "templates"
    text = "".join(item.read_text() for item in folder.iterdir() if item.name.endswith(".j2"))
    in_templates = set(re.findall(r"\bw\.(\w+)", text))
    in_code = {"works", "planned", "no_page", "no_model", "too_large", "busy", "slow"}
    assert in_templates | in_code == set(WORDS["en"])


def test_the_interface_for_programs(site, attention):
    papers = site.ask("/api/papers").json
    assert [paper["slug"] for paper in papers] == [card.slug for card in cards()]
    assert papers[0]["title_zh"] == cards()[0].title_zh
    (model,) = [model for model in site.ask("/api/models").json if model["id"] == attention]
    assert model["name"] == "runs/digits/model"
    assert model["predict"] == f"/api/models/{attention}/predict"
    assert model["table"] == "optional"
    assert sorted(model["columns"]) == ["image_column", "text_column"]
    described = site.ask("/api/openapi.json").json
    assert sorted(described["paths"]) == ["/api/models", "/api/models/{id}/predict", "/api/papers"]
    body = described["paths"]["/api/models/{id}/predict"]["post"]["requestBody"]
    assert "multipart/form-data" in body["content"]


def test_other_names_and_other_sites_are_refused(site, attention, loose):
    assert site.ask("/", headers={"Host": "evil.example"}).status == 421
    assert site.ask("/", headers={"Host": "["}).status == 421
    assert site.ask("/", headers={"Host": "localhost:1"}).status == 200
    assert site.ask("/", headers={"Host": "[::1]:8765"}).status == 200
    path = f"/api/models/{attention}/predict"
    refused = site.send(path, loose, {"Origin": "http://evil.example"})
    assert refused.status == 403
    assert "content-security-policy" in refused.headers
    assert site.send(path, loose, {"Origin": "null"}).status == 403
    assert site.send(path, loose, {"Origin": f"http://127.0.0.1:{site.port}"}).status == 200
