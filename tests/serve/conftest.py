"""A served folder with real models and evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_client import Client, paper, served

from visus.records import write_json


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Real digits as PNG files, one folder per class, and six loose ones in `loose`."""
    from visus.data.corpora.image_folder import write_image_folder
    from visus.methods.attention.claims import digits

    folder = tmp_path_factory.mktemp("pictures")
    source = digits("train").subset(range(66))
    image, target = source["image"].numpy(), source["target"]
    write_image_folder(folder / "by-class", image[:60], target[:60])
    write_image_folder(folder / "loose", image[60:], ["."] * 6)
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory, pictures) -> Path:
    """`runs` with a fitted model, evidence, a report, broken evidence, and links that lead out."""
    from visus.methods.attention import verbs
    from visus.study import to_json

    runs = tmp_path_factory.mktemp("served") / "runs"
    verbs.fit(pictures / "by-class", out=runs / "digits", preset="smoke", device="cpu")
    write_json(runs / "study" / "evidence.json", to_json([paper()], preset="smoke", device="cpu"))
    (runs / "study" / "report.html").write_text("<h1>A report</h1><script>1</script>", encoding="utf-8")
    (runs / "broken").mkdir()
    (runs / "broken" / "evidence.json").write_text("{", encoding="utf-8")
    return runs


@pytest.fixture(scope="session")
def site(folder, tmp_path_factory) -> Iterator[Client]:
    with served(folder, tmp_path_factory.mktemp("scratch"), max_files=10, max_megabytes=1) as client:
        yield client


@pytest.fixture(scope="session")
def attention(site) -> str:
    """The id of the fitted model."""
    (model,) = [model for model in site.ask("/api/models").json if model["method"] == "attention"]
    return model["id"]


@pytest.fixture
def loose(pictures) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted((pictures / "loose").glob("*.png"))]
