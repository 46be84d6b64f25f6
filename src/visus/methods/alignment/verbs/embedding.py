"""What an EMBEDDINGS argument may be: a file of vectors, or pictures or texts with an encoder."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.errors import InputError

if TYPE_CHECKING:
    from visus.data.features import Embeddings
    from visus.methods.alignment.model import Transform

VECTORS = (".npy", ".npz", ".safetensors", ".csv", ".tsv")
TEXTS = (".txt",)


class Given:
    """Vectors that were read, or pictures or texts that an encoder is going to read.

    Parameters
    ----------
    path : .npy, .npz, .safetensors, .csv or .tsv; with `encoder` a folder of pictures, or a .txt file with one text
        per line (`name<tab>text` where the text is not the name).
    encoder : see `visus.data.features.open_encoder`.
    layer : of the encoder.
    device : of the encoder.
    identity : that the encoder must have, such as that of the network that a map was fitted on.

    Raises
    ------
    InputError : nothing there, a folder without an encoder, an encoder without pictures or texts, or a file that
        cannot be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        encoder: str | None = None,
        layer: str | None = None,
        device: str = "auto",
        identity: str | None = None,
    ) -> None:
        from visus.data.features import read_embeddings

        self.path, self.encoder, self.layer, self.device = path, encoder, layer, device
        self.identity = identity
        self._read: Embeddings | None = None
        self._items: list[Any] = []
        self._kind: Any = "images"
        if encoder is None:
            _check_vectors(path)
            self._read = read_embeddings(path)
            self.names = self._read.names
        elif path.suffix.lower() in VECTORS:
            remedy = "leave out --encoder, or give a folder of pictures"
            raise InputError("holds vectors already", file=path, field="--encoder", remedy=remedy)
        elif path.is_dir():
            self._items, self.names = _pictures(path)
        else:
            self._items, self.names = _texts(path)
            self._kind = "texts"

    def __len__(self) -> int:
        return len(self.names)

    def embeddings(self, *, cache: Path | None = None) -> Embeddings:
        """The vectors; those that an encoder makes are kept in `cache`, so that a stopped command goes on."""
        if self._read is None:
            self._read = self._encoded(cache)
        return self._read

    @property
    def noted(self) -> dict[str, str | None] | None:
        """What a run notes of the encoder that made its embeddings; None where a file was read."""
        if self.encoder is None or self._read is None:
            return None
        name = str(Path(self.encoder).resolve()) if Path(self.encoder).is_dir() else self.encoder
        return {"name": name, "layer": self.layer, "identity": self._read.origin}

    def _encoded(self, cache: Path | None) -> Embeddings:
        from dataclasses import replace

        from visus.data.features import FeatureCache, extract, open_encoder
        from visus.engine import Run

        assert self.encoder is not None
        device = Run(device=self.device, progress=False).device
        made: Any = open_encoder(self.encoder, device=device, layer=self.layer)
        if not hasattr(made, self._kind):
            problem = "reads pictures, not texts" if self._kind == "texts" else "reads texts, not pictures"
            remedy = "give a folder of pictures to a network of pictures, a .txt file to one of texts"
            raise InputError(problem, field=f"--encoder {self.encoder}", remedy=remedy)
        if self.identity is not None and made.identity != self.identity:
            problem = "is another network, or has other weights, than the model was fitted with"
            remedy = "give the network that the model was fitted with"
            raise InputError(problem, field=f"--encoder {self.encoder}", remedy=remedy)
        kept = None if cache is None else FeatureCache(cache)
        counting = Counting("encoding")
        found = extract(made, self._items, kind=self._kind, cache=kept, progress=counting)
        return replace(found, names=tuple(self.names))


def _check_vectors(path: Path) -> None:
    if not path.exists():
        raise InputError("does not exist", file=path, field="EMBEDDINGS", remedy="check the path")
    if path.is_dir():
        remedy = "give a file of embeddings, or name the network that reads the pictures with --encoder"
        raise InputError("is a folder", file=path, field="EMBEDDINGS", remedy=remedy)
    if path.suffix.lower() in TEXTS:
        remedy = "name the network that reads the texts, for example --encoder minilm"
        raise InputError("holds texts, not vectors", file=path, field="EMBEDDINGS", remedy=remedy)


def _pictures(folder: Path) -> tuple[list[Any], tuple[str, ...]]:
    from visus.data.formats import EXTENSIONS

    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.name.lower().endswith(EXTENSIONS)
    )
    if not found:
        remedy = "give a folder with PNG or JPEG files"
        raise InputError("holds no pictures", file=folder, field="EMBEDDINGS", remedy=remedy)
    return list(found), tuple(path.relative_to(folder).as_posix() for path in found)


def _texts(file: Path) -> tuple[list[Any], tuple[str, ...]]:
    from visus.data.formats.text import read_text

    lines = [line for line in read_text(file).splitlines() if line.strip()]
    pairs = [line.partition("\t") for line in lines]
    if not pairs:
        raise InputError("has no content", file=file, remedy="write one text per line")
    return [text or name for name, _, text in pairs], tuple(name.strip() for name, _, _ in pairs)


class Counting:
    """Tells every few seconds how many of how many are done, and about how long the rest takes."""

    def __init__(self, what: str, every: float = 5.0) -> None:
        self.what, self.every = what, every
        self._started = self._told = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told < self.every or not 0 < done < total:
            return
        self._told = now
        left = (now - self._started) / done * (total - done)
        print(f"{self.what}: {done:,} of {total:,}, about {left:.0f} s left", file=sys.stderr)


def given_for(embeddings: Path, run: Path, *, encoder: str | None, layer: str | None, device: str) -> Given:
    """Embeddings for the model of a run: pictures and texts are read by the encoder that it was fitted with.

    A folder that holds a single file of vectors and nothing else stands for that file.
    """
    known = remembered(run)
    pictured = embeddings.is_dir() or embeddings.suffix.lower() in TEXTS
    if known is None and encoder is None and embeddings.is_dir():
        files = [path for path in embeddings.iterdir() if not path.name.startswith(".")]
        if len(files) == 1 and files[0].suffix.lower() in VECTORS:
            embeddings = files[0]
    if known is None or not pictured:
        return Given(embeddings, encoder=encoder, layer=layer, device=device)
    return Given(
        embeddings,
        encoder=encoder or known["name"],
        layer=layer or known["layer"],
        device=device,
        identity=known["identity"],
    )


def remembered(run: Path) -> dict[str, Any] | None:
    """The encoder that a run (or the run around a saved model) was fitted with: its name, layer and identity."""
    from visus.records import read_json

    for folder in (run, run.parent) if run.is_dir() else ():
        if (folder / "run.json").is_file() and (folder / "scores.json").is_file():
            plain = read_json(folder / "scores.json")
            return plain.get("encoder") if isinstance(plain, dict) else None
    return None


def open_transform(given: Path) -> Transform:
    """A transform from an .npz file, a run's folder or a saved model's.

    Raises
    ------
    InputError : neither is there.
    """
    from visus.methods.alignment.model import Transform

    if given.is_dir():
        file = given / "transform.npz"
        if file.is_file():
            return Transform.load_npz(file)
        if not (given / "config.json").is_file() and not (given / "model" / "config.json").is_file():
            remedy = "give the folder that fit wrote, or an .npz file"
            raise InputError("holds neither transform.npz nor a model", file=given, remedy=remedy)
        from visus.methods.alignment.estimator import Aligner

        return Aligner.open(given, device="cpu").transform_
    return Transform.load_npz(given)


def check_width(transform: Transform, given: Embeddings, file: Path) -> None:
    """Refuse a transform of another width.

    Raises
    ------
    InputError : names both widths.
    """
    if transform.inputs != given.width:
        problem = f"takes {transform.inputs} numbers per object, the embedding has {given.width}"
        remedy = "give features of the network and layer that the transform was learned on"
        raise InputError(problem, file=file, field="weights", remedy=remedy)
