"""The base of estimators that hold torch modules: parameters, saving, loading, Hugging Face Hub layout."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import nn

from visus.engine.run import Run
from visus.errors import InputError
from visus.extras import need
from visus.records import from_plain, read_json, to_plain, write_json
from visus.version import __version__

CARD = """---
library_name: visus
tags: [visus, {slug}]
---
# {name}

A model of the method `{slug}` ({arxiv}), trained with visus {version}.

    from visus.methods.{slug} import {name}
    model = {name}.load("this folder")

Settings: `config.json`. Weights: `model.safetensors`.
"""


class TorchEstimator(BaseEstimator):
    """An estimator with a frozen `config` as its only parameter: the constructor stores, `fit` learns.

    A subclass states `slug`, `arxiv`, `Config`, `PRESETS` and implements `parts` (its modules), `_state`
    (fitted state as plain data) and `_restore` (rebuild the modules from that state; weights are loaded
    afterwards).
    """

    slug: ClassVar[str] = ""
    arxiv: ClassVar[str] = ""
    Config: ClassVar[type] = object
    PRESETS: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, config: Any = None) -> None:
        self.config = config

    @classmethod
    def preset(cls, name: str) -> Any:
        """The configuration of a preset: smoke, demo, gpu or paper."""
        if name not in cls.PRESETS:
            raise InputError(f"no preset {name!r}", field="preset", remedy=f"one of {', '.join(cls.PRESETS)}")
        return cls.PRESETS[name]

    @property
    def settings(self) -> Any:
        """The configuration in force: the one given, or the defaults."""
        config = self.config if self.config is not None else self.Config()
        if not isinstance(config, self.Config):
            raise InputError(f"expected {self.Config.__name__}, got {type(config).__name__}", field="config")
        return config

    def parts(self) -> dict[str, nn.Module]:
        """The fitted modules by name."""
        raise NotFittedError(f"{type(self).__name__} is not fitted: call fit or load first")

    def _state(self) -> dict[str, Any]:
        return {}

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Rebuild the modules from plain state."""

    def save(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors and a model card, each file whole or not at all."""
        folder = Path(folder)
        parts = self.parts()
        if folder.exists() and not folder.is_dir():
            raise InputError("is not a folder", file=folder, remedy="name a folder to save the model in")
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        draft.chmod(0o755)
        try:
            weights = {
                f"{name}/{key}": value.detach().to("cpu", copy=True).contiguous()
                for name, module in parts.items()
                for key, value in module.state_dict().items()
            }
            save_file(weights, draft / "model.safetensors", metadata={"format": "pt"})
            (draft / "model.safetensors").chmod(0o644)
            record = {
                "library": "visus",
                "version": __version__,
                "method": self.slug,
                "estimator": type(self).__name__,
                "config": to_plain(self.settings),
                "state": self._state(),
            }
            write_json(draft / "config.json", record)
            card = CARD.format(
                slug=self.slug, name=type(self).__name__, version=__version__, arxiv=f"arXiv:{self.arxiv}"
            )
            (draft / "README.md").write_text(card, encoding="utf-8")
            folder.mkdir(exist_ok=True)
            for name in ("model.safetensors", "README.md", "config.json"):
                (draft / name).replace(folder / name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    @classmethod
    def open(cls, folder: str | Path, *, device: str = "auto") -> Self:
        """The model that a run's folder holds in `model` (or a saved model's own folder), on a device.

        Raises
        ------
        visus.errors.InputError : as `load`; there is no such device.
        """
        inside = Path(folder) / "model"
        made = cls.load(inside if inside.is_dir() else folder)
        place = Run(device=device, progress=False).device
        for part in made.parts().values():
            part.to(place)
        return made

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        visus.errors.InputError : a file is missing or damaged, or the folder holds another method's model.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(
                "is not a folder with a saved model", file=folder, remedy="give the folder that fit wrote"
            )
        if not (folder / "config.json").exists():
            raise InputError(
                "does not exist", file=folder / "config.json", remedy="give the folder that fit wrote"
            )
        record = read_json(folder / "config.json")
        if not isinstance(record, dict) or record.get("estimator") != cls.__name__:
            found = record.get("estimator") if isinstance(record, dict) else None
            raise InputError(
                f"holds a model of {found}, not of {cls.__name__}",
                file=folder / "config.json",
                field="estimator",
            )
        made = cls(from_plain(cls.Config, record.get("config"), file=folder / "config.json"))
        try:
            made._restore(record["state"])
        except KeyError as error:
            raise InputError(f"lacks {error}", file=folder / "config.json", field="state") from None
        try:
            weights = load_file(folder / "model.safetensors")
            for name, module in made.parts().items():
                prefix = f"{name}/"
                module.load_state_dict(
                    {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
                )
                module.eval()
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"weights cannot be read ({reason})",
                file=folder / "model.safetensors",
                remedy="fit and save the model again",
            ) from None
        return made

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Upload the saved folder to the Hugging Face Hub; returns its address."""
        hub = need("huggingface_hub", extra="text", purpose="uploading to the Hugging Face Hub")
        with tempfile.TemporaryDirectory() as temporary:
            self.save(Path(temporary) / "model")
            hub.create_repo(repository, exist_ok=True)
            return str(
                hub.upload_folder(repo_id=repository, folder_path=str(Path(temporary) / "model"), **options)
            )

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> Self:
        """Load from a local folder or, where there is none of that name, from the Hugging Face Hub."""
        if Path(name).is_dir():
            return cls.load(name)
        hub = need("huggingface_hub", extra="text", purpose="downloading from the Hugging Face Hub")
        try:
            folder = hub.snapshot_download(str(name), **options)
        except (OSError, ValueError) as error:
            raise InputError(
                f"is neither a local folder nor a model that the Hub gives ({str(error).splitlines()[0]})",
                file=name,
                remedy="check the name and the connection",
            ) from None
        return cls.load(folder)
