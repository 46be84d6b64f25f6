"""`visus vgloss build`: descriptions become a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from visus.errors import InputError
from visus.methods.vgloss.verbs.encoders import HELP, is_classifier, named, place, seen_classes
from visus.methods.vgloss.verbs.texts import read_texts
from visus.outputs import check_inputs, check_out, emptied

MATRIX = "open_clip.npz"


def build(
    descriptions: Path,
    /,
    *,
    model: str,
    out: Path,
    text_model: str | None = None,
    seen: Path | None = None,
    classes: str | None = None,
    use: Literal["normal", "contrastive", "both"] = "normal",
    dataset: str | None = None,
    set: list[str] | None = None,
    cache: Path | None = None,
    device: str = "auto",
) -> None:
    """Make a zero-shot classifier of descriptions; no picture is needed and nothing is trained.

    OUT/model is the classifier (for classify, predict, evaluate, explain); OUT/open_clip.npz holds `weights` (e, c),
    the matrix that open_clip's zero-shot classifiers have, and `names`.

    Args:
        descriptions: what describe wrote, or a file of CuPL or DCLIP, or (with --classes) of FuDD.
        model: CLIP or SigLIP folder or hub id, what `fit` wrote in OUT/clip, or with --text-model an encoder of
            pictures (efficientnet_lite0).
        out: folder to write to.
        text_model: another encoder for the texts (minilm), brought to the pictures' space with --seen.
        seen: .npz with classes whose pictures are known: wnid or label, and classifier or features. Classes that
            are also described are left out.
        classes: names in label order, for files that know classes by number.
        use: descriptions of a class alone, those that set it apart from others, or both.
        dataset: which set of a file that holds several.
        set: further settings, as key=value (pooling=max, form="{c}: {description}", templates=["a photo of a {c}."],
            follow_up=5, ensemble=average).
        cache: folder where embeddings of texts are kept.
        device: auto, cpu or cuda.
    """
    from visus.data.features import FeatureCache
    from visus.engine import Run
    from visus.methods.vgloss.config import VGlossConfig, check
    from visus.methods.vgloss.estimator import VGlossClassifier
    from visus.methods.vgloss.verbs.labels import read_labels
    from visus.records import override

    check_inputs(seen=seen)
    check_out(out, kind="folder", inputs=[descriptions, seen, model, cache])
    if is_classifier(model):
        problem = "is a classifier, not an encoder"
        raise InputError(problem, file=model, field="--model", remedy=f"{HELP}; `fit` writes one to OUT/clip")
    if (text_model is None) != (seen is None):
        problem = "go together: texts of another encoder need classes to learn the way to pictures from"
        raise InputError(problem, field="--text-model, --seen", remedy="give both, or neither")
    plain = VGlossConfig(model=named(model), text_model=named(text_model) if text_model else "", use=use)
    config = override(plain, set or [])
    check(config)
    names = None if classes is None else read_labels(classes).names
    texts = read_texts(descriptions, classes=names, dataset=dataset)
    known = None if seen is None else seen_classes(seen, without={*texts.names, *texts.called})
    with emptied(out):
        run = Run(device=place(device), progress=False)
        kept = None if cache is None else FeatureCache(cache)
        made = VGlossClassifier(config).fit(texts, run, seen=known, cache=kept)
        made.save(out / "model")
        matrix = write_matrix(made, out / MATRIX)
    count = len(made.texts_)
    print(f"{len(texts)} classes from {count} texts; classifier: {out / 'model'}")
    if known is not None:
        print(
            f"texts go to the pictures' space by a map learned from {len(known.texts)} classes not among these"
        )
    if matrix:
        print(f"matrix for open_clip: {out / MATRIX}")


def write_matrix(made: object, path: Path) -> bool:
    """The (e, c) matrix with the names of its columns; False where the pooling has none."""
    import io

    import numpy as np

    from visus.methods.vgloss.estimator import VGlossClassifier
    from visus.records import write_atomically

    assert isinstance(made, VGlossClassifier)
    if made.settings.pooling == "max":
        return False
    buffer = io.BytesIO()
    weights = made.weights().for_open_clip().numpy()
    called = np.array(made.classes_.called)
    np.savez(buffer, weights=weights, names=np.array(made.classes_.names), called=called)
    write_atomically(path, buffer.getvalue())
    return True
