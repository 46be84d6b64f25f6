"""Claims are declared soundly, arms differ in what they compare, and every experiment runs."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch

from visus.data.loader import Tensors
from visus.engine import Run
from visus.methods.nsi.claims import CLAIMS, EXPERIMENTS, data
from visus.methods.nsi.claims.contest import Contest, build, compete, phases, training_set
from visus.methods.nsi.claims.data import CROWD, DEMO, GPU, SIZES, SMOKE, scenes_of
from visus.methods.nsi.claims.laws import deviations, random_scenes
from visus.methods.nsi.claims.scoring import (
    color_use,
    discovery,
    few_shot,
    frozen,
    retrieval,
    with_shuffled,
)
from visus.methods.nsi.claims.statements import LAWS
from visus.methods.nsi.config import PRESETS
from visus.methods.nsi.model import associate, segment
from visus.protocols import Trial

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
RUN = {"device": "cpu", "progress": False}


def measured(experiment: str, arm: str, *, seed: int = 0, preset: str = "smoke") -> dict[str, float]:
    trial = Trial(slug="nsi", experiment=experiment, arm=arm, seed=seed, preset=preset)
    return BY_NAME[experiment].measure(trial, Run(seed=seed, **RUN))


# ---- declarations -----------------------------------------------------------------------------------------


def test_claims_name_arms_and_experiments_that_exist():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.experiment for claim in CLAIMS} == set(BY_NAME)
    for claim in CLAIMS:
        assert {claim.candidate, claim.reference} <= set(BY_NAME[claim.experiment].arms), claim.id
        assert claim.statement.endswith(".")
        assert re.search(r"[\u4e00-\u9fff]", claim.statement_zh), claim.id
        assert bool(claim.caveat) == bool(claim.caveat_zh), claim.id
        assert claim.exact == (claim in LAWS)


def test_every_arm_is_compared_and_every_preset_told():
    used = {(claim.experiment, arm) for claim in CLAIMS for arm in (claim.candidate, claim.reference)}
    for experiment in EXPERIMENTS:
        assert {(experiment.name, arm) for arm in experiment.arms} <= used, experiment.name
        assert set(experiment.seeds) == set(PRESETS)
        told = experiment.budget
        assert "the same in every preset" in told or all(name in told for name in PRESETS), experiment.name


def test_budgets_tell_the_sizes_that_are_measured():
    told = BY_NAME["alignment"].budget
    for size in (DEMO, GPU):
        for number in (size.train, size.pretrain, size.steps, size.queries, size.gallery):
            assert f"{number:,}" in told, number
        assert f"{size.image} px" in told
        assert f"batch {size.batch}" in told
        assert f"{size.shots} pictures per few-shot class" in told
    assert f"{DEMO.crowd} crowded" in told
    assert f"{CROWD} objects for {DEMO.slots} slots" in told
    assert SIZES["paper"] is GPU
    assert GPU.slots == DEMO.slots < CROWD
    assert min(DEMO.gallery, GPU.gallery, GPU.crowd) >= 2000


def test_measures_can_travel_to_other_processes():
    for experiment in EXPERIMENTS:
        assert (
            getattr(inspect.getmodule(experiment.measure), experiment.measure.__name__) is experiment.measure
        )


def test_declarations_need_no_torch():
    code = "import sys; import visus.methods.nsi.claims; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ---- data -------------------------------------------------------------------------------------------------


def test_parts_are_what_they_are_called():
    train, gallery = scenes_of("train", SMOKE, 3), scenes_of("gallery", SMOKE, 3)
    crowd, judged = scenes_of("crowd", SMOKE, 3), scenes_of("judged", SMOKE, 3)
    half = SMOKE.train // 2
    assert len(train) == SMOKE.train
    assert {len(objects) for objects in gallery["objects"]} == {2, 3, 4, 5, 6}
    for objects in [*crowd["objects"], *train["objects"][half:]]:
        assert len(objects) == CROWD
        groups = Counter(tuple(v for k, v in thing.items() if k != "position") for thing in objects)
        assert all(n % 3 == 0 for n in groups.values())
    assert train["image"].dtype == torch.uint8
    assert len(set(judged["target"])) == 3
    assert scenes_of("gallery", SMOKE, 5) is gallery
    assert not torch.equal(scenes_of("train", SMOKE, 4)["image"], train["image"])


def test_no_picture_is_in_two_parts():
    kinds = ("train", "gallery", "crowd", "shots", "judged")
    pictures = [scenes_of(kind, SMOKE, 3)["image"].flatten(1).numpy() for kind in kinds]
    everything = np.concatenate(pictures)
    assert len(np.unique(everything, axis=0)) == len(everything)


def test_few_shot_classes_are_balanced():
    shots = scenes_of("shots", SMOKE, 0)
    assert set(Counter(shots["target"]).values()) == {SMOKE.shots}


def test_random_scenes_stay_inside_the_schema():
    schema = build("nsi", SMOKE).schema
    programs = schema.encode(random_scenes(50, 0))
    assert programs.values.min() >= 0
    assert programs.values.max() <= 1


# ---- training ---------------------------------------------------------------------------------------------


def test_arms_share_their_first_stage():
    """After the reconstruction stage the image side is the same to the last bit, whatever comes next."""
    size = dataclasses.replace(SMOKE, steps=1)
    found = {}
    for arm in ("nsi", "hmc", "pooled"):
        with Run(seed=2, **RUN).seeded("contender"):
            contender = build(arm, size)
        contest = Contest(contender, learning_rate=size.learning_rate, beta=size.beta, seed=2)
        Run(seed=2, **RUN).train(contest, training_set(contender, size, 2), phases(size)[:1])
        found[arm] = contender.images.state_dict()
    for name, weight in found["nsi"].items():
        assert torch.equal(weight, found["hmc"][name])
        assert torch.equal(weight, found["pooled"][name])


def test_the_same_seed_trains_the_same_arm():
    one, two, other = (compete("nsi", SMOKE, seed, Run(seed=seed, **RUN)) for seed in (0, 0, 1))
    weights = [contender.programs.head.project.weight for contender in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not one.training


# ---- measures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", BY_NAME["alignment"].arms)
def test_smoke_measures_every_metric_that_is_claimed(arm):
    scores = measured("alignment", arm)
    wanted = {
        claim.metric
        for claim in CLAIMS
        if claim.experiment == "alignment" and arm in (claim.candidate, claim.reference)
    }
    assert wanted <= set(scores)
    assert all(np.isfinite(list(scores.values())))


@pytest.mark.parametrize(
    "arm", ["hungarian", "no_transformer", "no_position", "no_reconstruction", "boxes", "patches"]
)
def test_arms_of_the_large_presets_run(arm):
    scores = measured("parts", arm)
    wanted = {
        claim.metric
        for claim in CLAIMS
        if claim.experiment == "parts" and arm in (claim.candidate, claim.reference)
    }
    assert wanted <= set(scores)


def test_laws_hold_and_would_be_missed():
    assert measured("laws", "built", seed=4) == measured("laws", "stated")
    assert set(measured("laws", "stated")) == {claim.metric for claim in LAWS}


def test_a_broken_score_breaks_the_laws(monkeypatch):
    import visus.methods.nsi.model as model

    honest = model.bilevel_scores

    def broken(slots, primitives, length, **options):
        return honest(slots, primitives, torch.full_like(length, primitives.shape[1]), **options)

    monkeypatch.setattr(model, "bilevel_scores", broken)
    found = deviations(Run(seed=0, **RUN), 0)
    assert found["padding_error"] > 1
    assert found["loop_error"] > 0.1


class Oracle(torch.nn.Module):
    """Knows the right answers by the objects' first position."""

    def __init__(self, schema) -> None:
        super().__init__()
        self.schema, self.weight = schema, torch.nn.Parameter(torch.zeros(1))

    def embed(self, inputs, boxes):
        return inputs[:, 0, 0, :3]

    def score(self, pictures, programs):
        return -torch.cdist(pictures, programs.values[:, 0, :3])


def test_recall_is_of_the_whole_gallery_both_ways():
    schema = build("nsi", SMOKE).schema
    objects = random_scenes(40, 2)
    keys = schema.encode(objects).values[:, 0]
    image = torch.zeros(40, 3, 4, 4)
    image[:, 0, 0, :3] = keys * 255
    found = Tensors({"image": image, "boxes": torch.zeros(40, 6, 4), "objects": objects})
    scores = retrieval(Oracle(schema), found, 25, "x_")
    assert set(scores.values()) == {1.0}
    assert "x_program_to_image@1" in scores
    image[:, 0, 0, :3] = keys.roll(1, 0) * 255
    assert retrieval(Oracle(schema), found, 25)["program_to_image@1"] == 0.0
    image[:, 0, 0, :3] = 0.0  # nothing told: ties are counted as chance
    flat = retrieval(Oracle(schema), found, 40)
    assert flat["program_to_image@10"] == pytest.approx(10 / 40)


def test_color_use_compares_the_same_queries():
    scenes = random_scenes(30, 1)
    shuffled = with_shuffled(scenes, "color", 0)
    for name in ("shape", "position"):
        assert [[t[name] for t in o] for o in scenes] == [[t[name] for t in o] for o in shuffled]
    flat = [[t["color"] for o in some for t in o] for some in (scenes, shuffled)]
    assert Counter(flat[0]) == Counter(flat[1])
    assert flat[0] != flat[1]
    contender = build("nsi", SMOKE).eval()
    assert abs(color_use(contender, scenes_of("gallery", SMOKE, 0), 16, 0)) < 0.5


def test_grounding_is_counted_object_by_object():
    contender, found = build("nsi", SMOKE).eval(), scenes_of("gallery", SMOKE, 0)
    scores = discovery(contender, found, 8)
    with torch.no_grad():
        seen = contender.images(found["image"][:8].float() / 255, decode=True)
        masks = segment(contender.images.decoder_masks(seen.decoded), size=(32, 32))
        programs = contender.schema.encode(found["objects"][:8])
        chosen = associate(seen.embeddings, contender.programs(programs), programs.length)
    right = total = 0
    for i, objects in enumerate(found["objects"][:8]):
        for j in range(len(objects)):
            covered = masks[i][found["segmentation"][i] == j + 1]
            total += 1
            right += int(covered.bincount().argmax() == chosen[i, j])
    assert scores["grounding"] == pytest.approx(right / total)


def test_few_shot_uses_frozen_vectors_and_is_reproducible():
    contender = build("nsi", SMOKE).eval()
    before = {name: weight.clone() for name, weight in contender.state_dict().items()}
    first, second = (few_shot(contender, SMOKE, 0)["few_shot"] for _ in range(2))
    assert first == second
    assert all(torch.equal(weight, before[name]) for name, weight in contender.state_dict().items())
    assert not frozen(contender, scenes_of("shots", SMOKE, 0)).requires_grad


def test_few_shot_learns_where_vectors_tell_the_class(monkeypatch):
    size = dataclasses.replace(SMOKE, shots=8, judged=30, classes=40)
    learned, judged = scenes_of("shots", size, 0), scenes_of("judged", size, 0)
    names = sorted(set(learned["target"]))

    def telling(contender, found):
        one_hot = torch.eye(3)[[names.index(name) for name in found["target"]]]
        noise = torch.randn(len(found), 4, 3, generator=torch.Generator().manual_seed(len(found)))
        return one_hot[:, None] + 0.3 * noise

    monkeypatch.setattr("visus.methods.nsi.claims.scoring.frozen", telling)
    assert few_shot(build("nsi", size), size, 0)["few_shot"] > 0.9
    assert len(judged) == 30


def test_presets_differ_only_where_told():
    assert set(SIZES) == set(PRESETS)
    assert data.TRAIN_SEED != data.TEST_SEED
