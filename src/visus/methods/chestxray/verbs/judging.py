"""`visus chestxray evaluate`: scores, a table of single images, and a page with drawings and cases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from visus.errors import InputError
from visus.methods.chestxray.verbs.data import read_data
from visus.methods.chestxray.verbs.outputs import check_folder

NAMES = {
    "auc_macro": "AUC, mean of the classes",
    "auc_micro": "AUC, all decisions together",
    "accuracy": "accuracy",
    "macro_f1": "F1, mean of the classes",
    "ece": "calibration error (ECE)",
    "ece_before": "calibration error before the temperature",
    "kl": "gaze: divergence (KL; less is better)",
    "cc": "gaze: correlation (CC)",
    "sim": "gaze: common mass (SIM)",
    "nss": "gaze: height at fixations (NSS)",
    "auc_judd": "gaze: AUC (Judd)",
}
"""Score -> what a reader is shown."""


def evaluate(
    data: Path,
    /,
    *,
    model: Path,
    out: Path | None = None,
    labels: Path | None = None,
    fixations: Path | None = None,
    mimic: Path | None = None,
    target: str | None = None,
    skip: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, float]:
    """Score a trained model on images with known diagnosis, gaze or both, with 95 % bootstrap intervals.

    Patients are drawn as a whole. OUT gets index.html (scores, calibration, ROC curves, confusion matrix, best and
    worst cases), images.csv (a row per image, for compare) and scores.json.

    Args:
        data: EGD-CXR folder, REFLACX folder, or a folder with images/ and labels.csv, fixations.csv or both.
        model: the folder given to fit as --out, or the model folder in it.
        out: folder for the page, the table and the scores; only printed if left out.
        labels: table with an image and its diagnosis per row, if it is not labels.csv in DATA.
        fixations: table with a fixation per row, if it is not fixations.csv in DATA.
        mimic: folder of MIMIC-CXR, where DATA (EGD-CXR, REFLACX) names images that lie elsewhere.
        target: finding that the model was trained on, where DATA is REFLACX.
        skip: leave out what is incomplete instead of refusing it; see fit.
        seed: of the bootstrap.
        device: auto, cpu or cuda.
    """
    from visus.data.formats import write_table
    from visus.engine.progress import StepProgress
    from visus.methods.chestxray.estimator import ChestXrayReader
    from visus.methods.chestxray.verbs.page import write_page
    from visus.methods.chestxray.verbs.scoring import all_scores, frame_of, score_items
    from visus.records import write_json

    check_folder(out, "--out")
    made = ChestXrayReader.open(model, device=device)
    source = read_data(
        data, labels=labels, fixations=fixations, mimic=mimic, target=target, skip=skip
    ).viewed(made.view)
    with StepProgress(len(source)) as progress:
        items = score_items(made, source, done=lambda: progress.advance("scoring"))
    found = all_scores(items, temperature=made.temperature_, seed=seed)
    if not found:
        learned = "diagnoses" if made.classes_ else "gaze alone"
        problem = f"holds nothing that can be scored: the model knows {learned}"
        raise InputError(problem, file=data, remedy="give labels, fixations, or both (see fit --help)")
    print(f"{len(source)} images of {len(set(source.patients))} patients")
    for label, value, interval in told(found):
        print(f"  {label:42} {value}  {interval}")
    if out is not None:
        write_table(out / "images.csv", frame_of(items))
        write_json(out / "scores.json", found)
        write_page(out / "index.html", made, source, items, told(found), title=data.resolve().name)
        print(f"page: {out / 'index.html'}")
    return found


def told(found: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Scores in words: what, value, interval."""
    rows = []
    for name, value in found.items():
        if name.endswith(("_low", "_high")):
            continue
        label = NAMES.get(name) or (f"AUC of {name[4:]}" if name.startswith("auc_") else name)
        low, high = found[f"{name}_low"], found[f"{name}_high"]
        rows.append((label, f"{value:.3f}", f"{low:.3f} to {high:.3f}"))
    return rows
