"""`visus chestxray explain`: what a diagnosis rests on, beside where a radiologist would look."""

from __future__ import annotations

from pathlib import Path

from visus.errors import InputError
from visus.methods.chestxray.verbs.images import Invert, Listed
from visus.methods.chestxray.verbs.outputs import check_file, check_folder


def explain(
    image: Path,
    /,
    *,
    model: Path,
    out: Path,
    invert: Invert = "no",
    device: str = "auto",
) -> None:
    """Draw the predicted gaze beside the Grad-CAM of every class for one radiograph.

    Args:
        image: DICOM, PNG, JPEG, TIFF or NumPy file.
        model: the folder given to fit as --out, or the model folder in it.
        out: picture to write (.png), or a folder for one picture per map and the maps as .npy.
        invert: what to do with a picture whose dense parts look dark: no (say so), auto (turn it over), yes.
        device: auto, cpu or cuda.
    """
    from visus.methods.chestxray.estimator import ChestXrayReader
    from visus.methods.chestxray.figures.cases import draw_explained
    from visus.methods.chestxray.figures.overlay import overlay, png
    from visus.methods.chestxray.verbs.reading import Reader, has_evidence, normalized, npy
    from visus.records import write_atomically

    if image.is_dir():
        raise InputError("is a folder", file=image, remedy="give one image; predict --pictures takes folders")
    if out.suffix.lower() == ".png":
        check_file(out, "--out", example="explained.png", inputs=[image])
    elif out.suffix and not out.is_dir():
        remedy = "end the name in .png, or name a folder"
        raise InputError("is not a PNG file", file=out, field="--out", remedy=remedy)
    else:
        check_folder(out, "--out", inputs=[image])
    made = ChestXrayReader.open(model, device=device)
    if not has_evidence(made):
        problem = f"network {made.settings.network} has no diagnosis of a dense encoder to explain"
        raise InputError(problem, file=model, remedy="use predict --pictures for its map")
    reader = Reader(made, invert=invert)
    opened = reader.open(Listed(name=image.name, path=image, stem=image.stem))
    batch = {"image": opened.seen[None]}
    found = made.predict(batch)
    density = normalized(opened.cut(found["density"][0])) if "density" in found else None
    evidence = {name: opened.cut(made.grad_cam(batch, class_name=name)[0]) for name in made.classes_}
    shares = {
        name: float(share) for name, share in zip(made.classes_, found["probabilities"][0], strict=True)
    }
    for note in opened.notes:
        print(f"note: {note}")
    for name, share in shares.items():
        print(f"{name:16} {share:.3f}")
    if out.suffix.lower() == ".png":
        write_atomically(out, png(draw_explained(opened.picture, density, evidence, probabilities=shares)))
        print(f"picture: {out}")
        return
    maps = {
        **({} if density is None else {"gaze": density}),
        **{f"gradcam-{n}": m for n, m in evidence.items()},
    }
    for name, map in maps.items():
        words = "predicted gaze" if name == "gaze" else f"Grad-CAM of {name.removeprefix('gradcam-')}"
        drawn = overlay(opened.picture, map, words=words, line=name == "gaze")
        safe = "".join(letter if letter.isalnum() or letter in "-_ " else "_" for letter in name)
        write_atomically(out / f"{safe}.png", png(drawn))
        write_atomically(out / f"{safe}.npy", npy(map))
    print(f"{len(maps)} maps: {out}")
