"""`GPTNAS` from pictures to a network: what it learns, keeps and refuses; budget, ledger, workers, resuming."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from visus.data import Subset, Tensors
from visus.data.image_table import ImageTable
from visus.engine import Run
from visus.errors import InputError
from visus.methods.gptnas import GPTNAS, GPTNASConfig
from visus.methods.gptnas.config import PRESETS, check
from visus.methods.gptnas.search import Ledger
from visus.methods.gptnas.training import candidate as candidates
from visus.methods.gptnas.training.images import in_order, targets_of
from visus.methods.gptnas.training.prior import train_prior
from visus.methods.gptnas.training.setting import prior_recipe

TINY = GPTNASConfig(
    prior="uniform",
    evaluations=5,
    population=3,
    least_blocks=2,
    most_blocks=3,
    width=4,
    stages=2,
    batch_size=32,
    candidate_epochs=1,
    epochs=2,
)


def run(folder: Path, **options: Any) -> Run:
    return Run(folder, device="cpu", progress=False, **options)


def few(n: int = 60, *, classes: int = 3, channels: int = 1, side: tuple[int, int] = (6, 5)) -> Tensors:
    generator = torch.Generator().manual_seed(n)
    target = torch.arange(n) % classes
    image = torch.rand(n, channels, *side, generator=generator) + target[:, None, None, None]
    return Tensors({"image": image, "target": [f"c{i}" for i in target.tolist()]})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[GPTNAS, Path]:
    folder = tmp_path_factory.mktemp("fitted")
    return GPTNAS(TINY).fit(few(), run(folder)), folder


def test_what_is_learned(fitted):
    model, folder = fitted
    assert model.classes_ == ["c0", "c1", "c2"]
    assert model.pixels_.size == (6, 5)
    assert len(model.search_) == 5
    individuals = [tuple(entry["individual"]) for entry in model.search_]
    assert len(set(individuals)) == 5
    assert model.best_ == max(zip(individuals, (e["fitness"] for e in model.search_)), key=lambda r: r[1])[0]
    assert model.architecture().num_params == sum(weight.numel() for weight in model.net_.parameters())
    assert [name for name, _, _ in model.architecture().blocks] == list(model.space().names(model.best_))
    assert model.information_ == 0.0
    assert "next to nothing" in model.warnings_[0]
    names = {"-".join(map(str, individual)) for individual in individuals}
    assert {path.name for path in (folder / "search").iterdir() if path.is_dir()} == names


def test_saved_models_remember_the_search(fitted, tmp_path):
    model, _ = fitted
    model.save(tmp_path / "m")
    again = GPTNAS.load(tmp_path / "m")
    assert again.best_ == model.best_
    assert again.search_ == model.search_
    assert again.warnings_ == model.warnings_
    assert torch.equal(again.predict(few(7))["probabilities"], model.predict(few(7))["probabilities"])


def test_a_model_that_was_not_fitted_says_so():
    with pytest.raises(NotFittedError):
        GPTNAS().predict(few(3))
    with pytest.raises(NotFittedError):
        GPTNAS().evaluate(few(3))


def test_search_then_fit_pays_for_candidates_once(fitted, tmp_path, monkeypatch):
    model, _ = fitted
    found = GPTNAS(TINY).search(few(), run(tmp_path))
    assert found.search_ == model.search_
    assert not hasattr(found, "net_")
    monkeypatch.setattr(candidates.Candidates, "_measure", lambda *_: pytest.fail("paid twice"))
    again = GPTNAS(TINY).fit(few(), run(tmp_path))
    for one, other in zip(again.net_.state_dict().values(), model.net_.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_ledger_is_an_optuna_study_of_the_search(fitted):
    pytest.importorskip("optuna")
    model, folder = fitted
    known = Ledger(folder / "search" / "search.journal").known()
    assert known == {tuple(entry["individual"]): entry["fitness"] for entry in model.search_}


def test_without_optuna_a_search_resumes_as_well(fitted, tmp_path, monkeypatch):
    from visus.methods.gptnas.training import setting

    monkeypatch.setattr(setting.importlib.util, "find_spec", lambda name: None)
    whole, _ = fitted
    model = GPTNAS(TINY).fit(few(), run(tmp_path))
    assert not (tmp_path / "search" / "search.journal").exists()
    assert model.search_ == whole.search_
    monkeypatch.setattr(candidates.Candidates, "_measure", lambda *_: pytest.fail("paid twice"))
    assert GPTNAS(TINY).fit(few(), run(tmp_path)).search_ == whole.search_


@pytest.mark.slow
def test_workers_change_nothing(fitted, tmp_path):
    model, _ = fitted
    both = GPTNAS(TINY).search(few(), run(tmp_path), workers=2)
    assert both.search_ == model.search_


@pytest.mark.slow
def test_candidates_on_a_dask_cluster(fitted, tmp_path):
    distributed = pytest.importorskip("distributed")
    model, _ = fitted
    where: Any = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with distributed.Client(**where):
        many = GPTNAS(TINY).search(few(), run(tmp_path), backend="dask")
    assert many.search_ == model.search_


def test_candidates_in_one_process_take_turns(fitted, tmp_path):
    model, _ = fitted
    threads = GPTNAS(TINY).search(few(), run(tmp_path), workers=3, backend="threading")
    assert threads.search_ == model.search_


def test_the_validation_pictures_are_never_trained_on_before_the_search_is_over(tmp_path, monkeypatch):
    seen: dict[str, set[float]] = {"train": set(), "held": set()}
    own = candidates.Candidates.__init__

    def noted(self: Any, build: Any, data: Any, *rest: Any, **more: Any) -> None:
        for name, part in zip(seen, data):
            seen[name] |= {float(image.sum()) for image in part.batch(range(len(part)))["image"]}
        own(self, build, data, *rest, **more)

    monkeypatch.setattr(candidates.Candidates, "__init__", noted)
    GPTNAS(TINY).search(few(), run(tmp_path))
    assert len(seen["train"]) == 48
    assert len(seen["held"]) == 12
    assert not seen["train"] & seen["held"]


def test_groups_are_not_torn_apart(tmp_path, monkeypatch):
    source = few(40)
    frame = pd.DataFrame({"y": source["target"], "who": [f"p{i // 4}" for i in range(40)]})
    data = ImageTable(frame, images=source["image"], target="y", group="who")
    parts: list[Any] = []
    monkeypatch.setattr(candidates.Candidates, "worth", lambda self, *_: parts.append(self) or WORTH)
    GPTNAS(TINY).search(data, run(tmp_path))
    groups = [set(part.source.groups) for part in (parts[0].train, parts[0].held)]
    assert not groups[0] & groups[1]
    assert groups[1]


WORTH = candidates.Worth(fitness=0.5, trained="all", diverged=False, parameters=1)


def test_a_search_in_which_all_candidates_diverge_still_ends(tmp_path):
    config = dataclasses.replace(TINY, learning_rate=1e30, candidate_epochs=3)
    found = GPTNAS(config).search(few(), run(tmp_path))
    assert len(found.search_) == 5
    assert min(entry["fitness"] for entry in found.search_) == 0.0


def test_plain_search_regrows_nothing(tmp_path):
    found = GPTNAS(dataclasses.replace(TINY, prior="none")).search(few(), run(tmp_path))
    assert not any(any(entry["regrown"]) for entry in found.search_)
    assert found.information_ is None
    assert len(found.warnings_) == 1, "no word of a prior"
    assert "12 held-out pictures" in found.warnings_[0]
    assert (
        GPTNAS(dataclasses.replace(TINY, prior="none")).search(few(150), run(tmp_path / "b")).warnings_ == []
    )


def test_a_saved_prior_is_used(tmp_path):
    config = GPTNASConfig(
        networks=("resnet18", "resnet34"),
        gpt_width=8,
        gpt_depth=1,
        gpt_heads=1,
        gpt_epochs=1,
        chooser_epochs=1,
    )
    made = train_prior(prior_recipe(config), run(tmp_path / "train"))
    made.save(tmp_path / "prior")
    found = GPTNAS(dataclasses.replace(TINY, prior=str(tmp_path / "prior"))).search(
        few(), run(tmp_path / "s")
    )
    assert found.information_ == made.information["stage-2"]
    assert not (tmp_path / "s" / "prior").exists()


def test_learning_works(tmp_path):
    config = dataclasses.replace(TINY, epochs=40, learning_rate=0.05, evaluations=3, prior="none")
    assert GPTNAS(config).fit(few(), run(tmp_path)).evaluate(few(30))["accuracy"] > 0.9


def test_pictures_of_another_size_or_kind(fitted):
    model, _ = fitted
    assert model.predict(few(4, side=(9, 9)))["probabilities"].shape == (4, 3)
    with pytest.raises(InputError, match="2 channels, the model was trained on 1"):
        model.predict(few(4, channels=2))
    with pytest.raises(InputError, match="does not know: zebra"):
        model.evaluate(Tensors({"image": torch.zeros(1, 1, 6, 5), "target": ["zebra"]}))
    with pytest.raises(InputError, match="image: is absent"):
        model.predict({"picture": torch.zeros(1, 1, 6, 5)})


def test_an_untouched_folder_after_a_refusal(tmp_path):
    one = Tensors({"image": torch.rand(6, 1, 4, 4), "target": ["a"] * 6})
    with pytest.raises(InputError, match="one class only"):
        GPTNAS(TINY).fit(one, run(tmp_path))
    nan = Tensors({"image": torch.full((20, 1, 4, 4), math.nan), "target": ["a", "b"] * 10})
    with pytest.raises(InputError, match="not finite"):
        GPTNAS(TINY).fit(nan, run(tmp_path))
    two = Tensors({"image": torch.rand(2, 1, 4, 4), "target": ["a", "b"]})
    with pytest.raises(InputError, match="2 pictures, too few to train on"):
        GPTNAS(TINY).fit(two, run(tmp_path))
    six = Tensors({"image": torch.rand(6, 1, 4, 4), "target": ["a", "b"] * 3})
    with pytest.raises(InputError, match="6 pictures, too few to compare candidates on"):
        GPTNAS(TINY).fit(six, run(tmp_path))
    with pytest.raises(InputError, match="target: is absent"):
        GPTNAS(TINY).fit(Tensors({"image": torch.rand(6, 1, 4, 4)}), run(tmp_path))
    assert not list(tmp_path.iterdir())


def test_another_seed_or_setting_in_the_same_folder_is_refused(fitted):
    _, folder = fitted
    with pytest.raises(InputError, match="other settings"):
        GPTNAS(TINY).fit(few(), run(folder, seed=1))
    with pytest.raises(InputError, match=r"config\.width"):
        GPTNAS(dataclasses.replace(TINY, width=5)).fit(few(), run(folder))
    with pytest.raises(InputError, match="data"):
        GPTNAS(TINY).fit(few(61), run(folder))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"evaluations": 0}, "evaluations"),
        ({"population": 1}, "population"),
        ({"validation": 0.0}, "validation"),
        ({"validation": 1.0}, "validation"),
        ({"most_blocks": 1, "least_blocks": 2}, "most_blocks"),
        ({"gpt_heads": 3}, "gpt_heads"),
        ({"learning_rate": math.inf}, "learning_rate"),
        ({"temperature": 0.0}, "temperature"),
        ({"elimination": 1.5}, "elimination"),
        ({"momentum": 1.0}, "momentum"),
        ({"top_k": 0}, "top_k"),
        ({"image_size": (0, 4)}, "image_size"),
        ({"weight_decay": math.nan}, "weight_decay"),
    ],
)
def test_settings_out_of_bounds_are_refused(changes, says):
    with pytest.raises(InputError, match=says):
        check(dataclasses.replace(TINY, **changes))


def test_presets_are_within_bounds_and_paper_is_the_papers():
    for config in PRESETS.values():
        check(config)
    paper = PRESETS["paper"]
    assert (paper.gpt_depth, paper.gpt_heads, paper.gpt_window, paper.gpt_epochs) == (4, 4, 10, 300)
    assert (paper.gpt_batch, paper.gpt_rate) == (128, 1e-4)
    assert (paper.population, paper.evaluations) == (30, 30 * 21)
    assert (paper.least_blocks, paper.most_blocks, paper.elimination) == (10, 20, 0.4)
    assert (paper.crossover, paper.mutation, paper.candidate_epochs) == (0.9, 0.3, 6)
    assert (paper.batch_size, paper.learning_rate, paper.epochs, paper.drop_every) == (512, 0.01, 350, 100)


def test_names_of_classes_and_their_order():
    assert targets_of(
        Tensors({"image": torch.zeros(3, 1, 1, 1), "target": torch.tensor([2.0, 10.0, 1.5])})
    ) == [
        "2",
        "10",
        "1.5",
    ]
    assert targets_of(Subset(few(4), [3, 0])) == ["c0", "c0"]
    assert sorted(["b", "10", "9", "a"], key=in_order) == ["9", "10", "a", "b"]
