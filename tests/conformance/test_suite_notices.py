"""The suite's own proof: every check passes on a sound method and fails on one that is wrong in its way."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import checks
import pytest
import torch
from flawed import TOY, ToyConfig, flawed, points, toy
from method import Fitted, Method
from specimen import REQUIRED_KINDS, BadInput, Overfit
from watched import WatchedRun

from visus.errors import InputError
from visus.records import record

CHECKS: dict[str, Callable[[Method, Fitted, Path], None]] = {
    "fields": checks.fields_matter,
    "gradients": lambda method, fitted, folder: checks.gradients_reach_all(fitted, ()),
    "by heart": lambda method, fitted, folder: checks.learned_by_heart(method, folder),
    "seeds": checks.seed_decides,
    "resume": checks.resumes,
    "finite": lambda method, fitted, folder: checks.finite(fitted.model.predict(points())),
    "mates": lambda method, fitted, folder: checks.mates_do_not_matter(fitted.model, points("test")),
    "saving": lambda method, fitted, folder: checks.survives_saving(fitted.model, points(), folder / "model"),
}


def prepared(flaw: Any, folder: Path) -> tuple[Method, Fitted]:
    method = toy(flaw)
    return method, method.fit(folder / "fitted")


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_method_passes(check: str, tmp_path: Path) -> None:
    CHECKS[check](*prepared("none", tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("flaw", "check", "says"),
    [
        ("idle field", "fields", "change nothing.*learning_rate"),
        ("rounding field", "fields", "change nothing.*learning_rate"),
        ("unused parameter", "gradients", "forgotten"),
        ("untrained part", "gradients", "extra/weight"),
        ("learns nothing", "by heart", "at least 0.95"),
        ("global randomness", "seeds", "same seed gives other"),
        ("seed ignored", "seeds", "another seed gives the same"),
        ("state outside the checkpoint", "resume", "logs differ"),
        ("starts again", "resume", "remaining steps"),
        ("not finite", "finite", "probabilities"),
        ("batch statistics", "mates", "probabilities"),
        ("order matters", "mates", "probabilities"),
        ("statistics not saved", "saving", "probabilities"),
    ],
)
def test_a_flaw_is_noticed(flaw: str, check: str, says: str, tmp_path: Path) -> None:
    method, fitted = prepared(flaw, tmp_path)
    with pytest.raises(AssertionError, match=says):
        CHECKS[check](method, fitted, tmp_path)


# ---- what a specimen may not get away with ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"inert": {"noise": "it is small"}, "alternatives": {"noise": 9.0}}, "declared inert and change"),
        ({"inert": {"noise": " "}, "alternatives": {"noise": 0.1 + 1e-9}}, "without a reason"),
        ({"inert": {"speed": "not there"}}, "do not exist"),
        ({"alternatives": {"noise": 0.1}}, "equals the value"),
    ],
)
def test_wrong_words_about_fields_are_noticed(change: dict, says: str, tmp_path: Path) -> None:
    method = Method(flawed("none"), dataclasses.replace(TOY, **change))
    with pytest.raises(AssertionError, match=says):
        checks.fields_matter(method, method.fit(tmp_path / "fitted"), tmp_path)


def test_excuses_for_parameters_that_are_not_there_are_noticed(tmp_path: Path) -> None:
    _, fitted = prepared("none", tmp_path)
    with pytest.raises(AssertionError, match="excuses"):
        checks.gradients_reach_all(fitted, ["net/ghost"])
    with pytest.raises(AssertionError, match="nothing was trained"):
        checks.gradients_reach_all(Fitted(fitted.model, WatchedRun()), ())


def test_an_overfit_needs_one_score_and_fits_need_twenty_steps(tmp_path: Path) -> None:
    task = Overfit(settings=(), source=points, metric="accuracy")
    with pytest.raises(AssertionError, match="state a score"):
        checks.learned_by_heart(Method(flawed("none"), dataclasses.replace(TOY, overfit=task)), tmp_path)
    short = Method(flawed("none"), dataclasses.replace(TOY, micro=["epochs=2"]))
    with pytest.raises(AssertionError, match="16 steps"):
        checks.resumes(short, short.fit(tmp_path / "short"), tmp_path)


# ---- configurations and formulas --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lenient:
    epochs: int = 3


@record
class Vague:
    epochs: Any = 3


def test_lenient_configurations_are_noticed() -> None:
    checks.config_is_strict(ToyConfig, ToyConfig(epochs=5))
    with pytest.raises(AssertionError, match="nothing was refused"):
        checks.config_is_strict(Lenient, Lenient())
    with pytest.raises(AssertionError, match="epochs"):
        checks.config_is_strict(Vague, Vague())

    def wrong_words() -> None:
        raise InputError("is wrong", field="another")

    with pytest.raises(AssertionError, match="does not say 'epochs'"):
        checks.refused(wrong_words, "epochs")


def test_wrong_formulas_are_noticed() -> None:
    one = torch.tensor([0.1, 0.2], dtype=torch.float64)
    checks.losses_agree([("loss", one, one.clone())])
    for faulty in (
        [],
        [("loss", one, one + 1e-8)],
        [("loss", one.float(), one)],
        [("loss", one[:0], one[:0])],
    ):
        with pytest.raises(AssertionError):
            checks.losses_agree(faulty)
    checks.is_baseline(one, one.clone())
    with pytest.raises(AssertionError, match="differs from the baseline"):
        checks.is_baseline(one, one.nextafter(one + 1))
    with pytest.raises(AssertionError, match="constant"):
        checks.is_baseline(one[:1], one[:1])


# ---- other trainings and processes ------------------------------------------------------------------------


def test_another_training_is_noticed(tmp_path: Path) -> None:
    method, fitted = prepared("none", tmp_path)
    folder = fitted.run.folder
    checks.same_training(folder, folder)
    checks.same_losses(folder, folder)
    other = method.fit(tmp_path / "other", "learning_rate=0.051").run.folder
    for check in (checks.same_training, checks.same_losses):
        with pytest.raises(AssertionError, match="loss"):
            check(folder, other)
        with pytest.raises(AssertionError, match="no log"):
            check(tmp_path / "nothing", other)
    shutil.copytree(folder, tmp_path / "changed")
    file = next((tmp_path / "changed").rglob("step-*-done/tensors.safetensors"))
    shutil.copy(next(other.rglob("step-*-done/tensors.safetensors")), file)
    with pytest.raises(AssertionError, match="final checkpoints differ"):
        checks.same_training(folder, tmp_path / "changed")


@pytest.mark.parametrize("flaw", ["none", "mean of the share"])
def test_a_mean_over_one_process_only_is_noticed(flaw: Any, tmp_path: Path) -> None:
    found = pytest.raises(AssertionError, match="step 1: loss") if flaw != "none" else nullcontext()
    with found:
        checks.processes_are_one(toy(flaw), partial(toy, flaw), tmp_path)


def test_an_even_batch_size_proves_nothing_about_processes(tmp_path: Path) -> None:
    method = Method(flawed("none"), dataclasses.replace(TOY, steady=["batch_size=8"]))
    with pytest.raises(AssertionError, match="odd batch size"):
        checks.processes_are_one(method, partial(toy, "none"), tmp_path)


# ---- refusals ---------------------------------------------------------------------------------------------


def refusals(folder: Path, flaw: str) -> None:
    """Run the check on commands of a made-up program that is wrong in one way."""
    said: list[str] = []

    def main(argv: Any) -> int:
        if flaw == "leaves a file":
            (folder / "out.tmp").write_text("half")
        if flaw == "changes a file":
            (folder / "given.csv").write_text("changed!")
        said.append(f"error: {argv[0]}: is wrong." + ("" if flaw == "no remedy" else " What to do: mend it."))
        if flaw == "traceback":
            said.append("Traceback (most recent call last)")
        return 1 if flaw == "exit code" else 2

    def messages() -> str:
        text = " ".join(said)
        said.clear()
        return text

    (folder / "given.csv").write_text("a")
    kinds = sorted(REQUIRED_KINDS)[: 5 if flaw == "missing kind" else None]
    says = () if flaw == "nothing to say" else ("elsewhere" if flaw == "other place" else "given.csv",)
    cases = [BadInput(kind=kind, name="toy", argv=["given.csv"], says=says) for kind in kinds]
    checks.bad_input_is_refused(cases, main, messages, folder)


@pytest.mark.parametrize(
    ("flaw", "says"),
    [
        ("leaves a file", "out.tmp"),
        ("changes a file", "leaves.*given.csv"),
        ("no remedy", "What to do"),
        ("traceback", "a traceback"),
        ("exit code", "exit code 1"),
        ("missing kind", "no case of"),
        ("nothing to say", "does not say"),
        ("other place", "elsewhere"),
    ],
)
def test_wrong_refusals_are_noticed(flaw: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=says):
        refusals(tmp_path, flaw)


def test_right_refusals_pass(tmp_path: Path) -> None:
    refusals(tmp_path, "none")
