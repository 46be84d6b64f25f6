"""The interpreter end to end on small scenes: what it returns, keeps, and refuses."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from sklearn.exceptions import NotFittedError

from visus.data import Subset, Tensors
from visus.engine import Run
from visus.errors import InputError
from visus.methods.nsi import NSI, NSIConfig, bilevel_scores, parse
from visus.methods.nsi.config import PAPER, PRESETS, FewShotConfig, check
from visus.methods.nsi.estimator.inference import Inputs, build, embed_programs
from visus.methods.nsi.estimator.scoring import grounded, grounding, retrieval
from visus.methods.nsi.model.attributes import Categorical, Continuous
from visus.methods.nsi.model.schema import Schema
from visus.records import override


def quiet(folder=None, seed: int = 0) -> Run:
    return Run(folder, seed=seed, device="cpu", progress=False)


TINY = override(
    NSI.preset("smoke"),
    {"epochs": 2, "generator_epochs": 2, "channels": 8, "strides": [2, 2, 2], "batch_size": 16},
)


@pytest.fixture(scope="module")
def train() -> Tensors:
    return NSI.example("train").subset(range(48))


@pytest.fixture(scope="module")
def test() -> Tensors:
    return NSI.example("test").subset(range(24))


@pytest.fixture(scope="module")
def model(train: Tensors) -> NSI:
    return NSI(TINY).fit(train, quiet())


def test_written_programs_are_read_back(model: NSI, test: Tensors):
    eager = model.network_.generator.heads.presence
    with torch.no_grad():
        before = eager.bias.clone()
        eager.bias.fill_(9.0)  # everything is an object: there is something to write
        found = model.predict(test)
        eager.bias.copy_(before)
    assert all(len(scene) == model.schema_.most for scene in found["objects"])
    for program, scene in zip(found["program"], found["objects"]):
        assert parse(program, model.schema_) == scene
    numbers = [value for scene in found["objects"] for each in scene for value in each["position"]]
    assert all(round(value, 4) == value for value in numbers)


def test_alignment_is_the_best_slot_of_each_object(model: NSI, test: Tensors):
    found = model.align(test)
    count = torch.tensor([len(objects) for objects in test["objects"]])
    assert torch.equal(found["length"], count)
    for row, length in enumerate(count.tolist()):
        best = found["similarity"][row, :, :length].argmax(0)
        assert torch.equal(found["slot"][row, :length], best)
        assert (found["slot"][row, length:] == -1).all()


def test_scores_over_the_gallery_are_those_of_the_score_matrix(model: NSI, test: Tensors):
    scores = model.evaluate(test)
    primitives, length = model.embed_programs(test["objects"])
    matrix = bilevel_scores(model.embed_images(test), primitives, length)
    ranks = [(row > row[i]).sum().item() for i, row in enumerate(matrix)]
    assert scores["image_to_program@5"] == pytest.approx(sum(rank < 5 for rank in ranks) / 24, abs=1e-6)
    ranks = [(row > row[i]).sum().item() for i, row in enumerate(matrix.T)]
    assert scores["program_to_image@1"] == pytest.approx(sum(rank < 1 for rank in ranks) / 24, abs=1e-6)
    assert scores["ap@inf"] >= scores["ap@1"] >= scores["ap@0.5"] >= scores["ap@0.25"] >= scores["ap@0.125"]
    assert {"fg_ari", "mbo", "grounding", "grounding_chance"} <= set(scores)
    bare = Tensors({"image": test["image"], "objects": test["objects"]})
    assert not {"fg_ari", "mbo", "grounding", "grounding_chance"} & set(model.evaluate(bare))


def test_an_index_finds_what_the_model_scores_highest(model: NSI, test: Tensors):
    index = model.index(test)
    assert index.names == test["name"]
    primitives, length = model.embed_programs(test["objects"][:3])
    wanted = bilevel_scores(model.embed_images(test), primitives, length).T
    hits = index.search(primitives, length, k=24)
    torch.testing.assert_close(hits.score, wanted.sort(descending=True).values)
    back = index.search_programs(model.embed_images(test.batch([0])), k=1)
    assert back.names[0][0] in test["name"]


def test_parts_of_programs_are_queries(model: NSI):
    words, length = model.embed_programs(
        ["<scene><object><color>red</color></object></scene>", [{"size": "large"}]]
    )
    assert words.shape[:2] == (2, 1)
    assert length.tolist() == [1, 1]
    with pytest.raises(InputError, match="colour"):
        model.embed_programs(["<scene><object><colour>red</colour></object></scene>"])


def test_fuller_scenes_than_in_training_can_be_scored(model: NSI, test: Tensors):
    full = Tensors({"image": test["image"], "objects": [[*each, *each, *each] for each in test["objects"]]})
    assert model.align(full)["slot"].shape[1] == 3 * max(len(each) for each in test["objects"])


def test_the_schema_knows_training_rows_only(train: Tensors):
    objects = [list(each) for each in train["objects"]]
    run = quiet(seed=3)
    fitted = NSI(override(TINY, {"epochs": 1, "generator_epochs": 0})).fit(train, run)
    held = 48 - round(48 * 0.9)
    assert held == 5
    strange = [[{**each, "color": f"color {i}"} for each in scene] for i, scene in enumerate(objects)]
    source = Tensors({"image": train["image"], "objects": strange})
    config = override(TINY, {"epochs": 1, "generator_epochs": 0})
    known = NSI(config).fit(source, quiet(seed=3)).schema_.attribute("color").values
    assert len(known) == 48 - held
    assert fitted.schema_.attribute("color").values != known


def test_attributes_can_be_chosen_and_a_schema_given(train: Tensors):
    config = override(TINY, {"epochs": 1, "generator_epochs": 1, "attributes": ["color", "shape"]})
    chosen = NSI(config).fit(train, quiet())
    assert list(chosen.schema_.by_name) == ["color", "shape"]
    assert "ap@1" not in chosen.evaluate(train)
    schema = dataclasses.replace(chosen.schema_, most=9)
    given = NSI(override(config, {"attributes": []})).fit(train, quiet(), schema=schema)
    assert given.schema_ == schema
    narrow = Schema((Categorical("color", ("red",)),), most=4)
    with pytest.raises(InputError, match="color"):
        NSI(TINY).fit(train, quiet(), schema=narrow)


def test_without_a_generator_there_are_no_programs(train: Tensors, test: Tensors):
    config = override(TINY, {"epochs": 1, "generator_epochs": 0, "decoder": "none"})
    found = NSI(config).fit(train, quiet()).predict(test)
    assert set(found) == {"slots", "embeddings", "masks"}
    torch.testing.assert_close(found["masks"].sum(1), torch.ones(24, 4, 4))


def test_features_take_the_place_of_pictures(tmp_path):
    features = {"features": torch.randn(20, 12, 10), "objects": [[{"kind": "ab"[i % 2]}] for i in range(20)]}
    made = NSI(TINY).fit(Tensors(features), quiet())
    assert made.inputs_ == Inputs(10, (3, 4))
    assert made.predict(features)["masks"].shape == (20, 4, 3, 4)
    made.save(tmp_path / "model")
    assert NSI.load(tmp_path / "model").inputs_ == made.inputs_
    with pytest.raises(InputError, match="FrozenFeatures"):
        made.predict({"image": torch.rand(1, 3, 32, 32)})


def test_too_few_items_and_no_objects_are_refused(train: Tensors):
    with pytest.raises(InputError, match="has 3 items"):
        NSI(TINY).fit(Subset(train, range(3)), quiet())
    with pytest.raises(InputError, match="objects"):
        NSI(TINY).fit(Tensors({"image": torch.rand(8, 3, 8, 8)}), quiet())
    with pytest.raises(InputError, match="no object"):
        NSI(TINY).fit(Tensors({"image": torch.rand(8, 3, 8, 8), "objects": [[]] * 8}), quiet())
    with pytest.raises(NotFittedError):
        NSI(TINY).predict(train)


# ---- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slots": 0}, "slots"),
        ({"temperature": 0.0}, "temperature"),
        ({"beta": -1.0}, "beta"),
        ({"validation": 1.0}, "validation"),
        ({"generator_heads": 5}, "generator_heads"),
        ({"strides": []}, "strides"),
        ({"decoder": "none", "pretrain_epochs": 1}, "pretrain_epochs"),
    ],
)
def test_settings_out_of_bounds(change, field):
    with pytest.raises(InputError, match=field):
        check(override(NSIConfig(), change))
    for config in (*PRESETS.values(), FewShotConfig()):
        check(config)


def test_the_preset_paper_has_the_published_sizes():
    schema = Schema((Categorical("a", ("x", "y")), Continuous("p", 3, (0.0,) * 3, (1.0,) * 3)), most=10)
    with torch.device("meta"):
        network = build(PAPER, schema, Inputs(768, (28, 28)))
    images, programs = network.images, network.programs
    assert (images.start.count, images.start.mean.shape[-1]) == (15, 192)
    assert images.attention.gru.input_size == 192
    assert [layer.out_features for layer in (images.decoder.first, *images.decoder.rest)] == [1024] * 3
    assert images.decoder.readout.out_features == 768
    assert images.decoder.positions.shape == (1, 192, 28, 28)
    assert len(programs.blocks) == 8
    assert programs.head.project.weight.shape == images.head.project.weight.shape == (64, 192)
    assert (PAPER.temperature, PAPER.beta, PAPER.learning_rate, PAPER.batch_size) == (0.1, 1.0, 4e-4, 128)


# ---- scores -----------------------------------------------------------------------------------------------


def test_perfect_and_constant_retrieval():
    assert retrieval(torch.eye(6)) == {
        "image_to_program@1": 1.0,
        "image_to_program@5": 1.0,
        "program_to_image@1": 1.0,
        "program_to_image@5": 1.0,
    }
    assert retrieval(torch.zeros(8, 8), k=(1,))["image_to_program@1"] == pytest.approx(1 / 8)


def test_grounding_counts_objects_whose_slot_covers_them_most():
    truth = torch.tensor([[[1, 1, 1, 2], [0, 0, 2, 2]]])
    slots = torch.tensor([[[3, 3, 0, 1], [0, 0, 1, 3]]])
    assert grounded(torch.tensor([[3, 1]]), [slots], [truth]) == 1.0
    assert grounded(torch.tensor([[3, 3]]), [slots], [truth]) == 0.5
    assert grounded(torch.tensor([[0, -1]]), [slots], [truth]) == 0.0
    absent = torch.tensor([[3, 1, 2]])  # a third object without a visible pixel is not asked for
    assert grounded(absent, [slots], [truth]) == 1.0


def test_chance_of_grounding_tells_one_slot_for_all_from_one_each():
    length, own = torch.tensor([3, 1, 2]), torch.tensor([[3, 1, 2], [0, -1, -1], [2, 2, -1]])
    truth = torch.tensor([[[1, 2, 3]], [[1, 1, 0]], [[1, 2, 0]]])
    apart = torch.tensor([[[3, 1, 2]], [[0, 0, 4]], [[2, 2, 4]]])
    found = grounding(own, length, [apart], [truth])
    # the first picture's objects exchange their slots in vain, the second's has no other, the third's share one
    assert found == {"grounding": 1.0, "grounding_chance": 2 / 5}


def test_embedding_in_pieces_is_embedding_at_once(model: NSI, train: Tensors):
    objects = [*train["objects"], *train["objects"]]
    encoded = model.schema_.encode(objects, unknown="missing")
    whole = model.network_.programs.eval()(encoded)
    torch.testing.assert_close(embed_programs(model.network_.programs, encoded), whole)
