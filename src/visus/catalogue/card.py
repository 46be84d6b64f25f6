"""What the catalogue says of one paper."""

from __future__ import annotations

import importlib
import re
from typing import Any, Literal

from visus.catalogue.arxiv import read_arxiv
from visus.errors import InputError, MissingExtra
from visus.records import record

Language = Literal["en", "zh"]
EXTRAS = ("medical", "video", "diffusion", "text", "rsa", "cluster", "ray", "serve", "tensorboard")


@record
class Card:
    """One paper: what it is, what a user gets from it and where its code lives.

    Every text is given in English and, under the same name with `_zh`, in Chinese.
    """

    slug: str
    arxiv: str
    """Number without version."""
    title: str
    title_zh: str
    other_titles: tuple[str, ...] = ()
    """Titles of other versions of the same paper."""
    authors: tuple[str, ...]
    year: int
    """Year of the first version."""
    task: str
    task_zh: str
    summary: str
    """What the method is."""
    summary_zh: str
    gives: str
    """What a user gets."""
    gives_zh: str
    status: Literal["works", "planned"]
    extra: str | None
    """The extra without which the method does not start; None where the core suffices."""
    package: str
    estimator: str | None
    """Class name in `package`; None while the paper is planned."""
    verbs: tuple[str, ...]
    """Names for `visus <slug> <verb>`."""

    @property
    def url(self) -> str:
        """The paper's address."""
        return f"https://arxiv.org/abs/{self.arxiv}"

    @property
    def implemented(self) -> bool:
        """Whether the method can be used now."""
        return self.status == "works"

    def text(self, field: Literal["title", "task", "summary", "gives"], lang: Language = "en") -> str:
        """One of the texts in the language asked for."""
        return getattr(self, f"{field}_zh" if lang == "zh" else field)

    def load(self) -> type[Any]:
        """The estimator's class; its package is imported now and not before.

        Raises `InputError` for a planned paper and `MissingExtra` where an optional package is not installed.
        """
        if self.estimator is None:
            raise InputError(
                "is planned and has no estimator yet",
                field=self.slug,
                remedy="see `visus list --status works`",
            )
        try:
            module = importlib.import_module(self.package)
            return getattr(module, self.estimator)
        except MissingExtra:
            raise
        except ImportError as error:
            name = error.name or str(error)
            if name.split(".")[0] == "visus":
                raise
            wanted = f'"visus[{self.extra}]"' if self.extra else name.split(".")[0]
            raise MissingExtra(f"{self.slug} needs {name}: pip install {wanted}") from error

    def claims(self) -> tuple[str, ...]:
        """Names of the claims the method declares; empty for a planned paper. Imports the method."""
        return tuple(claim.id for claim in self.load().claims()) if self.implemented else ()

    def check(self, file: str) -> None:
        """Raise `InputError` where the fields do not fit together; `file` is the card's file name."""
        for field, wrong, remedy in self._faults(file.rsplit("/", 1)[-1]):
            if wrong:
                raise InputError(
                    f"{getattr(self, field)!r} does not fit", file=file, field=field, remedy=remedy
                )

    def _faults(self, name: str) -> list[tuple[str, bool, str]]:
        texts = ("title", "task", "summary", "gives")
        numbered = read_arxiv(self.arxiv)
        return [
            ("slug", not re.fullmatch(r"[a-z][a-z0-9]*", self.slug), "use lower-case letters and digits"),
            ("slug", name != f"{self.slug}.yaml", f"name the file {self.slug}.yaml"),
            ("arxiv", numbered != (self.arxiv, None), "write the number without version, in quotes"),
            ("authors", not self.authors, "name at least one author"),
            ("year", not 1991 <= self.year <= 2100, "write the year of the first version"),
            ("package", self.package != f"visus.methods.{self.slug}", f"write visus.methods.{self.slug}"),
            ("extra", self.extra not in (None, *EXTRAS), "choose one of " + ", ".join(EXTRAS) + " or null"),
            (
                "estimator",
                (self.estimator is not None) != self.implemented,
                "name it if and only if it works",
            ),
            ("verbs", bool(self.verbs) != self.implemented, "name them if and only if the method works"),
            ("verbs", len(set(self.verbs)) != len(self.verbs), "name every verb once"),
            *((name, not getattr(self, name).strip(), "write it") for name in texts),
            *(
                (
                    f"{name}_zh",
                    not re.search("[\u4e00-\u9fff]", getattr(self, f"{name}_zh")),
                    "write it in Chinese",
                )
                for name in texts
            ),
        ]
