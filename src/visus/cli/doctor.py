"""`visus doctor`."""

from __future__ import annotations

import json as text
from typing import Any

from visus.cli.machine import inspect
from visus.cli.terminal import heading, listing


def doctor(*, json: bool = False) -> None:
    """This machine: Python, torch, device, threads, memory, disk, extras and weights found without a network.

    Args:
        json: print everything as JSON.
    """
    found = inspect()
    if json:
        print(text.dumps(found, indent=1, ensure_ascii=False))
        return
    torch, device, threads, memory = (found[name] for name in ("torch", "device", "threads", "memory"))
    build = f"CUDA {torch['cuda']}" if torch.get("cuda") else "no CUDA"
    heading(f"visus {found['visus']}")
    listing(
        [
            ("Python", f"{found['python']['version']}  {found['python']['executable']}"),
            ("platform", found["platform"]),
            ("torch", f"{torch['version']} ({build})" if torch["version"] else "not usable"),
            ("device", f"{device['kind']}: {device['name']} ({size(device['memory'])})"),
            (
                "threads",
                f"{threads['torch']} used by torch, {threads['allowed']} of {threads['cores']} cores allowed",
            ),
            ("memory", f"{size(memory['free'])} free of {size(memory['total'])}"),
            *((f"disk {place}", _disk(where)) for place, where in found["disk"].items()),
        ]
    )
    _section(
        "extras", [(name, _extra(extra)) for name, extra in found["extras"].items()], "visus is not installed"
    )
    weights = [
        (item["name"], f"{item['what']}, {size(item['bytes'])}  {item['path']}") for item in found["weights"]
    ]
    _section("weights found offline", weights, "none")
    _section("warnings", [("!", warning) for warning in found["warnings"]], "none")


def size(count: int | None) -> str:
    """Bytes for people.

    >>> size(3_500_000_000), size(None)
    ('3.3 GiB', 'unknown size')
    """
    if count is None:
        return "unknown size"
    amount, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def _section(title: str, rows: list[tuple[str, str]], nothing: str) -> None:
    print()
    heading(title)
    if rows:
        listing(rows)
    else:
        print(f"  {nothing}")


def _disk(where: dict[str, Any]) -> str:
    return f"{size(where['free'])} free of {size(where['total'])}  {where['path']}"


def _extra(extra: dict[str, Any]) -> str:
    there = ", ".join(f"{name} {version}" for name, version in extra["installed"].items())
    if not extra["missing"]:
        return f"installed: {there}"
    return f"missing {', '.join(extra['missing'])}: {extra['hint']}"
