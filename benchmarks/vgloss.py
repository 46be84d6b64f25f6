"""Speed of zero-shot classifiers made of descriptions, beside their plain forms.

    python benchmarks/vgloss.py [--quick] [--out vgloss.json]

Everything is measured in one run, on a small CLIP with random weights and on made-up features:

- a classifier of 1,000 classes x 80 templates against the usual builder (one class after the other, the way
  open_clip builds it) on the same tower, and the same classifier again after one class got another description;
- the second look at the best classes for a batch of pictures against a loop over pictures and classes, and the
  explanation of decisions (each text left out in turn) against one that builds every row anew;
- ids, meanings and all Wu-Palmer similarities of ImageNet's 1,000 classes against NLTK, where both WordNet's files and
  NLTK are there;
- answers of a language model replayed from the cache.

Loops are timed on a part and scaled up. Times are processor time of one thread, which other programs disturb least.
Exit code 1 if anything is fewer times faster than its plain form than the gate asks, or if results differ.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent))
from timing import measure, provenance, ratio, summary
from visus.data.wordnet import LEXFILES, WordNet, find_wordnet, wu_palmer_matrix
from visus.engine.seeds import seeded
from visus.methods.vgloss.baselines import templates
from visus.methods.vgloss.config import VGlossConfig
from visus.methods.vgloss.estimator.bank import build_bank
from visus.methods.vgloss.estimator.explaining import explain
from visus.methods.vgloss.estimator.scoring import look_again
from visus.methods.vgloss.model.builder import TextClassifierBuilder
from visus.methods.vgloss.model.classes import ClassTexts
from visus.methods.vgloss.model.labels import label_set
from visus.methods.vgloss.model.languages import CachedLM
from visus.methods.vgloss.model.towers import Sizes, SmallTowers, build_clip, learn_merges, vocabulary

CLASSES, TEMPLATES, PICTURES, PROMPTS, BEST, SCALE = 1000, 80, 2000, 1000, 5, 100.0
GATE = {"builder": 0.8, "rebuild": 50.0, "second look": 0.5, "explanation": 3.0, "nltk": 50.0}
"""How many times faster than each plain form the work is to be; below 1 where it only must not be much slower: the
tower's own time in building, and the many small sets of classes in the second look."""
TOLERANCE = 1e-4


# ---- building ---------------------------------------------------------------------------------------------


def small_clip() -> SmallTowers:
    """A small CLIP with random weights."""
    merges = learn_merges([f"a photo of a thing number {i}" for i in range(50)], most=60)
    picture = {"image_size": 32, "patch": 8, "width": 32, "layers": 1}
    sizes = Sizes(**picture, heads=4, text_layers=2, text_width=64, text_length=77, joint=64)
    with seeded(0, "towers"):
        return SmallTowers(build_clip(sizes, vocabulary_size=len(vocabulary(merges))), merges)


def sentences(count: int) -> list[str]:
    """Templates of different lengths."""
    return [f"a photo {'of the very same kind ' * (i % 4)}{i} of a {{c}}." for i in range(count)]


def looped(towers: SmallTowers, names: list[str], shared: list[str]) -> Tensor:
    """The usual builder: encode, normalize, average, normalize, class by class."""
    rows = []
    with torch.no_grad():
        for name in names:
            each = F.normalize(towers.texts([sentence.replace("{c}", name) for sentence in shared]), dim=-1)
            rows.append(F.normalize(each.mean(0), dim=0))
    return torch.stack(rows)


def building_case(*, classes: int, count: int, part: int, rounds: int) -> dict[str, Any]:
    """All classes with all templates; the loop on `part` of the classes."""
    towers, shared = small_clip(), sentences(count)
    names = [f"thing number {i}" for i in range(classes)]
    texts, few = templates(names, shared), templates(names[:part], shared)
    known, turns = TextClassifierBuilder(towers), iter(range(1000))
    rows = known.build(texts).weights

    def again() -> None:
        known.build({**texts, names[0]: [f"another text {next(turns)}"]})

    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: TextClassifierBuilder(towers).build(few),
        "loop": lambda: looped(towers, names[:part], shared),
        "again": again,
    }
    times = measure(calls, repeats=rounds, warmup=1, clock=time.process_time)
    return {
        "classes": classes,
        "templates": count,
        "timed_classes": part,
        "times": {name: summary(values) for name, values in times.items()},
        "extrapolated_seconds": {name: min(times[name]) * classes / part for name in ("ours", "loop")},
        "speedup": {
            "builder": ratio(times, "loop", "ours"),
            "rebuild": ratio(times, "loop", "again") * classes / part,
        },
        "error": float((looped(towers, names[:part], shared) - rows[:part]).abs().max()),
    }


# ---- predicting -------------------------------------------------------------------------------------------


class Directions:
    """A direction of its own for every text, drawn once."""

    identity, width, max_tokens = "directions", 128, 77

    def __init__(self) -> None:
        self.rows: dict[str, Tensor] = {}
        self.draw = torch.Generator().manual_seed(0)

    def texts(self, texts: Any) -> Tensor:
        """Rows of texts."""
        for text in texts:
            self.rows.setdefault(text, torch.randn(self.width, generator=self.draw))
        return torch.stack([self.rows[text] for text in texts])

    def count_tokens(self, text: str) -> int:
        """Words."""
        return len(text.split())


def contrasted(classes: int) -> ClassTexts:
    """Classes with three descriptions and sentences against their two neighbors in a ring."""
    names = tuple(f"class {i}" for i in range(classes))
    normal = tuple(tuple(f"text {j} of {name}" for j in range(3)) for name in names)
    ring = [(i, (i + step) % classes) for i in range(classes) for step in (1, -1)]
    against = {(names[i], names[j]): (f"{names[i]}, not {names[j]}",) for i, j in ring}
    return ClassTexts(names, normal, against)


def looked_again(logits: Tensor, rows: Tensor, bank: Any, *, k: int) -> Tensor:
    """The second look, picture by picture and class by class."""
    found = logits.clone()
    told = list(zip(bank.one.tolist(), bank.other.tolist()))
    for number, picture in enumerate(F.normalize(rows, dim=-1)):
        best = set(logits[number].topk(k).indices.tolist())
        linked = [(i, j) for i, j in told if i in best and j in best]
        groups: list[set[int]] = []
        for pair in linked:
            near = [group for group in groups if group & set(pair)]
            groups = [group for group in groups if group not in near] + [set(pair).union(*near)]
        for group in groups:
            known = sorted({i for i, _ in linked if i in group})
            if len(known) < 2:
                continue
            means = []
            for label in known:
                own = [t for t, (i, j) in enumerate(told) if i == label and j in group]
                means.append(F.normalize(bank.contrast[own].mean(0), dim=0))
            again = (SCALE * torch.stack(means) @ picture).log_softmax(0)
            found[number, known] = again + logits[number, known].logsumexp(0)
    return found


def explained(made: Any, row: Tensor, label: int, other: int) -> dict[str, float]:
    """What each text did, every row of the classifier built anew without it."""
    picture, found = F.normalize(row, dim=-1), {}

    def margin(without: int) -> float:
        rows = []
        for number in (label, other):
            kept = [i for i, owner in enumerate(made.owner.tolist()) if owner == number and i != without]
            rows.append(F.normalize(made.embeddings[kept].mean(0), dim=0))
        return float(picture @ rows[0] - picture @ rows[1])

    whole = margin(-1)
    for place, owner in enumerate(made.owner.tolist()):
        if owner in (label, other):
            found[made.texts[place]] = whole - margin(place)
    return found


def predicting_case(*, classes: int, pictures: int, part: int, rounds: int) -> dict[str, Any]:
    """The second look and explanations for a batch; the loops on `part` of the pictures."""
    told, config = contrasted(classes), VGlossConfig(model="given", follow_up=BEST)
    bank, made = build_bank(told, config, TextClassifierBuilder(Directions()))
    rows = torch.randn(pictures, Directions.width, generator=torch.Generator().manual_seed(1))
    own = torch.arange(pictures) % classes
    rows += 8 * bank.weights[own] + 7 * bank.weights[(own + 1) % classes]  # between two neighbors
    logits = SCALE * made.similarities(rows)
    best = logits.topk(2, dim=1).indices.tolist()
    few = range(min(part, pictures))
    decisions = [(made, rows[i], best[i][0], best[i][1]) for i in few]
    calls: dict[str, Callable[[], Any]] = {
        "second look": lambda: look_again(logits, rows, bank, k=BEST, scale=SCALE),
        "second look, loop": lambda: looked_again(logits[few], rows[few], bank, k=BEST),
        "explanation": lambda: [explain(*each, 1.0) for each in decisions],
        "explanation, loop": lambda: [explained(*each) for each in decisions],
    }
    times = measure(calls, repeats=rounds, warmup=1, clock=time.process_time)
    ours = look_again(logits, rows, bank, k=BEST, scale=SCALE)[few]
    errors = [float((ours - looked_again(logits[few], rows[few], bank, k=BEST)).abs().max()) / SCALE]
    for each in decisions:
        plain = explained(*each)
        errors += [abs(told.effect - plain[told.text]) for told in explain(*each, 1.0).evidence]
    return {
        "classes": classes,
        "pictures": pictures,
        "timed_pictures": len(few),
        "times": {name: summary(values) for name, values in times.items()},
        "pictures_per_second": {
            name: count / min(times[name])
            for name, count in (("second look", pictures), ("explanation", len(few)))
        },
        "speedup": {
            "second look": ratio(times, "second look, loop", "second look") * pictures / len(few),
            "explanation": ratio(times, "explanation, loop", "explanation"),
        },
        "changed_labels": int((ours.argmax(1) != logits[few].argmax(1)).sum()),
        "error": max(errors),
    }


# ---- words ------------------------------------------------------------------------------------------------


@contextmanager
def nltk_reader(folder: Path) -> Iterator[Any]:
    """NLTK's reader on a copy of WordNet's files, with the files it needs beside them."""
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    with tempfile.TemporaryDirectory() as home:
        place = Path(home) / "corpora" / "wordnet"
        shutil.copytree(folder, place, copy_function=shutil.copyfile)
        parts = ("noun", "verb", "adj", "adv")
        lines = [f"{i:02d}\t{name}\t{parts.index(name.split('.')[0]) + 1}" for i, name in enumerate(LEXFILES)]
        (place / "lexnames").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (place / "index.sense").touch()
        for name in parts:
            (place / f"{name}.exc").touch()
        nltk.data.path.insert(0, home)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # it has no other languages
                yield WordNetCorpusReader(nltk.data.find("corpora/wordnet"), None)
        finally:
            nltk.data.path.remove(home)


def words_case(*, classes: int, part: int, rounds: int) -> dict[str, Any] | None:
    """Definitions and all similarities of ImageNet's classes; NLTK's on `part` of them. None without the files."""
    folder = find_wordnet()
    if folder is None or WordNet.open(folder).version != "3.0":
        return None
    wnids = [wnid for wnid in label_set("imagenet").wnids or () if wnid][:classes]

    def ours() -> Any:
        wordnet = WordNet.open(folder)
        synsets = [wordnet.of_wnid(wnid) for wnid in wnids]
        return [synset.definition for synset in synsets], wu_palmer_matrix(synsets)

    calls: dict[str, Callable[[], Any]] = {"ours": ours}
    found: dict[str, Any] = {"classes": len(wnids), "error": 0.0}
    if not find_spec("nltk"):
        times = measure(calls, repeats=rounds, warmup=1, clock=time.process_time)
        return {**found, "times": {name: summary(values) for name, values in times.items()}}
    with nltk_reader(folder) as reader:
        few = wnids[:: max(1, len(wnids) // part)][:part]

        def theirs() -> Any:
            synsets = [reader.synset_from_pos_and_offset("n", int(wnid[1:])) for wnid in few]
            pairs = [[one.wup_similarity(other) for other in synsets] for one in synsets]
            return [synset.definition() for synset in synsets], np.array(pairs)

        calls["nltk"] = theirs
        times = measure(calls, repeats=rounds, warmup=1, clock=time.process_time)
        expected = theirs()[1]
    places = [wnids.index(wnid) for wnid in few]
    scale = (len(wnids) / len(few)) ** 2
    differ = np.abs(ours()[1][np.ix_(places, places)] - expected) > TOLERANCE
    return {
        **found,
        "timed_classes": len(few),
        "times": {name: summary(values) for name, values in times.items()},
        "extrapolated_seconds": {"nltk": min(times["nltk"]) * scale},
        "speedup": {"nltk": ratio(times, "nltk", "ours") * scale},
        "differing_pairs": float(differ.mean()),
    }


# ---- answers ----------------------------------------------------------------------------------------------


class Echo:
    """A language model that says the prompt's last word."""

    identity = "echo"

    def generate(self, prompts: Any, **settings: Any) -> list[list[str]]:
        """One answer per prompt."""
        return [[prompt.split()[-1]] for prompt in prompts]


def answers_case(*, prompts: int, rounds: int) -> dict[str, Any]:
    """Prompts answered from disk."""
    asked = [f"{'a worked example of some length ' * 20} number {i}" for i in range(prompts)]
    with tempfile.TemporaryDirectory() as folder:
        first = CachedLM(Echo(), folder).generate(asked)
        replay = CachedLM(Echo.identity, folder)
        calls = {"replay": lambda: replay.generate(asked)}
        times = measure(calls, repeats=rounds, warmup=1, clock=time.process_time)
        same = replay.generate(asked) == first
    return {
        "prompts": prompts,
        "times": {"replay": summary(times["replay"])},
        "answers_per_second": prompts / min(times["replay"]),
        "error": float(not same),
    }


# ---- command ----------------------------------------------------------------------------------------------


def judged(found: Mapping[str, Any]) -> dict[str, Any]:
    """The gate: how many times faster than plain forms, and that results agree."""
    cases = [found[name] for name in ("building", "predicting", "words", "answers") if found.get(name)]
    speedup = {name: value for case in cases for name, value in case.get("speedup", {}).items()}
    equal = all(case["error"] < TOLERANCE for case in cases)
    fast = all(value >= GATE[name] for name, value in speedup.items())
    return {"speedup": speedup, "least": GATE, "equal": equal, "passed": equal and fast}


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print what was measured."""
    building, predicting, words = (found[name] for name in ("building", "predicting", "words"))
    rows = Table(f"{building['classes']:,} classes x {building['templates']} templates", "seconds")
    for name, value in building["extrapolated_seconds"].items():
        rows.add_row(name, f"{value:.1f}")
    rows.add_row("again, one class changed", f"{building['times']['again']['min_ms'] / 1e3:.3f}")
    console.print(rows)
    rates = ", ".join(f"{name} {value:,.0f}" for name, value in predicting["pictures_per_second"].items())
    console.print(f"pictures per second among {predicting['classes']:,} classes: {rates}")
    if words:
        nltk = words.get("extrapolated_seconds", {}).get("nltk")
        told = f"{words['classes']:,} classes of WordNet: {words['times']['ours']['min_ms']:.0f} ms"
        console.print(told + (f" (NLTK {nltk:.0f} s)" if nltk else ""))
    told = (f"{name} {value:,.1f}" for name, value in judged(found)["speedup"].items())
    console.print(f"times as fast as plain forms: {', '.join(told)}")
    console.print(f"answers replayed per second: {found['answers']['answers_per_second']:,.0f}")


def measured(*, quick: bool) -> dict[str, Any]:
    """All cases, with one thread."""
    torch.set_num_threads(1)
    rounds = 3
    classes, count, pictures = (20, 5, 30) if quick else (CLASSES, TEMPLATES, PICTURES)
    part = 10 if quick else 50
    return {
        "building": building_case(classes=classes, count=count, part=part, rounds=rounds),
        "predicting": predicting_case(classes=classes, pictures=pictures, part=2 * part, rounds=rounds),
        "words": words_case(classes=50 if quick else CLASSES, part=5 if quick else 40, rounds=rounds),
        "answers": answers_case(prompts=20 if quick else PROMPTS, rounds=rounds),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write, and judge the gate."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--quick", action="store_true", help="tiny sizes; the gate is told, not judged")
    parser.add_argument("--out", type=Path, help="write the measurements as JSON")
    options = parser.parse_args(arguments)
    found = measured(quick=options.quick)
    console, gate, judge = Console(), judged(found), not options.quick
    show(found, console)
    if judge:
        console.print(f"gate {gate['least']}: {'passed' if gate['passed'] else 'FAILED'}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        told = {"benchmark": "vgloss", "provenance": provenance(), "gate": {**gate, "judged": judge}}
        record = {**told, **found}
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0 if gate["passed"] or not judge else 1


if __name__ == "__main__":
    sys.exit(main())
