"""Entry point: find the verb, call it, turn errors into one line and an exit code."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

from visus.errors import InputError, VisusError
from visus.version import __version__


class Verb(NamedTuple):
    """Where a verb lives, and what it does in one line."""

    module: str
    function: str
    help: str


VERBS = {
    "list": Verb("visus.cli.papers", "papers", "the papers of the catalogue, and which of them work"),
    "show": Verb("visus.cli.show", "show", "one paper: what it is, what you get, how to use it"),
    "digest": Verb(
        "visus.cli.digest", "digest", "a digest page in, the same page with measured evidence out"
    ),
    "reproduce": Verb("visus.cli.reproduce", "reproduce", "measure the claims of one paper"),
    "serve": Verb(
        "visus.serve.command",
        "serve",
        "a web app on this machine: papers, reports, predictions with your models",
    ),
    "doctor": Verb(
        "visus.cli.doctor", "doctor", "this machine: Python, torch, device, extras, disk, weights"
    ),
}


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code (0 done, 1 failed, 2 wrong input, 130 stopped)."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show Chinese still shows the rest
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # how the argument parser ends
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        _complain("stopped")
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except VisusError as error:
        if os.environ.get("VISUS_TRACEBACK") == "1":
            traceback.print_exc()
        else:
            _complain(str(error))
        return error.exit_code
    except OSError as error:
        if error.filename is None and error.errno not in _NO_SPACE:
            raise  # no file of the person's: a bug
        if os.environ.get("VISUS_TRACEBACK") == "1":
            traceback.print_exc()
        else:
            where = "" if error.filename is None else f"{error.filename}: "
            _complain(f"{where}{error.strerror or type(error).__name__}")
        return 1


def _dispatch(words: list[str]) -> int:
    word = words[0] if words else "--help"
    if word in ("-h", "--help", "help"):
        from visus.cli.overview import overview

        overview({name: verb.help for name, verb in VERBS.items()})
        return 0
    if word in ("-V", "--version", "version"):
        print(f"visus {__version__}")
        return 0
    if word in VERBS:
        from visus.cli.arguments import call

        verb = VERBS[word]
        function = getattr(importlib.import_module(verb.module), verb.function)
        result = call(function, words[1:], prog=f"visus {word}")
        return result if type(result) is int else 0
    from visus.catalogue import cards, nearest

    slugs = [card.slug for card in cards()]
    if word in slugs:
        from visus.cli.method import method

        method(word, words[1:])
        return 0
    remedy = nearest(word, [*VERBS, *slugs]) or "see `visus --help`"
    raise InputError(f"there is no command {word!r}", remedy=remedy)


def _complain(message: str) -> None:
    from visus.cli.terminal import error_line

    error_line(message)
