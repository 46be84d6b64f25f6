"""The user's files: pictures with a program each, known corpora of scenes, loose pictures, classes of pictures.

    FOLDER/beach.jpg  FOLDER/beach.xml          a program (XML or JSON) beside every picture, sub-folders too
    FOLDER/programs.jsonl                       one line per picture: {"image": "beach.jpg", "objects": [...]}
    FOLDER/masks/beach.png                      optional, for evaluation: 0 background, j + 1 = object j

Either may stand inside train/ and test/. CLEVR, CLEVR-Hans, CLEVRTex and COCO folders are read as they are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Int

from visus.data.corpora.pictures import load_pictures
from visus.data.corpora.scene_pictures import layout_of, read_scenes
from visus.data.corpora.stills import Object, Stills, View
from visus.data.formats import PICTURES, write_image
from visus.data.formats.images import read_labels, write_labels
from visus.data.loader import iterate
from visus.errors import InputError
from visus.methods.nsi.model.attributes import NAME as TAG
from visus.methods.nsi.model.programs import parse, serialize
from visus.methods.nsi.model.schema import Schema
from visus.protocols import Source
from visus.records import read_json, write_atomically

Part = Literal["train", "validation", "test"]
TABLE = "programs.jsonl"
MASKS = "masks"
MOST_OBJECTS = 255
OUTSIDE_PARENTHESES = re.compile(r",(?![^()]*\))")


class ProgramPictures(Stills):
    """Pictures with the objects that their programs name.

    `segmentation` is there if every picture has a mask.
    """

    def __init__(
        self, pictures: Sequence[Path], scenes: Sequence[list[Object]], *, view: View, folder: Path
    ) -> None:
        super().__init__(pictures, [_name(path, folder) for path in pictures], view=view, folder=folder)
        self.scenes = list(scenes)
        self.masks = [folder / MASKS / f"{name}.png" for name in self.names]
        self.has_masks = all(mask.is_file() for mask in self.masks)

    def objects(self, index: int) -> list[Object]:
        return self.scenes[self.entries[index]]

    def whole_segmentation(self, index: int, height: int, width: int) -> Int[np.ndarray, "h w"]:
        file = self.masks[self.entries[index]]
        found = read_labels(file)
        if found.shape != (height, width):
            problem = f"has {found.shape} pixels, the picture {(height, width)}"
            raise InputError(problem, file=file, remedy="save the mask at the picture's size")
        return found


def read_data(path: Path, *, part: Part, size: int, schema: Schema | None = None) -> Any:
    """Pictures with programs, whichever layout `path` holds, as squares of `size` pixels.

    Parameters
    ----------
    schema : what programs are made of; without it every attribute is read as it stands, and what looks like a
        number, or like numbers in parentheses, is one.

    Raises
    ------
    InputError : nothing there that can be read, a program without a picture or the reverse, or a program that
        cannot be read: with file and line.
    """
    if not path.is_dir():
        problem = "does not exist" if not path.exists() else "is not a folder"
        raise InputError(problem, file=path, remedy="give a folder of pictures with programs")
    if layout_of(path) is not None:
        return read_scenes(path, part=part, size=size)
    folder = path / part if (path / part).is_dir() else path
    listed = _table(folder, schema) if (folder / TABLE).is_file() else _beside(folder, schema)
    if not listed:
        other = next((name for name in ("train", "test") if (path / name).is_dir()), None)
        remedy = f"add the part {part}" if other else "put a program (.xml or .json) beside every picture"
        raise InputError("holds no pictures with programs", file=folder, remedy=remedy)
    _refuse_mixed(listed)
    view = View(size=size, max_objects=MOST_OBJECTS)
    made = ProgramPictures([p for p, _ in listed], [s for _, s in listed], view=view, folder=folder)
    return made._settle()


def read_loose(path: Path, *, part: Part, size: int) -> Any:
    """Pictures whose programs, if any, are not asked for: what `read_data` reads, a folder, or one picture."""
    if path.is_dir() and layout_of(path) is not None:
        return read_scenes(path, part=part, size=size)
    if not path.exists():
        raise InputError("does not exist", file=path, remedy="give a picture, or a folder of pictures")
    folder = path / part if (path / part).is_dir() else path
    return load_pictures(folder, "test", labeled=False, image_size=(size, size))


def read_classes(path: Path, *, part: Part, size: int) -> Any:
    """Pictures with classes: one sub-folder per class, a table, or CLEVR-Hans."""
    if path.is_dir() and layout_of(path) == "CLEVR-Hans":
        return read_scenes(path, part=part, size=size)
    return load_pictures(path, "train" if part == "train" else "test", image_size=(size, size))


def read_query(text: str) -> tuple[str, str | None]:
    """A query as XML and the file it came from: a file's content, XML itself, or words `color=red shape=cube`.

    Words name one object; a comma begins the next one. Vectors stand in parentheses, without blanks.

    >>> read_query("color=red shape=cube, size=small")[0]
    '<scene><object><color>red</color><shape>cube</shape></object><object><size>small</size></object></scene>'
    >>> read_query("at=(0.2,0.6)")[0]
    '<scene><object><at>(0.2,0.6)</at></object></scene>'
    """
    if text.lstrip().startswith("<"):
        return text, None
    if text.lower().endswith((".xml", ".json")):
        path = Path(text)
        if not path.is_file():
            raise InputError("does not exist", file=path, remedy="give a file, XML, or words like color=red")
        if path.suffix.lower() == ".xml":
            return path.read_text(encoding="utf-8-sig"), text
        return serialize_loosely(_json_scene(path)), text
    objects = []
    for words in OUTSIDE_PARENTHESES.split(text):
        pairs = [word.partition("=") for word in words.split()]
        named = {name: value for name, _, value in pairs}
        if not pairs or not all(map(TAG.fullmatch, named)) or not all(named.values()):
            remedy = "write color=red shape=cube, or XML, or name a file"
            raise InputError(f"{text!r} is no query", field="query", remedy=remedy)
        if len(named) < len(pairs):
            remedy = "begin another object with a comma"
            raise InputError(f"{words.strip()!r} names an attribute twice", field="query", remedy=remedy)
        objects.append(named)
    return serialize_loosely(objects), None


def serialize_loosely(objects: Sequence[Object]) -> str:
    """XML of objects as they stand; a schema checks it when it is parsed."""
    from xml.sax.saxutils import escape

    def text(value: Any) -> str:
        return f"({','.join(map(str, value))})" if isinstance(value, list | tuple) else escape(str(value))

    tags = ("".join(f"<{name}>{text(value)}</{name}>" for name, value in each.items()) for each in objects)
    return f"<scene>{''.join(f'<object>{inner}</object>' for inner in tags)}</scene>"


def write_pictures(folder: Path, source: Source, schema: Schema) -> int:
    """Write pictures with an XML program beside each, and masks where there are some; returns how many."""
    count = 0
    for batch in iterate(source, 32):
        for i, name in enumerate(batch["name"]):
            write_image(folder / f"{name}.png", batch["image"][i].numpy())
            write_atomically(folder / f"{name}.xml", serialize(batch["objects"][i], schema) + "\n")
            if "segmentation" in batch:
                write_labels(folder / MASKS / f"{name}.png", batch["segmentation"][i].numpy())
            count += 1
    return count


def _beside(folder: Path, schema: Schema | None) -> list[tuple[Path, list[Object]]]:
    """Pictures with the program of the same name beside each."""
    files = [path for path in sorted(folder.rglob("*")) if not path.name.startswith(".")]
    pictures = _by_name(
        path
        for path in files
        if path.suffix.lower() in PICTURES and MASKS not in path.relative_to(folder).parts
    )
    programs = _by_name(path for path in files if path.suffix.lower() in (".xml", ".json"))
    for stem, path in pictures.items():
        if programs and stem not in programs:
            remedy = f"add {stem.name}.xml, or remove the picture"
            raise InputError("has no program beside it", file=path, remedy=remedy)
    for stem, path in programs.items():
        if stem not in pictures:
            raise InputError("has no picture beside it", file=path, remedy="add it, or remove the program")
    return [(path, _read_scene(programs[stem], schema)) for stem, path in pictures.items() if programs]


def _by_name(files: Iterable[Path]) -> dict[Path, Path]:
    """Name without ending -> file; which of two with one name is meant cannot be known."""
    found: dict[Path, Path] = {}
    for file in files:
        other = found.setdefault(file.with_suffix(""), file)
        if other is not file:
            remedy = "remove or rename one of the two"
            raise InputError(f"has the same name as {other.name}", file=file, remedy=remedy)
    return found


def _table(folder: Path, schema: Schema | None) -> list[tuple[Path, list[Object]]]:
    """Pictures and programs of a table in JSON lines."""
    file, listed = folder / TABLE, []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        field = f"line {number}"
        try:
            plain = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"is not valid JSON ({error.msg})", file=file, field=field) from None
        if not isinstance(plain, dict) or not isinstance(plain.get("image"), str):
            remedy = 'write {"image": "name.png", "objects": [{"attribute": value}]}'
            raise InputError("names no image", file=file, field=field, remedy=remedy)
        picture = folder / plain["image"]
        if not picture.is_file():
            problem = f"names {plain['image']}, which does not exist"
            raise InputError(problem, file=file, field=field, remedy="correct the name, or add the picture")
        if isinstance(plain.get("program"), str):
            objects = [*map(dict, parse(plain["program"], schema or _anything(), file=f"{file}, {field}"))]
        else:
            objects = _objects(plain, schema, file=f"{file}, {field}")
        listed.append((picture, objects))
    return listed


def _read_scene(path: Path, schema: Schema | None) -> list[Object]:
    if path.suffix.lower() == ".json":
        return _json_scene(path, schema)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", file=path, remedy="save it as UTF-8") from None
    return [*map(dict, parse(text, schema or _anything(), file=path))]


def _json_scene(path: Path, schema: Schema | None = None) -> list[Object]:
    return _objects(read_json(path), schema, file=path)


def _objects(plain: Any, schema: Schema | None, *, file: str | Path) -> list[Object]:
    """Objects of a JSON program; lists of numbers become tuples. A schema, where there is one, checks them."""
    objects = plain.get("objects") if isinstance(plain, dict) else None
    if not isinstance(objects, list) or not all(isinstance(each, dict) for each in objects):
        remedy = 'write {"objects": [{"attribute": value, ...}, ...]}'
        raise InputError("is not a scene", file=file, field="objects", remedy=remedy)
    if schema is not None:
        return [*map(dict, schema.check(objects, file=file))]
    return [
        {name: tuple(value) if isinstance(value, list) else value for name, value in each.items()}
        for each in objects
    ]


def _refuse_mixed(listed: Sequence[tuple[Path, list[Object]]]) -> None:
    """One attribute holds texts, or numbers, or vectors of one length, and nothing but finite ones."""
    first: dict[str, tuple[str, Path]] = {}
    for picture, objects in listed:
        for number, each in enumerate(objects, 1):
            for name, value in each.items():
                kind, field = _kind(value), f"object {number}, {name}"
                if not kind:
                    remedy = "give a text, a finite number, or a vector of such numbers"
                    raise InputError(f"is {value!r}", file=picture, field=field, remedy=remedy)
                known, where = first.setdefault(name, (kind, picture))
                if kind != known:
                    problem = f"is {value!r}, {kind}, but {known} in the program of {where.name}"
                    raise InputError(
                        problem, file=picture, field=field, remedy="write it the same way everywhere"
                    )


def _kind(value: Any) -> str:
    """What a value is, in words; empty for what cannot be used."""
    if isinstance(value, str):
        return "" if value.strip().lower().lstrip("+-") in ("", "nan", "inf", "infinity") else "a text"
    values = value if isinstance(value, tuple) else (value,)
    fine = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    if not fine or not values:
        return ""
    return "a number" if len(values) == 1 else f"a vector of {len(values)} numbers"


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


@dataclass(frozen=True)
class _Anything:
    """An attribute that takes every value."""

    name: str
    optional: bool = True

    def check(self, value: Any, **_: Any) -> Any:
        """The value; one number alone is no tuple."""
        return value[0] if isinstance(value, tuple) and len(value) == 1 else value


class _Names(dict[str, _Anything]):
    """Attributes that appear when they are first asked for."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> _Anything:
        self[name] = _Anything(name)
        return self[name]


@dataclass(frozen=True)
class _AnySchema:
    by_name: _Names
    most: int = MOST_OBJECTS


def _anything() -> Schema:
    """What the parser needs of a schema, for programs whose schema is still to be inferred from them."""
    return cast(Schema, _AnySchema(_Names()))
