"""`visus vgloss example`: captioned pictures of made-up things, and classes with names that mean nothing."""

from __future__ import annotations

from pathlib import Path

from visus.outputs import check_out

LANGUAGE = "made up"


def example(*, out: Path, seed: int = 0) -> list[list[str]]:
    """Write example pictures and print commands that use them.

    OUT/pictures and OUT/captions.csv: solids with captions. OUT/classes.csv: kinds of solids that no caption speaks
    of, under coined names, with a definition each. OUT/kinds.json: four descriptions of each. OUT/test: pictures of
    these kinds, one folder per class; OUT/labels.csv lists them.

    Args:
        out: folder to write to.
        seed: chooses pictures, kinds and names.
    """
    import pandas as pd

    from visus.data.corpora.image_folder import write_image_folder
    from visus.data.formats import write_table
    from visus.methods.vgloss.estimator import VGlossClassifier
    from visus.methods.vgloss.model.silver import Silver, SilverClass
    from visus.methods.vgloss.verbs.captions import write_captioned

    check_out(out, kind="folder")
    train, test = (VGlossClassifier.example(part, seed=seed) for part in ("train", "test"))
    batch = train.batch(range(len(train)))
    names = [f"{name}.png" for name in batch["name"]]
    rows = [
        (f"pictures/{name}", text)
        for name, told in zip(names, batch["caption"], strict=True)
        for text in told
    ]
    captions = pd.DataFrame(rows, columns=["path", "caption"])
    write_captioned(out, dict(zip(names, batch["image"], strict=True)), captions)
    classes = train.classes  # pyright: ignore[reportAttributeAccessIssue]
    glosses = [told[0] for told in classes.normal]
    write_table(out / "classes.csv", pd.DataFrame({"label": classes.names, "gloss": glosses}))
    entries = {
        name: SilverClass(
            name=name,
            gloss=gloss,
            normal=told,
            contrastive=classes.against(name),
        )
        for name, gloss, told in zip(classes.names, glosses, classes.normal, strict=True)
    }
    Silver(classes=entries, meta={"lm": LANGUAGE, "resource": None}).write(out / "kinds.json")
    shown = test.batch(range(len(test)))
    labels = [classes.names[i] for i in shown["target"].tolist()]
    write_image_folder(out / "test", shown["image"].numpy(), labels)
    paths = [f"test/{label}/{i:05d}.png" for i, label in enumerate(labels)]
    write_table(out / "labels.csv", pd.DataFrame({"path": paths, "label": labels}))
    commands = _commands(out)
    for command in commands:
        print(" ".join(f'"{word}"' if " " in word else word for word in command))
    return commands


def _commands(out: Path) -> list[list[str]]:
    start, run, test, kinds = (
        ["visus", "vgloss"],
        str(out / "run"),
        str(out / "test"),
        str(out / "kinds.json"),
    )
    fit = [*start, "fit", str(out / "captions.csv"), "--classes", kinds, "--preset", "smoke", "--out", run]
    told, built = str(out / "described.json"), str(out / "built")
    sets = ["--descriptions", f"kinds={kinds}", f"glosses={told}"]
    return [
        fit,
        [*start, "predict", test, "--model", run, "--out", str(out / "predictions.csv")],
        [*start, "evaluate", test, "--model", run],
        [*start, "describe", "--classes", str(out / "classes.csv"), "--out", told],
        [*start, "build", kinds, "--model", str(out / "run" / "clip"), "--use", "both", "--out", built],
        [*start, "classify", "--images", test, "--model", built, "--out", str(out / "classified")],
        [*start, "compare", "--images", test, *sets, "--model", run, "--out", str(out / "compared")],
        [
            *start,
            "explain",
            "--images",
            test,
            "--model",
            built,
            "--limit",
            "6",
            "--out",
            str(out / "explained"),
        ],
    ]
