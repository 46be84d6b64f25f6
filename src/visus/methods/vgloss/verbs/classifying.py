"""`visus vgloss classify | predict`: pictures in, classes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError
from visus.methods.vgloss.verbs.encoders import classifier, open_classifier, place
from visus.methods.vgloss.verbs.shared import Ticker, check_ending, check_numbers, percents, thumbnail
from visus.methods.vgloss.verbs.texts import read_texts
from visus.outputs import check_inputs, check_out

if TYPE_CHECKING:
    import pandas as pd

    from visus.methods.vgloss.estimator import VGlossClassifier
    from visus.methods.vgloss.model.classes import ClassTexts
    from visus.webpage import Page

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm", ".npy")
SHOWN = 60
"""Pictures on a page."""
BEST = 3


def classify(
    *,
    images: Path,
    model: str,
    out: Path,
    descriptions: Path | None = None,
    use: Literal["normal", "contrastive", "both"] | None = None,
    top: int = 5,
    shown: int = SHOWN,
    cache: Path | None = None,
    device: str = "auto",
) -> None:
    """Classify pictures by descriptions; a stopped command goes on when run again.

    OUT gets predictions.csv (image, label, probability, the best classes and p_<class> of all), index.html with
    pictures, and features/, which further runs on the same pictures read instead of encoding them again.

    Args:
        images: folder of pictures (with sub-folders), one picture, or a table with a column path.
        model: what build or fit wrote, or with --descriptions a CLIP or SigLIP folder or hub id.
        out: folder to write to.
        descriptions: what describe wrote, or a file of CuPL or DCLIP; for a classifier, in place of its own.
        use: descriptions of a class alone, those that set it apart from others, or both; a classifier's own if left
            out.
        top: best classes named per picture.
        shown: pictures on the page.
        cache: folder for features, instead of OUT/features.
        device: auto, cpu or cuda.
    """
    from visus.data.features import FeatureCache
    from visus.data.formats import write_table

    check_numbers(top=(top, 1, 1000), shown=(shown, 0, 5000))
    check_inputs(images=images, descriptions=descriptions)
    check_out(out, kind="folder", inputs=[images, model, descriptions])
    paths = list_pictures(images)
    texts = None if descriptions is None else read_texts(descriptions)
    made = classifier(model, texts, place(device), use=use)
    kept = FeatureCache(cache or out / "features")
    found = encoded(made, paths, kept)
    table = prediction_table(made.classes_, paths, found, top=top)
    write_table(out / "predictions.csv", table)
    page(made, paths, found, title=str(images), shown=shown).write(out / "index.html")
    print(f"{len(paths)} pictures: {out / 'predictions.csv'}")
    print(f"page: {out / 'index.html'}")


def predict(
    images: Path,
    /,
    *,
    model: Path,
    out: Path,
    pictures: Path | None = None,
    cache: Path | None = None,
    device: str = "auto",
) -> None:
    """Classify pictures with a saved classifier into one table.

    Columns: image, label, probability, and p_<class> per class.

    Args:
        images: folder of pictures (with sub-folders), one picture, or a table with a column path.
        model: what build or fit wrote.
        out: table to write (.csv).
        pictures: folder for NAME.png: the picture with the sentences that decided.
        cache: folder where features are kept, so that a stopped command goes on.
        device: auto, cpu or cuda.
    """
    from visus.data.features import FeatureCache
    from visus.data.formats import write_table
    from visus.methods.vgloss.verbs.explaining import write_pictures

    check_inputs(images=images, model=model)
    check_ending(out, (".csv", ".tsv"))
    check_out(out, kind="file", inputs=[images])
    check_out(pictures, kind="folder", inputs=[images], field="--pictures")
    paths = list_pictures(images)
    made = open_classifier(model, device)
    found = encoded(made, paths, None if cache is None else FeatureCache(cache))
    if pictures is not None:
        write_pictures(made, paths, found["features"], pictures)
    write_table(out, prediction_table(made.classes_, paths, found, top=0))
    print(f"{len(paths)} predictions: {out}")


def list_pictures(images: Path) -> list[Path]:
    """Pictures of a folder and its sub-folders in the order of their names, of a table, or one picture.

    Raises
    ------
    InputError : there are none.
    """
    if images.is_dir():
        found = sorted(
            path
            for path in images.rglob("*")
            if path.is_file()
            and path.suffix.lower() in ENDINGS
            and not any(part.startswith(".") for part in path.relative_to(images).parts)
        )
        if not found:
            remedy = f"give a folder with files ending in {' '.join(ENDINGS)}"
            raise InputError("holds no pictures", file=images, field="--images", remedy=remedy)
        return found
    if images.suffix.lower() in (".csv", ".tsv"):
        from visus.data.corpora.image_folder import load_image_csv

        return list(load_image_csv(images, require_target=False).paths or ())
    return [images]


def encoded(made: VGlossClassifier, paths: Sequence[Path], cache: Any) -> dict[str, Any]:
    """Predictions with the features they rest on.

    Raises
    ------
    InputError : a picture cannot be read; names it.
    """
    try:
        with Ticker("encoding pictures") as ticker:
            rows = made.features(list(paths), cache=cache, progress=ticker)
    except KeyboardInterrupt:
        if cache is not None:
            print("stopped; what was encoded is kept: the same command goes on from there")
        raise
    return {**made.predict({"features": rows}), "features": rows}


def prediction_table(
    classes: ClassTexts, paths: Sequence[Path], found: dict[str, Any], *, top: int
) -> pd.DataFrame:
    """A row per picture; `best` names the `top` classes with their probabilities. Classes go by their spoken names
    where these are unique."""
    import pandas as pd

    called = spoken(classes)
    shares = found["probabilities"].double()
    columns: dict[str, Any] = {
        "image": [str(path) for path in paths],
        "label": [called[i] for i in found["label"].tolist()],
        "probability": shares.max(dim=1).values.numpy().round(6),
    }
    if top:
        values, places = shares.topk(min(top, shares.shape[1]), dim=1)
        columns["best"] = [
            " | ".join(f"{called[i]} {value:.3f}" for i, value in zip(row, row_values, strict=True))
            for row, row_values in zip(places.tolist(), values.tolist(), strict=True)
        ]
    table = pd.DataFrame(columns)
    every = pd.DataFrame(shares.numpy().round(6), columns=[f"p_{name}" for name in called])
    return pd.concat([table, every], axis=1)


def spoken(classes: ClassTexts) -> list[str]:
    """Names in words, or the keys where two classes have one name."""
    called = list(classes.called)
    return called if len(set(called)) == len(called) else list(classes.names)


def page(
    made: VGlossClassifier, paths: Sequence[Path], found: dict[str, Any], *, title: str, shown: int
) -> Page:
    """How often each class was found, and pictures with their best classes."""
    from collections import Counter

    from visus.data.features.pictures import read_rgb
    from visus.webpage import Page

    called = spoken(made.classes_)
    shares = found["probabilities"]
    made_page = Page(f"Classified: {title}")
    made_page.add_text(
        f"{len(paths)} pictures, {len(called)} classes described by {len(made.texts_)} texts. Probabilities are a "
        "softmax over these classes: a picture of something else gets one of them, too."
    )
    counts = Counter(called[i] for i in found["label"].tolist())
    rows = [(name, str(count)) for name, count in counts.most_common(20)]
    made_page.add_table(["most frequent", "pictures"], rows)
    chosen = _spread(len(paths), shown)
    values, places = shares.topk(min(BEST, len(called)), dim=1)
    cards = []
    for i in chosen:
        told = ", ".join(
            f"{called[k]} {percents(float(value))}"
            for k, value in zip(places[i].tolist(), values[i], strict=True)
        )
        cards.append((thumbnail(read_rgb(paths[i])), f"{told} ({_brief(paths[i].name)})"))
    if cards:
        made_page.add_heading("Pictures")
        if len(chosen) < len(paths):
            made_page.add_text(f"{len(chosen)} of {len(paths)}, evenly from the list.")
        made_page.add_pictures(cards)
    return made_page


def _brief(name: str, most: int = 24) -> str:
    """A file name that fits under its picture.

    >>> _brief("n02099601_golden_retriever.JPEG")
    'n0209960…etriever.JPEG'
    """
    return name if len(name) <= most else f"{name[:8]}…{name[-13:]}"


def _spread(count: int, most: int) -> list[int]:
    """Up to `most` of `count` places, evenly.

    >>> _spread(10, 3)
    [0, 3, 6]
    """
    return [i * count // most for i in range(most)] if count > most else list(range(count))
