"""Data sets that a command is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.errors import InputError

if TYPE_CHECKING:
    from visus.data.gaze.table import GazeTable

_DROPS = {"egd": ("missing", "several"), "reflacx": ("missing",), "own": ("unknown",)}
"""Layout -> options of its reader that leave out what is incomplete."""
_TAKES = {"egd": ("mimic",), "reflacx": ("mimic", "target"), "own": ("labels", "fixations")}
"""Layout -> what can be said of it."""


def read_data(
    data: Path,
    *,
    labels: Path | None = None,
    fixations: Path | None = None,
    mimic: Path | None = None,
    target: str | None = None,
    skip: bool = False,
) -> GazeTable:
    """Radiographs with gaze: EGD-CXR, REFLACX, or one's own pictures with tables (see `read_gaze`).

    Parameters
    ----------
    labels, fixations : tables of one's own pictures, if they are not found beside them.
    mimic : where the pictures of EGD-CXR or REFLACX lie.
    target : the finding of REFLACX to learn.
    skip : leave out what is incomplete (absent pictures, none or several diagnoses, fixations on unknown pictures)
        instead of refusing it.

    Raises
    ------
    InputError : names the file and the column or line, or an option that this layout does not have.
    """
    from visus.data.corpora.gaze_files import read_gaze

    layout = _layout(data)
    given = {"labels": labels, "fixations": fixations, "mimic": mimic, "target": target}
    named: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name, value in named.items():
        if name not in _TAKES[layout]:
            problem = "is not for this kind of data"
            remedy = f"options for it: {', '.join('--' + name for name in _TAKES[layout])}"
            raise InputError(problem, file=data, field=f"--{name}", remedy=remedy)
        if isinstance(value, Path) and not value.exists():
            raise InputError("does not exist", file=value, field=f"--{name}", remedy="check the path")
    if "mimic" in named:
        named["images"] = named.pop("mimic")
    for name in _DROPS[layout] if skip else ():
        named[name] = "drop"
    return read_gaze(data, **named)


def _layout(data: Path) -> str:
    from visus.data.corpora.egd_cxr import is_egd_cxr
    from visus.data.corpora.reflacx import is_reflacx

    if data.name == "master_sheet.csv" or (data.is_dir() and is_egd_cxr(data)):
        return "egd"
    return "reflacx" if data.is_dir() and is_reflacx(data) else "own"
