"""A causal language model of the transformers library on this machine: a model folder, a GGUF file or a hub id."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from visus.engine.seeds import derive_seed
from visus.errors import InputError, VisusError
from visus.extras import need
from visus.methods.vgloss.model.languages.protocol import LINE, check_settings, cut, stops

PURPOSE = "running a language model"
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
HASHED = {".safetensors", ".bin", ".gguf", ".json", ".model", ".jinja", ".txt"}


class TransformersLM:
    """Continuations by a causal language model.

    A prompt becomes the user's message of the tokenizer's chat template where there is one; a last line that
    ends with a colon is how the answer begins, so that the model goes on behind it. Decoding is greedy at
    temperature 0; otherwise every answer is drawn with a generator of its own, seeded by the prompt and its
    number, so that a text does not depend on its batch mates (up to rounding of the padded batch).

    Parameters
    ----------
    source : a folder with config.json, weights and tokenizer; a .gguf file or a folder with one; or an id on the
        Hugging Face Hub, downloaded unless HF_HUB_OFFLINE is set.
    device : where the model runs.
    batch_size : answers computed at once.
    chat : False gives prompts to the model as they are; None uses the chat template if there is one.

    Raises
    ------
    InputError : names the folder or file that is no such model, or its part that cannot be read.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        device: str | torch.device = "cpu",
        batch_size: int = 8,
        chat: bool | None = None,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"must be at least 1, got {batch_size}", field="batch_size")
        folder, gguf = _located(source)
        self.device, self.batch_size = torch.device(device), batch_size
        self.tokenizer, model = _loaded(folder, gguf)
        self.model = model.to(self.device).eval().requires_grad_(False)
        templated = bool(getattr(self.tokenizer, "chat_template", None))
        if chat and not templated:
            raise InputError("has no chat template", file=source, remedy="leave chat out, or set it to False")
        self.chat = templated if chat is None else chat
        told = _digest(folder, gguf)
        name = gguf.stem if gguf else folder.name
        self.identity = f"transformers:{name}:{told[:16]}{':chat' if self.chat else ''}"
        known = getattr(self.model.config, "max_position_embeddings", None)
        self.most_tokens: int | None = known if isinstance(known, int) and known > 0 else None
        takes = inspect.signature(self.model.forward).parameters
        self._positions = "position_ids" in takes
        self._last_only = "logits_to_keep" in takes
        self._ends = _end_tokens(self.model, self.tokenizer)

    def generate(
        self,
        prompts: Sequence[str],
        *,
        n: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 50,
        stop: Sequence[str] = LINE,
        seed: int = 0,
    ) -> list[list[str]]:
        """For every prompt `n` answers, or the greedy one if `temperature` is 0; see `LanguageModel`.

        Raises
        ------
        InputError : a setting out of range, or a prompt that leaves the model no room for `max_new_tokens`.
        """
        check_settings(n=n, temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens)
        tokens = [self._tokens(prompt, max_new_tokens) for prompt in prompts]
        copies = n if temperature > 0 else 1
        jobs = [(i, copy) for i in range(len(prompts)) for copy in range(copies)]
        jobs.sort(key=lambda job: len(tokens[job[0]]))  # like lengths together: little padding
        answers = [[""] * copies for _ in prompts]
        for start in range(0, len(jobs), self.batch_size):
            part = jobs[start : start + self.batch_size]
            seeds = [derive_seed(seed, "answer", prompts[i], copy) for i, copy in part]
            draw = _Draw(seeds, temperature=temperature, top_p=top_p)
            rows = self._continued([tokens[i] for i, _ in part], draw, max_new_tokens, stop)
            for (i, copy), row in zip(part, rows, strict=True):
                answers[i][copy] = cut(self._text(row), stop)
        return answers

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without the special ones."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _tokens(self, prompt: str, room: int) -> list[int]:
        if self.chat:
            asked, begun = _cue_apart(prompt)
            message = [{"role": "user", "content": asked}]
            templated = self.tokenizer.apply_chat_template(
                message, add_generation_prompt=True, tokenize=False
            )
            prompt = templated + begun
        found = list(self.tokenizer(prompt, add_special_tokens=not self.chat)["input_ids"])
        if not found:
            raise InputError("is empty", field="prompt")
        if self.most_tokens and len(found) + room > self.most_tokens:
            raise InputError(
                f"has {len(found)} tokens, which leaves no room for {room} more (the model holds {self.most_tokens})",
                field="prompt",
                remedy="use fewer exemplars or fields, or fewer max_new_tokens",
            )
        return found

    def _text(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True)

    @torch.inference_mode()
    def _continued(
        self, prompts: Sequence[Sequence[int]], draw: _Draw, room: int, stop: Sequence[str]
    ) -> list[list[int]]:
        """The new tokens of every row, at most `room`, up to a token that ends the text or a `stop` string."""
        longest = max(map(len, prompts))
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts])
        step = torch.tensor([[0] * (longest - len(row)) + list(row) for row in prompts])
        made: list[list[int]] = [[] for _ in prompts]
        open_rows, past = set(range(len(prompts))), None
        while open_rows:
            logits, past = self._next(step, mask, past)
            chosen = draw(logits)
            for i in sorted(open_rows):
                token = int(chosen[i])
                if token in self._ends:
                    open_rows.discard(i)
                    continue
                made[i].append(token)
                if len(made[i]) == room or stops(self._text(made[i]), stop):
                    open_rows.discard(i)
            step = chosen[:, None]
            mask = torch.cat([mask, torch.ones_like(step)], dim=1)
        return made

    def _next(
        self, step: Int64[Tensor, "b n"], mask: Int64[Tensor, "b m"], past: Any
    ) -> tuple[Float[Tensor, "b v"], Any]:
        """Logits of the next token behind `step`, and the keys and values so far; `mask` covers the past too."""
        options: dict[str, Any] = {"past_key_values": past, "use_cache": True}
        if self._positions:
            places = (mask.cumsum(1) - 1).clamp(min=0)[:, -step.shape[1] :]
            options["position_ids"] = places.to(self.device)
        if self._last_only:
            options["logits_to_keep"] = 1
        made = self.model(input_ids=step.to(self.device), attention_mask=mask.to(self.device), **options)
        return made.logits[:, -1].float().cpu(), made.past_key_values


class _Draw:
    """Choose the next token of every row: the likeliest, or one drawn by the row's own generator."""

    def __init__(self, seeds: Sequence[int], *, temperature: float, top_p: float) -> None:
        self.temperature, self.top_p = temperature, top_p
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, logits: Float[Tensor, "b v"]) -> Int64[Tensor, " b"]:
        if self.temperature == 0:
            return logits.argmax(-1)
        share, order = torch.softmax(logits.double() / self.temperature, -1).sort(
            descending=True, stable=True
        )
        before = share.cumsum(-1) - share
        share = share.where(before < self.top_p, 0.0)  # the likeliest token always stays
        total = share.cumsum(-1)
        places = torch.stack(
            [torch.rand((), generator=each, dtype=torch.float64) for each in self.generators]
        )
        rank = torch.searchsorted(total, (places * total[:, -1])[:, None], right=True)
        most = (share > 0).sum(-1, keepdim=True) - 1
        return order.gather(-1, rank.minimum(most)).squeeze(-1)


def _cue_apart(prompt: str) -> tuple[str, str]:
    """A prompt without its last line, and that line, if it ends with a colon behind other lines.

    >>> _cue_apart("Name: crane\\nIn a photo:"), _cue_apart("What is a crane?")
    (('Name: crane', 'In a photo:'), ('What is a crane?', ''))
    """
    asked, break_, last = prompt.rstrip().rpartition("\n")
    return (asked, last) if break_ and last.endswith(":") else (prompt, "")


def _located(source: str | Path) -> tuple[Path, Path | None]:
    """The folder and, if it is one, the GGUF file of a model."""
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise InputError("is not a GGUF file", file=path, remedy="give a .gguf file or a model folder")
        return path.absolute().parent, path.absolute()
    if path.is_dir():
        if (path / "config.json").is_file():
            return path.absolute(), None
        found = sorted(path.glob("*.gguf"))
        if len(found) == 1:
            return path.absolute(), found[0].absolute()
        if found:
            names = ", ".join(each.name for each in found)
            raise InputError(f"holds several GGUF files ({names})", file=path, remedy="name one of them")
        raise InputError(
            "holds no language model", file=path, remedy="give a folder with config.json, or a .gguf file"
        )
    if isinstance(source, Path) or not HUB_ID.fullmatch(source):
        raise InputError(
            "does not exist", file=source, remedy="give a model folder, a .gguf file or a hub id"
        )
    hub = need("huggingface_hub", extra="text", purpose=PURPOSE)
    try:
        return Path(hub.snapshot_download(source, allow_patterns=HUB_FILES)), None
    except Exception as error:  # offline, no such repository, no permission: many classes, one remedy
        raise InputError(
            f"is neither a folder here nor to be had from the hub ({type(error).__name__})",
            file=source,
            remedy="give a local folder or .gguf file",
        ) from None


def _loaded(folder: Path, gguf: Path | None) -> tuple[Any, Any]:
    """Tokenizer and model in float32."""
    transformers = need("transformers", extra="text", purpose=PURPOSE)
    options: dict[str, Any] = {"local_files_only": True}
    if gguf:
        need("gguf", extra="text", purpose="reading GGUF files")
        options["gguf_file"] = gguf.name
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    except VisusError:
        raise
    except Exception as error:  # broken configurations, weights and tokenizers raise all kinds of errors
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"cannot be read as a language model ({lines[0]})",
            file=gguf or folder,
            remedy="give a causal language model with its tokenizer",
        ) from None
    return tokenizer, model


def _digest(folder: Path, gguf: Path | None) -> str:
    """Hash of all files that shape an answer."""
    files = [gguf] if gguf else sorted(file for file in folder.iterdir() if file.suffix in HASHED)
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(f"{file.name}:{hashlib.file_digest(stream, 'sha256').hexdigest()};".encode())
    return digest.hexdigest()


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    settings = getattr(model, "generation_config", None)
    found: set[int] = set()
    for each in (getattr(settings, "eos_token_id", None), tokenizer.eos_token_id):
        found |= {each} if isinstance(each, int) else set(each or ())
    return frozenset(found)
