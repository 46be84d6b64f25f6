"""What can go wrong, in words a person can act on."""

from __future__ import annotations

from pathlib import Path


class VisusError(Exception):
    """Base of every error visus raises on purpose. The command line prints it without a traceback."""

    exit_code = 1


class InputError(VisusError, ValueError):
    """Something the caller gave cannot be used.

    Parameters
    ----------
    problem : what is wrong, one clause.
    file : the file it was found in, if any.
    field : the column, key, line or argument it was found in, if any.
    remedy : what to do about it.

    >>> print(InputError("is not a number", file="t.csv", field="age, line 3", remedy="leave it empty"))
    t.csv: age, line 3: is not a number. What to do: leave it empty.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem, self.file, self.field, self.remedy = problem, file, field, remedy
        where = ": ".join(str(part) for part in (file, field) if part is not None)
        text = f"{where}: {problem}" if where else problem
        text = text.rstrip(".") + "."
        if remedy:
            remedy = remedy.rstrip(".")
            text += f" What to do: {remedy}{'' if remedy.endswith('?') else '.'}"
        super().__init__(text)

    def __reduce__(self):  # keyword-only arguments do not survive the default pickling between processes
        return _rebuild, (self.problem, self.file, self.field, self.remedy)


def _rebuild(problem: str, file: str | Path | None, field: str | None, remedy: str | None) -> InputError:
    return InputError(problem, file=file, field=field, remedy=remedy)


class MissingExtra(VisusError, ImportError):
    """An optional package is not installed; the message says how to get it."""


class MissingData(VisusError, FileNotFoundError):
    """Real data that a person must provide is not there; the message says where it is from and where to put it."""

    exit_code = 2


class Interrupted(VisusError):
    """The person asked to stop. The work so far is in the run folder; running again goes on from there."""

    exit_code = 130
