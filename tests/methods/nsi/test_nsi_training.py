"""What training reads, cuts, gathers and remembers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from visus.data import Tensors
from visus.engine import Run
from visus.engine.gather import gather, processes
from visus.engine.plateau import Plateau
from visus.errors import InputError
from visus.methods.nsi import NSI, Categorical, Continuous, Schema
from visus.methods.nsi.training import Scenes, pack, read_all, read_inputs, unpack
from visus.methods.nsi.training.partial import cut_some
from visus.records import override

SCHEMA = Schema((Categorical("kind", ("a", "b", "c")), Continuous("x", 1, (0.0,), (8.0,))), most=8)


def programs(count: int = 200):
    scenes = [[{"kind": "abc"[j % 3], "x": float(j)} for j in range(1 + i % 8)] for i in range(count)]
    return SCHEMA.encode(scenes)


# ---- parts of programs ------------------------------------------------------------------------------------


def test_no_share_changes_nothing_and_the_whole_share_cuts():
    whole = programs()
    assert cut_some(whole, 0.0, range(200)) is whole
    cut = cut_some(whole, 0.999999, range(200))
    assert (cut.length >= 1).all()
    assert (cut.length <= whole.length).all()
    assert (cut.length < whole.length).any()
    assert not cut.present[cut.mask].all()
    assert cut.present[cut.mask].any(-1).all()
    assert not cut.present[~cut.mask].any()
    assert not cut.values[~cut.mask].any()


def test_what_stays_of_a_program_is_its_own_objects_in_order():
    whole = programs()
    cut = cut_some(whole, 0.999999, range(200))
    for row in range(200):
        kept = cut.values[row, : cut.length[row], 0].mul(8).round().int().tolist()
        assert kept == sorted(set(kept))
        assert all(number < whole.length[row] for number in kept)
        kinds = cut.categories[row, : cut.length[row], 0].tolist()
        assert kinds == [number % 3 for number in kept]


def test_the_share_of_cut_programs_is_the_one_asked_for():
    whole = programs(2000)
    cut = cut_some(whole, 0.25, range(2000))
    changed = (cut.length != whole.length) | (cut.present.sum((1, 2)) != whole.present.sum((1, 2)))
    assert 0.17 < changed.double().mean() < 0.27


def test_a_cut_depends_on_the_items_seed_alone():
    whole = programs(20)
    together = cut_some(whole, 0.5, range(20))
    alone = cut_some(whole[7], 0.5, [7])
    for name, value in pack(alone).items():
        assert torch.equal(value[0], pack(together)[name][7])


# ---- reading ----------------------------------------------------------------------------------------------


def test_pictures_become_colored_squares_and_features_stay():
    gray = {"image": torch.rand(2, 1, 9, 5)}
    assert read_inputs(gray, image_size=8).shape == (2, 3, 8, 8)
    features = {"features": torch.rand(2, 6, 4), "image": torch.rand(2, 3, 8, 8)}
    assert torch.equal(read_inputs(features, image_size=8), features["features"])
    assert read_inputs(features, image_size=8, features=False).shape == (2, 3, 8, 8)


def test_pictures_of_bytes_are_refused_not_taken_for_very_bright_ones():
    bytes_ = torch.full((2, 3, 8, 8), 200, dtype=torch.uint8)
    with pytest.raises(InputError, match="divide bytes by 255"):
        read_inputs({"image": bytes_}, image_size=8)


@pytest.mark.parametrize(
    ("batch", "features", "says"),
    [
        ({"text": ["a"]}, None, "image: is missing"),
        ({"image": torch.rand(1, 3, 8, 8)}, True, "FrozenFeatures"),
        ({"image": torch.rand(1, 2, 8, 8)}, None, "shape"),
        ({"features": torch.rand(1, 8)}, None, "shape"),
        ({"image": torch.tensor([0.0, torch.nan]).view(2, 1, 1, 1).expand(2, 3, 4, 4)}, None, "item 1"),
    ],
)
def test_inputs_that_cannot_be(batch, features, says):
    with pytest.raises(InputError, match=says):
        read_inputs(batch, image_size=8, features=features)


def test_objects_must_be_lists_of_dicts():
    with pytest.raises(InputError, match="objects: is missing"):
        read_all(Tensors({"image": torch.rand(2, 3, 4, 4)}), image_size=4)
    with pytest.raises(InputError, match="item 1"):
        read_all(Tensors({"image": torch.rand(2, 3, 4, 4), "objects": [[], ["a"]]}), image_size=4)


def test_scenes_give_the_same_items_kept_or_read_again():
    source = NSI.example("test")
    objects, kept, shape = read_all(source, image_size=32)
    encoded = Schema.infer(objects).encode(objects)
    assert shape == (3, 32, 32)
    assert kept.dtype == torch.uint8
    held = Scenes(source, encoded, image_size=32, keep=kept)
    read = Scenes(source, encoded, image_size=32)
    one, other = held.batch([3, 1]), read.batch([3, 1])
    torch.testing.assert_close(one["inputs"], other["inputs"], rtol=0, atol=0.5 / 255 + 1e-6)
    assert torch.equal(one["index"], torch.tensor([3, 1]))
    part = held.subset([5, 3]).batch([1])
    assert torch.equal(part["index"], torch.tensor([3]))
    assert torch.equal(part["inputs"], one["inputs"][:1])
    assert unpack(part).length.tolist() == [len(objects[3])]
    assert held.fingerprint() == read.fingerprint()


# ---- several processes, halving ---------------------------------------------------------------------------


def test_one_process_gathers_nothing():
    own = torch.rand(3, 2, requires_grad=True)
    assert gather(own) is own
    assert processes() == 1


def test_rates_halve_when_the_loss_stagnates():
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1.0)
    optimizer.param_groups[0]["initial_lr"] = 1.0
    halving = Plateau(2, factor=0.5)
    rates = []
    for loss in (3.0, 2.0, 2.0, 2.5, 2.5, 1.0, 1.0, 1.0):
        halving.tell(optimizer, loss)
        rates.append(optimizer.param_groups[0]["initial_lr"])
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25]
    restored = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1.0)
    restored.load_state_dict(optimizer.state_dict())
    assert restored.param_groups[0]["initial_lr"] == 0.25
    assert restored.param_groups[0]["lowest_loss"] == 1.0
    Plateau(0, factor=0.5).tell(optimizer, 9.0)
    assert optimizer.param_groups[0]["initial_lr"] == 0.25


def test_phases_come_in_order_and_each_keeps_its_best_epoch(tmp_path: Path):
    config = override(NSI.preset("smoke"), {"pretrain_epochs": 1, "epochs": 2, "generator_epochs": 1})
    NSI(config).fit(NSI.example("train"), Run(tmp_path, device="cpu", progress=False))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(row["phase"] for row in rows)) == ["reconstruct", "align"]
    steps = [row for row in rows if "check" not in row]
    assert all("contrastive" not in row for row in steps if row["phase"] == "reconstruct")
    for row in steps:
        if row["phase"] == "align":
            assert row["loss"] == pytest.approx(
                row["contrastive"] + config.beta * row["reconstruction"], rel=1e-5
            )
    assert (tmp_path / "generator" / "log.jsonl").stat().st_size > 0


def test_alignment_is_frozen_while_the_generator_learns(tmp_path: Path):
    base = override(NSI.preset("smoke"), {"epochs": 1})
    short = NSI(override(base, {"generator_epochs": 1})).fit(
        NSI.example("train"), Run(tmp_path / "a", device="cpu", progress=False)
    )
    long = NSI(override(base, {"generator_epochs": 3})).fit(
        NSI.example("train"), Run(tmp_path / "b", device="cpu", progress=False)
    )
    for name in ("images", "programs"):
        for one, other in zip(short.parts()[name].parameters(), long.parts()[name].parameters()):
            assert torch.equal(one, other)
    pairs = zip(short.parts()["generator"].parameters(), long.parts()["generator"].parameters())
    assert any(not torch.equal(one, other) for one, other in pairs)
