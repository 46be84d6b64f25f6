"""Commands that use a trained model: `predict`, `describe`, `align`, `retrieve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.errors import InputError
from visus.methods.nsi.verbs.common import Part, estimator_in, item_names, open_model, stems, with_features

if TYPE_CHECKING:
    from visus.methods.nsi.estimator import NSI, SceneIndex


def predict(
    data: Path,
    /,
    *,
    model: Path,
    out: Path,
    part: Part = "test",
    backbone: Path | None = None,
    device: str = "auto",
) -> None:
    """Write the program of every picture into a table.

    Columns: item (path), objects (how many), program (XML on one line). With a model of `fewshot`: item, label,
    probability, and one column p_<class> per class.

    Args:
        data: a folder of pictures, one picture, or what fit takes; programs are not needed.
        model: the folder given to fit (or fewshot) as --out, or the model folder in it.
        out: table to write (.csv).
        part: which part of a data set that comes in parts.
        backbone: folder of the frozen network, if it has moved.
        device: auto, cpu or cuda.
    """
    import pandas as pd

    from visus.data.formats import write_classes, write_table
    from visus.methods.nsi.estimator import NSIFewShot
    from visus.methods.nsi.estimator.reading import read_loose

    few = estimator_in(model) == NSIFewShot.__name__
    made = NSIFewShot.open(model, device=device) if few else open_model(model, device)
    interpreter = made.interpreter if isinstance(made, NSIFewShot) else made
    assert interpreter is not None
    source = read_loose(data, part=part, size=interpreter.settings.image_size)
    found = made.predict(with_features(interpreter, source, backbone=backbone, device=device))
    items = item_names(source)
    if isinstance(made, NSIFewShot):
        probabilities = found["probabilities"].numpy()
        write_classes(out, items, labels=found["name"], probabilities=probabilities, classes=made.classes_)
    else:
        programs = _programs(found)
        lines = ["".join(line.strip() for line in text.splitlines()) for text in programs]
        counts = [len(scene) for scene in found["objects"]]
        write_table(out, pd.DataFrame({"item": items, "objects": counts, "program": lines}))
    print(f"{len(items)} predictions: {out}")


def describe(
    data: Path,
    /,
    *,
    model: Path,
    out: Path,
    part: Part = "test",
    pictures: bool = True,
    backbone: Path | None = None,
    device: str = "auto",
) -> None:
    """Write the program of every picture as an XML file, and a drawing of which slot each object was read from.

    Args:
        data: a folder of pictures, one picture, or what fit takes; programs are not needed.
        model: the folder given to fit as --out, or the model folder in it.
        out: folder for NAME.xml and NAME.svg.
        part: which part of a data set that comes in parts.
        pictures: also draw; --no-pictures for programs alone.
        backbone: folder of the frozen network, if it has moved.
        device: auto, cpu or cuda.
    """
    from visus.data.loader import iterate
    from visus.methods.nsi.estimator.reading import read_loose
    from visus.records import write_atomically

    made = open_model(model, device)
    source = read_loose(data, part=part, size=made.settings.image_size)
    names = stems(item_names(source))
    start = 0
    for batch in iterate(with_features(made, source, backbone=backbone, device=device), 32):
        found = made.predict(batch)
        for i, program in enumerate(_programs(found)):
            name, objects = names[start + i], found["objects"][i]
            write_atomically(out / f"{name}.xml", program + "\n")
            if pictures:
                carried = list(zip(found["slot"][i].tolist(), objects))
                _draw(out / f"{name}.svg", batch["image"][i], found["masks"][i], carried, title=name)
        start += len(found["slots"])
    print(f"{len(names)} programs: {out}")


def align(
    data: Path,
    /,
    *,
    model: Path,
    out: Path,
    part: Part = "test",
    pictures: bool = True,
    backbone: Path | None = None,
    device: str = "auto",
) -> None:
    """Tell which slot carries which object of the pictures' own programs, in a table and in drawings.

    Columns of OUT/alignment.csv: item, object (its number in the program), slot, similarity, and the attributes.

    Args:
        data: pictures with programs, as for fit.
        model: the folder given to fit as --out, or the model folder in it.
        out: folder for alignment.csv and NAME.svg.
        part: which part of a data set that comes in parts.
        pictures: also draw; --no-pictures for the table alone.
        backbone: folder of the frozen network, if it has moved.
        device: auto, cpu or cuda.
    """
    import pandas as pd

    from visus.data.formats import write_table
    from visus.data.loader import iterate
    from visus.methods.nsi.estimator.reading import read_data

    made = open_model(model, device)
    source = read_data(data, part=part, size=made.settings.image_size)
    items, rows, start = item_names(source), [], 0
    names = stems(items)
    for batch in iterate(with_features(made, source, backbone=backbone, device=device), 32):
        found = made.align(batch)
        for i, objects in enumerate(batch["objects"]):
            slots = found["slot"][i].tolist()[: len(objects)]
            for j, (slot, attributes) in enumerate(zip(slots, objects)):
                near = float(found["similarity"][i, slot, j]) if slot >= 0 else None
                place = {"item": items[start + i], "object": j + 1, "slot": slot, "similarity": near}
                rows.append({**place, **{name: _cell(value) for name, value in attributes.items()}})
            if pictures:
                name, carried = names[start + i], list(zip(slots, objects))
                _draw(out / f"{name}.svg", batch["image"][i], found["masks"][i], carried, title=name)
        start += len(batch["objects"])
    write_table(out / "alignment.csv", pd.DataFrame(rows))
    print(f"{len(rows)} objects of {start} pictures: {out / 'alignment.csv'}")


def retrieve(
    *,
    model: Path,
    index: Path,
    build: Path | None = None,
    query: list[str] | None = None,
    top: int = 5,
    out: Path | None = None,
    part: Part = "test",
    backbone: Path | None = None,
    device: str = "auto",
) -> None:
    """Find pictures by a program or a part of one, and scenes whose program fits a picture.

    A query is words (`color=red shape=cube`; a comma begins another object, vectors are written `at=(0.2,0.6)`),
    XML, a file with a program, or a picture.

    Args:
        model: the folder given to fit as --out, or the model folder in it.
        index: folder of the index.
        build: pictures to put into the index first, with programs (as for fit) or without.
        query: what to look for.
        top: how many to show.
        out: also write the answers to this table (.csv).
        part: which part of a data set that comes in parts.
        backbone: folder of the frozen network, if it has moved.
        device: auto, cpu or cuda.
    """
    import pandas as pd

    from visus.data.formats import write_table

    if build is None and not query:
        raise InputError(
            "nothing is asked", field="--query", remedy="give --build DATA, --query WHAT, or both"
        )
    made = open_model(model, device)
    if build is not None:
        source = with_features(made, _buildable(build, part, made), backbone=backbone, device=device)
        made.index(source, names=item_names(source)).save(index)
        print(f"{len(source)} pictures: {index}")
    if not query:
        return
    held, rows = made.open_index(index), []
    for text in query:
        hits = _asked(made, held, text, top, backbone=backbone, device=device)
        for rank, (name, score) in enumerate(zip(hits.names[0], hits.score[0].tolist()), 1):
            rows.append({"query": text, "rank": rank, "item": name, "score": score})
            print(f"{rank:3}  {score:9.3f}  {name}")
    if out is not None:
        write_table(out, pd.DataFrame(rows))


def _buildable(path: Path, part: Part, made: NSI) -> Any:
    """Pictures with programs where there are some, else pictures alone."""
    from visus.data.corpora.scene_pictures import layout_of
    from visus.methods.nsi.estimator.reading import TABLE, read_data, read_loose

    size = made.settings.image_size
    endings = (".xml", ".json", ".jsonl")
    described = path.is_dir() and (
        layout_of(path) is not None
        or (path / TABLE).is_file()
        or any(file.suffix.lower() in endings for file in path.rglob("*") if file.is_file())
    )
    return read_data(path, part=part, size=size) if described else read_loose(path, part=part, size=size)


def _asked(made: NSI, held: SceneIndex, text: str, top: int, *, backbone: Path | None, device: str) -> Any:
    """The answers to one query."""
    from visus.data.formats import PICTURES
    from visus.methods.nsi.estimator.reading import read_loose, read_query

    if text.lower().endswith(PICTURES):
        source = read_loose(Path(text), part="test", size=made.settings.image_size)
        source = with_features(made, source, backbone=backbone, device=device)
        return held.search_programs(made.embed_images(source), k=top)
    program, file = read_query(text)
    return held.search(*made.embed_programs([program], file=file), k=top)


def _programs(found: dict[str, Any]) -> list[str]:
    if "program" not in found:
        remedy = "train it with generator_epochs above 0"
        raise InputError("the model has no generator of programs", field="model", remedy=remedy)
    return found["program"]


def _draw(path: Path, image: Any, masks: Any, carried: list[Any], *, title: str) -> None:
    from visus.methods.nsi.estimator.overlay import overlay
    from visus.methods.nsi.model.images import segment
    from visus.records import write_atomically

    slots = segment(masks[None], size=tuple(image.shape[-2:]))[0]
    write_atomically(path, overlay(image, slots, carried, title=title))


def _cell(value: Any) -> Any:
    return " ".join(f"{number:g}" for number in value) if isinstance(value, tuple) else value
