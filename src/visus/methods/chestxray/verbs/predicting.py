"""`visus chestxray predict`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.errors import InputError
from visus.methods.chestxray.verbs.images import Invert, Listed, is_table, list_images
from visus.methods.chestxray.verbs.journal import Journal, digest, mark
from visus.methods.chestxray.verbs.outputs import check_file, check_folder

if TYPE_CHECKING:
    from visus.methods.chestxray.verbs.reading import Reader

AT_ONCE = 8
"""Images that go through the network together; their rows and pictures are written before the next."""
TOLD = 5
"""Files that cannot be read of which a message tells why."""


def predict(
    images: Path,
    /,
    *,
    model: Path,
    out: Path,
    pictures: Path | None = None,
    dicom: Path | None = None,
    invert: Invert = "no",
    image_column: str | None = None,
    device: str = "auto",
) -> None:
    """Diagnose radiographs and foretell where a radiologist looks; a stopped command goes on when run again.

    Columns: image, label, probability, p_<class> per class, gaze_x and gaze_y (where the map peaks, as shares of
    width from the left and of height from the top), gaze_left and gaze_right (shares of the map in the picture's
    halves), note, problem (why a file could not be read; its other cells are empty).

    Args:
        images: DICOM, PNG, JPEG, TIFF or NumPy file, a folder of them (with sub-folders), or a table of paths.
        model: the folder given to fit as --out, or the model folder in it.
        out: table to write (.csv).
        pictures: folder for NAME-gaze.png (the map over the radiograph), NAME-gradcam.png (what the diagnosis rests
            on), NAME-density.png and NAME-density.npy (the map alone; sums to 1 over the radiograph).
        dicom: folder for NAME.dcm, the map over the radiograph as a DICOM secondary capture without patient data.
        invert: what to do with pictures whose dense parts look dark: no (say so in the column note), auto (turn them
            over), yes (turn all over).
        image_column: column with the images' paths, if IMAGES is a table; found by usual names if left out.
        device: auto, cpu or cuda.
    """
    from visus.methods.chestxray.estimator import ChestXrayReader
    from visus.methods.chestxray.verbs.reading import Reader

    listed = list_images(images, image_column=image_column, besides=(pictures, dicom))
    read = [item.path for item in listed]
    check_file(out, "--out", example="found.csv", inputs=[images, *read])
    check_folder(pictures, "--pictures", inputs=read)
    check_folder(dicom, "--dicom", inputs=read)
    made = ChestXrayReader.open(model, device=device)
    asked = {"model": fingerprint(model), "pictures": pictures, "dicom": dicom, "invert": invert}
    reader = Reader(made, pictures=pictures, dicom=dicom, invert=invert)
    journal = Journal(out, asked)
    if images.is_file() and not is_table(images):
        rows = reader.rows(listed, forgiving=False)
    else:
        rows = _batch(reader, listed, journal)
        _check_any(images, rows, journal)
    _write(out, rows)
    journal.finish()
    _say(out, rows)


def fingerprint(model: Path) -> str:
    """Hash of a saved model's settings and weights."""
    inside = model / "model" if (model / "model").is_dir() else model
    return digest([inside / "config.json", inside / "model.safetensors"])


def _batch(reader: Reader, listed: Sequence[Listed], journal: Journal) -> list[dict[str, Any]]:
    """Rows of all images, those of an earlier, stopped command included."""
    from visus.engine.progress import StepProgress

    marks = [mark(item.path, name=item.name) for item in listed]
    done = {m: row for m, row in journal.rows.items() if not row["problem"]}
    todo = [(m, item) for m, item in zip(marks, listed, strict=True) if m not in done]
    if len(todo) < len(listed):
        print(f"{len(listed) - len(todo)} of {len(listed)} images were done before")
    ready = len(listed) - len(todo)
    try:
        with StepProgress(len(listed), done=ready) as progress:
            for start in range(0, len(todo), AT_ONCE):
                part = todo[start : start + AT_ONCE]
                rows = reader.rows([item for _, item in part])
                journal.add(dict(zip([m for m, _ in part], rows, strict=True)))
                for _ in part:
                    ready += 1
                    progress.advance("predicting")
    except KeyboardInterrupt:
        print(f"stopped after {ready} of {len(listed)} images; the same command goes on from there")
        raise
    return [journal.rows[m] for m in marks]


def _write(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pandas as pd

    from visus.data.formats import write_table

    columns = list(dict.fromkeys(name for row in rows for name in row if name not in ("note", "problem")))
    frame = pd.DataFrame(list(rows), columns=[*columns, "note", "problem"])
    write_table(out, frame.round(6))


def _check_any(images: Path, rows: Sequence[Mapping[str, Any]], journal: Journal) -> None:
    """Refuse to write a table without a single prediction; an older table stays as it is.

    Raises
    ------
    InputError : no image could be read; says why for the first ones.
    """
    if not all(row["problem"] for row in rows):
        return
    journal.finish()
    reasons = [f"{row['image']}: {row['problem']}" for row in rows[:TOLD]]
    reasons += ["..."] if len(rows) > TOLD else []
    problem = f"none of {len(rows)} images could be read ({' | '.join(reasons)}); nothing was written"
    raise InputError(problem, file=images, remedy="give radiographs as DICOM, PNG, JPEG, TIFF or NumPy files")


def _say(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """What was done, and which files could not be read."""
    problems = [row for row in rows if row["problem"]]
    print(f"{len(rows) - len(problems)} predictions: {out}")
    noted = Counter(row["note"] for row in rows if row["note"])
    for note, count in noted.items():
        print(f"note: {count} of {len(rows)}: {note}")
    if problems:
        print(f"{len(problems)} of {len(rows)} images could not be read; the column problem says why:")
        for row in problems[:TOLD]:
            print(f"  {row['image']}: {row['problem']}")
