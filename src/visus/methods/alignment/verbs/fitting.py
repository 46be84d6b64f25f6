"""`visus alignment fit`: a linear map toward people's similarities, judged on objects it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError
from visus.methods.alignment.verbs.study import Base, Odd
from visus.outputs import check_inputs, check_out, emptied

if TYPE_CHECKING:
    from visus.methods.alignment.config import AlignmentConfig
    from visus.methods.alignment.estimator import SearchResult

AlignerName = Literal["probe", "glocal", "ridge", "center", "none"]
PresetName = Literal["smoke", "demo", "gpu", "paper"]


def fit(
    embeddings: Path,
    /,
    *,
    triplets: Path,
    out: Path,
    aligner: AlignerName = "probe",
    reference: Path | None = None,
    judged: Path | None = None,
    objects: Path | None = None,
    folds: int = 3,
    search: bool = False,
    grid: list[str] | None = None,
    preset: PresetName = "demo",
    set: list[str] | None = None,
    base: Base = "auto",
    odd: Odd = "auto",
    encoder: str | None = None,
    layer: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Learn a linear map from triplets, judged on objects it has not seen; run again to resume.

    Cross-validation leaves out objects, not triplets: triplets that mix folds are judged by nobody. The map that is
    kept is learned from all objects. OUT gets index.html, scores.json, choices.npy (position called odd by the fold
    that had not seen the objects, per triplet; -2 where nobody judged), transform.npz (the file that gLocal and
    thingsvision read) and the model in OUT/model; ridge also predicted.npy, every object's predicted reference.

    Args:
        embeddings: .npy, .npz, .safetensors or .csv with one row per object; with --encoder a folder of pictures or
            a .txt file with one text per line.
        triplets: what is learned from; formats as for score.
        out: folder for the run.
        aligner: probe (linear map trained on the triplets), glocal (the same, keeping the similarities of
            unrelated images), ridge (closed form, needs --reference), center, none.
        reference: embedding learned from people's choices, such as VICE (.npy): what ridge predicts. The others do not
            learn from it; it shows how the triplets are counted, and its own accuracy is told beside theirs.
        judged: other triplets of the same objects to be judged out of fold, such as repeated trials; those learned
            from if left out.
        objects: names of the objects in the order of their numbers; see score.
        folds: parts of the objects that are left out in turn.
        search: first choose settings by the cross-entropy of unseen objects.
        grid: what to try, as setting=[value,value]; the penalty's published values if left out.
        preset: training time.
        set: settings to change, as key=value (for example penalty=fro penalty_weight=0.001).
        base: what the first object is called, where that cannot be told.
        odd: where the odd one stands, where that cannot be told.
        encoder: network that makes the embedding; see score.
        layer: of the encoder.
        seed: every random choice follows from it.
        device: auto, cpu or cuda.
    """
    from visus.engine import Run
    from visus.methods.alignment.estimator import cross_validate
    from visus.methods.alignment.estimator import search as search_settings
    from visus.methods.alignment.verbs.embedding import Given
    from visus.methods.alignment.verbs.report import Fitted
    from visus.methods.alignment.verbs.study import read_judged

    check_inputs(
        EMBEDDINGS=embeddings, triplets=triplets, reference=reference, judged=judged, objects=objects
    )
    check_out(out, kind="folder", inputs=[embeddings, triplets, reference, judged, objects])
    config = configured(aligner, preset, set or [])
    tried = grid_of(config, grid) if search or grid else None
    if aligner == "ridge" and reference is None:
        remedy = "give an embedding learned from people's choices, or choose --aligner probe"
        raise InputError("is missing: ridge predicts it", field="--reference", remedy=remedy)
    given = Given(embeddings, encoder=encoder, layer=layer, device=device)
    about: dict[str, Any] = {"objects": objects, "reference": reference, "count": len(given)}
    read = read_judged(triplets, base=base, odd=odd, **about)
    trials = None if judged is None else read_judged(judged, option="--judged", ways=["--reference"], **about)
    with emptied(out):
        found = given.embeddings(cache=out / "features")
        study = read.with_embeddings(found, file=embeddings)
        others = None if trials is None else trials.with_embeddings(found, file=embeddings).triplets
        run = Run(out, seed=seed, device=device)
        searched: SearchResult | None = None
        if tried is not None:
            searched = search_settings(config, study.data, grid=tried, folds=folds, run=run.child("search"))
            config = searched.best
        done = cross_validate(config, study.data, folds=folds, run=run, judged=others)
    if not run.is_main:
        return
    fitted = Fitted(study=study, judged=others or study.triplets, config=config, done=done, search=searched)
    fitted.say(embeddings.name)
    fitted.write(out, embeddings.name, encoder=given.noted)
    print(f"transform: {out / 'transform.npz'}")
    print(f"page: {out / 'index.html'}")


def configured(aligner: AlignerName, preset: PresetName, changes: list[str]) -> AlignmentConfig:
    """The settings of an aligner by name, with a person's changes.

    Raises
    ------
    InputError : an unknown setting, or one out of its bounds.
    """
    from visus.methods.alignment.config import GLOCAL, PRESETS, check
    from visus.records import override

    start = GLOCAL if aligner == "glocal" and preset == "paper" else PRESETS[preset]
    config = override(start, [f"aligner={aligner}", *changes])
    check(config)
    return config


def grid_of(config: AlignmentConfig, grid: list[str] | None) -> dict[str, list[Any]]:
    """Setting -> values to try.

    Raises
    ------
    InputError : not of the form setting=[value,value], an unknown setting, or an aligner without such settings.
    """
    import yaml

    from visus.methods.alignment.config import GRADIENT
    from visus.methods.alignment.estimator.searching import GRID
    from visus.records import override

    if config.aligner not in GRADIENT:
        remedy = f"leave it out, or choose --aligner {' or '.join(GRADIENT)}"
        raise InputError(f"{config.aligner} has nothing to search", field="--search", remedy=remedy)
    if not grid:
        return {name: list(values) for name, values in GRID.items()}
    found: dict[str, list[Any]] = {}
    for item in grid:
        name, equals, text = item.partition("=")
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError:
            values = None
        if not equals or values is None:
            remedy = "write for example penalty_weight=[0.1,0.01]"
            raise InputError(
                "is not of the form setting=[value,value]", field=f"--grid {item}", remedy=remedy
            )
        found[name.strip()] = values if isinstance(values, list) else [values]
    for name, values in found.items():
        for value in values:
            override(config, {name: value})
    return found
