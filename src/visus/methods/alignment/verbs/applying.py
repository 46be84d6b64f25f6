"""`visus alignment apply`: features mapped by a learned transform."""

from __future__ import annotations

from pathlib import Path

from visus.outputs import check_inputs, check_out


def apply(
    transform_or_run: Path,
    embeddings: Path,
    /,
    *,
    out: Path,
    encoder: str | None = None,
    layer: str | None = None,
    cache: Path | None = None,
    device: str = "auto",
) -> None:
    """Map embeddings of any objects by a learned transform, with the statistics of what it was learned on.

    Args:
        transform_or_run: folder of fit, or an .npz file of fit, gLocal or thingsvision.
        embeddings: .npy, .npz, .safetensors or .csv; with --encoder a folder of pictures or a .txt file of texts.
        out: file to write (.npy, .npz, .safetensors or .csv); names are kept.
        encoder: network that makes the embeddings, the one that the transform was learned on; a run of fit knows it.
        layer: of the encoder.
        cache: folder where features are kept, so that a stopped command goes on; a folder beside OUT if left out.
        device: auto, cpu or cuda.
    """
    from dataclasses import replace

    from visus.data.features import write_embeddings
    from visus.errors import InputError
    from visus.methods.alignment.verbs.embedding import VECTORS, check_width, given_for, open_transform

    check_inputs(TRANSFORM_OR_RUN=transform_or_run, EMBEDDINGS=embeddings)
    check_out(out, kind="file", inputs=[transform_or_run, embeddings])
    if out.suffix.lower() not in VECTORS:
        remedy = f"end its name in {', '.join(VECTORS)}"
        raise InputError(f"ends in {out.suffix or 'nothing'}", file=out, field="--out", remedy=remedy)
    map = open_transform(transform_or_run)
    cache = cache or out.with_name(f"{out.stem}.features")
    asked = given_for(embeddings, transform_or_run, encoder=encoder, layer=layer, device=device)
    given = asked.embeddings(cache=cache)
    check_width(map, given, transform_or_run)
    origin = f"{given.origin} | {transform_or_run.name}" if given.origin else transform_or_run.name
    made = replace(given, values=map.apply(given.values), origin=origin)
    write_embeddings(out, made)
    print(f"{len(made):,} objects, {given.width} -> {made.width} numbers: {out}")
