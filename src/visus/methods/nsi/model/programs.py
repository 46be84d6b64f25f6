"""Programs as text: the XML of a scene, and its JSON form.

    scene     := '<scene>' object* '</scene>'            a set, in any order, at most P_max objects
    object    := '<object>' attribute+ '</object>'
    attribute := '<' name '>' value '</' name '>'        a word of the vocabulary, a number, or "(x,y,z)"

Paper: 2403.07887, the structured program of nested primitives; the published rendering leaves the outer tags out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias
from xml.parsers import expat
from xml.sax.saxutils import escape

from visus.errors import InputError
from visus.methods.nsi.model.attributes import (
    Attribute,
    Categorical,
    Primitive,
    Scene,
    suggestion,
)
from visus.methods.nsi.model.schema import Schema

File: TypeAlias = str | Path | None

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
KEPT = {"\r": "&#13;"}
"""Beyond & < >: a bare carriage return would come back as a line feed."""


def serialize(objects: Sequence[Mapping[str, Any]], schema: Schema, *, partial: bool = False) -> str:
    """The XML program of a scene, one object a line; `parse` gives back exactly the scene.

    Raises
    ------
    InputError : the scene does not fit the schema.

    >>> from visus.methods.nsi.model.attributes import Categorical, Continuous
    >>> schema = Schema((Categorical("color", ("blue", "red")), Continuous("at", 2, (0, 0), (1, 1))), most=2)
    >>> print(serialize([{"color": "red", "at": (0.25, 1.0)}], schema))
    <scene>
      <object><color>red</color><at>(0.25,1.0)</at></object>
    </scene>
    >>> parse(serialize([{"color": "red", "at": (0.25, 1.0)}], schema), schema)
    ({'color': 'red', 'at': (0.25, 1.0)},)
    """
    lines = []
    for primitive in schema.check(objects, partial=partial):
        tags = "".join(f"<{name}>{_text(value)}</{name}>" for name, value in primitive.items())
        lines.append(f"  <object>{tags}</object>\n")
    return f"<scene>\n{''.join(lines)}</scene>"


def parse(text: str, schema: Schema, *, file: File = None, partial: bool = False) -> Scene:
    """The scene of an XML program.

    Parameters
    ----------
    text : the program. Comments, CDATA and an XML declaration may stand in it; document types, entities and
        processing instructions are refused, so reading a program opens no file and expands nothing.
    file : named in errors.
    partial : attributes may be missing that are not optional: a query.

    Raises
    ------
    InputError : not well-formed, an unknown tag or value, a missing or repeated attribute, too many objects:
        with the line, the tag and what is known there.
    """
    return _Reader(schema, file=file, partial=partial).read(text)


def to_json(objects: Sequence[Mapping[str, Any]], schema: Schema, *, partial: bool = False) -> str:
    """The JSON form of a scene on one line: {"objects": [{attribute: value}]}, as `Schema.json_schema` has it."""
    scene = schema.check(objects, partial=partial)
    return json.dumps({"objects": scene}, ensure_ascii=False, allow_nan=False)


def parse_json(text: str, schema: Schema, *, file: File = None, partial: bool = False) -> Scene:
    """The scene of a program in its JSON form.

    Raises
    ------
    InputError : broken JSON (with the line), other keys, or objects that do not fit the schema.
    """
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        problem, field = f"is not valid JSON ({error.msg})", f"line {error.lineno}"
        raise InputError(problem, file=file, field=field, remedy="check the commas and quotes") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"cannot be read ({error})", file=file, remedy="write a plain scene") from None
    objects = plain.get("objects") if isinstance(plain, dict) else None
    if not isinstance(objects, list) or len(plain) > 1 or not all(isinstance(each, dict) for each in objects):
        remedy = 'write {"objects": [{"attribute": value, ...}, ...]}'
        raise InputError("is not a scene", file=file, field="objects", remedy=remedy)
    return schema.check(objects, partial=partial, file=file)


def read_program(path: str | Path, schema: Schema, *, partial: bool = False) -> Scene:
    """The scene of a file: JSON when it is named .json, else XML.

    Raises
    ------
    InputError : the file is absent, not UTF-8, or does not fit the schema.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        remedy = "give a file with a program"
        raise InputError(f"cannot be read ({error.strerror})", file=path, remedy=remedy) from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", file=path, remedy="save it as UTF-8") from None
    read = parse_json if path.suffix.lower() == ".json" else parse
    return read(text, schema, file=path, partial=partial)


class _Reader:
    """One pass of expat over a program: three levels of tags, and nothing else."""

    def __init__(self, schema: Schema, *, file: File, partial: bool) -> None:
        self.schema, self.file, self.partial = schema, file, partial
        self.scene: list[Primitive] = []
        self.made: Primitive = {}
        self.path: list[str] = []
        self.text: list[str] = []
        self.expat = expat.ParserCreate()
        self.expat.StartElementHandler = self.start
        self.expat.EndElementHandler = self.end
        self.expat.CharacterDataHandler = self.characters
        self.expat.StartDoctypeDeclHandler = lambda *_: self.refuse("document type")
        self.expat.EntityDeclHandler = lambda *_: self.refuse("entity")
        self.expat.ProcessingInstructionHandler = lambda *_: self.refuse("processing instruction")

    def read(self, text: str) -> Scene:
        try:
            self.expat.Parse(text.encode("utf-8", "replace"), True)
        except expat.ExpatError as error:
            problem = f"is not well-formed ({expat.ErrorString(error.code)})"
            remedy = "close every tag in the order it was opened; write &lt; and &amp; for < and &"
            raise InputError(
                problem,
                file=self.file,
                field=f"line {error.lineno}, column {error.offset + 1}",
                remedy=remedy,
            ) from None
        return tuple(self.scene)

    def fail(self, problem: str, remedy: str, tag: str | None = None) -> NoReturn:
        raise InputError(problem, file=self.file, field=self.where(tag), remedy=remedy)

    def refuse(self, what: str) -> NoReturn:
        self.fail(f"has a {what}", "leave it out: a program is made of tags and values alone")

    def where(self, tag: str | None = None) -> str:
        line = f"line {self.expat.CurrentLineNumber}"
        return f"{line}, <{tag}>" if tag else line

    def start(self, tag: str, marks: dict[str, str]) -> None:
        depth = len(self.path)
        if marks:
            self.fail(f"has {next(iter(marks))}= inside the tag", "write values between tags", tag)
        if depth < 2 and tag != (wanted := ("scene", "object")[depth]):
            self.fail("unknown tag", f"<{wanted}> is the only tag that may stand here", tag)
        if depth == 1:
            if len(self.scene) == self.schema.most:
                problem = f"is object {len(self.scene) + 1}, the schema allows {self.schema.most}"
                self.fail(problem, "drop some, or train with a schema that allows more", tag)
            self.made = {}
        if depth == 2:
            if tag not in self.schema.by_name:
                self.fail("unknown tag", suggestion(tag, self.schema.by_name, "attributes"), tag)
            if tag in self.made:
                self.fail("stands twice in one object", "give each attribute once", tag)
            self.text = []
        if depth == 3:
            self.fail(f"stands inside <{self.path[-1]}>", "write a value there, without tags", tag)
        self.path.append(tag)

    def characters(self, text: str) -> None:
        if len(self.path) == 3:
            self.text.append(text)
        elif text.strip():
            tag = self.path[-1]
            self.fail(f"holds the text {text.strip()!r}", "put values into the tags of attributes", tag)

    def end(self, tag: str) -> None:
        self.path.pop()
        if len(self.path) == 2:
            attribute = self.schema.by_name[tag]
            value = _value("".join(self.text), attribute)
            self.made[tag] = attribute.check(value, file=self.file, field=self.where(tag))
        elif len(self.path) == 1:
            self.finish(tag)

    def finish(self, tag: str) -> None:
        """An object's end: nothing may be missing, and attributes take the schema's order."""
        if not self.made:
            self.fail("has no attribute", "give at least one", tag)
        for name, attribute in self.schema.by_name.items():
            if name not in self.made and not (self.partial or attribute.optional):
                remedy = f"add <{name}>, or make the attribute optional in the schema"
                self.fail(f"lacks the attribute {name!r}", remedy, tag)
        self.scene.append({name: self.made[name] for name in self.schema.by_name if name in self.made})


def _text(value: str | float | tuple[float, ...]) -> str:
    if isinstance(value, str):
        return escape(value, KEPT)
    return f"({','.join(map(repr, value))})" if isinstance(value, tuple) else repr(value)


def _value(text: str, attribute: Attribute) -> Any:
    """What stands between two tags: exact where the vocabulary knows it so, else without surrounding blanks."""
    if isinstance(attribute, Categorical):
        return text if text in attribute.index else text.strip()
    inner = text.strip()
    if inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1]
    parts = [part.strip() for part in inner.split(",")]
    return tuple(map(float, parts)) if all(map(NUMBER.fullmatch, parts)) else text.strip()
