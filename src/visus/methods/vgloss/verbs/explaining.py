"""`visus vgloss explain`: which sentence decided, as a figure per picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.methods.vgloss.verbs.encoders import classifier, place
from visus.methods.vgloss.verbs.shared import check_numbers, percents
from visus.methods.vgloss.verbs.texts import read_texts
from visus.outputs import check_inputs, check_out, finite

if TYPE_CHECKING:
    from visus.methods.vgloss.estimator import Explanation, VGlossClassifier

MOST = 40
"""Pictures explained unless more are asked for."""


def explain(
    *,
    images: Path,
    model: str,
    out: Path,
    descriptions: Path | None = None,
    limit: int = MOST,
    cache: Path | None = None,
    device: str = "auto",
) -> None:
    """Show which sentences decided a picture's class, and which spoke against it.

    A sentence's effect is by how much the margin between the winner and the runner-up falls when it is left out. OUT
    gets index.html, NAME.svg per picture and explanations.json.

    Args:
        images: folder of pictures (with sub-folders), one picture, or a table with a column path.
        model: what build or fit wrote, or with --descriptions a CLIP or SigLIP folder or hub id.
        out: folder to write to.
        descriptions: what describe wrote, or a file of CuPL or DCLIP; for a classifier, in place of its own.
        limit: most pictures, the first ones by name.
        cache: folder where features are kept.
        device: auto, cpu or cuda.
    """
    from dataclasses import asdict

    import numpy as np

    from visus.data.features import FeatureCache
    from visus.data.features.pictures import read_rgb
    from visus.methods.vgloss.figures import draw_evidence
    from visus.methods.vgloss.verbs.classifying import encoded, list_pictures
    from visus.records import write_atomically, write_json
    from visus.webpage import Page

    check_numbers(limit=(limit, 1, 1000))
    check_inputs(images=images, descriptions=descriptions)
    check_out(out, kind="folder", inputs=[images, model, descriptions])
    paths = list_pictures(images)
    left, paths = len(paths) - limit, paths[:limit]
    texts = None if descriptions is None else read_texts(descriptions)
    made = classifier(model, texts, place(device))
    rows = encoded(made, paths, None if cache is None else FeatureCache(cache))["features"]
    called = dict(zip(made.classes_.names, made.classes_.called, strict=True))
    page, found = Page(f"Explained: {images}"), made.explain({"features": rows})
    page.add_text(
        "Bars to the right: sentences that speak for the winner; to the left, for the runner-up. Numbers at the right "
        "are cosines of picture and sentence; they differ little, and their order alone carries meaning."
    )
    if left > 0:
        page.add_text(f"{left} further pictures are left out (--limit).", note=True)
    for path, name, each in zip(paths, stems(paths), found, strict=True):
        drawn = draw_evidence(
            each.evidence,
            label=each.label,
            other=each.runner_up,
            called=called,
            picture=np.asarray(_upright(read_rgb(path))),
        )
        write_atomically(out / f"{name}.svg", drawn)
        page.add_heading(f"{path.name}: {called[each.label]}")
        page.add_drawing(drawn, sentence(each, called))
    plain = [{"image": str(path), **asdict(each)} for path, each in zip(paths, found, strict=True)]
    write_json(out / "explanations.json", finite(plain))
    page.write(out / "index.html")
    print(f"{len(paths)} pictures explained")
    print(f"page: {out / 'index.html'}")


def sentence(found: Explanation, called: dict[str, str]) -> str:
    """A decision in words."""
    head = f"{called[found.label]} with {percents(found.probability)}"
    told = f"What did most for it: “{found.decided.text}”"
    other = called[found.runner_up]
    if found.margin < 0:  # `follow_up` turned the order round
        return (
            f"{head}, by the sentences that set it apart. The descriptions alone put {other} ahead by "
            f"{-found.margin:.4f} (cosine). {told}"
        )
    return f"{head}, ahead of {other} by {found.margin:.4f} (cosine). {told}"


def stems(paths: Sequence[Path]) -> list[str]:
    """File names without ending, made different by numbers where they are not.

    >>> stems([Path("a/x.png"), Path("b/x.png")])
    ['x', 'x-2']
    """
    made: dict[str, None] = {}
    for path in paths:
        name, number = path.stem, 2
        while name in made:
            name, number = f"{path.stem}-{number}", number + 1
        made[name] = None
    return list(made)


def write_pictures(made: VGlossClassifier, paths: Sequence[Path], rows: Any, folder: Path) -> None:
    """NAME.png per picture: the picture above its class and the sentence that did most for it."""
    from visus.data.features.pictures import read_rgb
    from visus.methods.vgloss.figures import draw_card
    from visus.records import write_atomically

    if len(made.classes_) < 2:
        return
    called = dict(zip(made.classes_.names, made.classes_.called, strict=True))
    found = made.explain({"features": rows})
    for path, name, each in zip(paths, stems(paths), found, strict=True):
        head = f"{called[each.label]}  {percents(each.probability)}"
        card = draw_card(_upright(read_rgb(path)), head, each.decided.text)
        write_atomically(folder / f"{name}.png", card)


def _upright(picture: Any) -> Any:
    small = picture.convert("RGB")
    small.thumbnail((320, 320))
    return small
