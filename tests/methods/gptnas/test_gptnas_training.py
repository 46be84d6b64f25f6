"""Candidates: what moves and what does not, what they are worth, interruption; the final training."""

from __future__ import annotations

import copy
import math
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from visus.data import Tensors
from visus.engine import Run
from visus.errors import InputError, Interrupted
from visus.methods.gptnas.search.asktell import Candidate
from visus.methods.gptnas.training import (
    Candidates,
    Labeled,
    NetworkTraining,
    Pixels,
    Recipe,
    augment,
    class_scores,
    cross_entropy,
    final_phases,
    freeze_rest,
    settle,
    share_right,
    train_final,
    trainable_parts,
)


class Small(nn.Module):
    """Convolution, normalization, ReLU per block; symbol 1 is a block without parameters, 2 has dropout."""

    def __init__(self, symbols: tuple[int, ...], *, norms: bool = True) -> None:
        super().__init__()
        self.blocks, channels = nn.ModuleList(), 1
        for symbol in symbols:
            if symbol == 1:
                self.blocks.append(nn.AvgPool2d(3, 1, 1))
                continue
            norm = nn.BatchNorm2d(4) if norms else nn.Identity()
            last = nn.Dropout(0.5) if symbol == 2 else nn.ReLU()
            self.blocks.append(nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), norm, last))
            channels = 4
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def without_norms(symbols: tuple[int, ...]) -> Small:
    return Small(symbols, norms=False)


def pictures(n: int = 40, *, side: tuple[int, int] = (6, 5)) -> Labeled:
    """Bright and dark pictures."""
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(n) % 2
    image = torch.rand(n, 1, *side, generator=generator) + target[:, None, None, None]
    source = Tensors({"image": image})
    return Labeled(source, Pixels.learn(source, range(n)), target)


RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.05)


def candidates(folder: Path, **options: Any) -> Candidates:
    data = pictures()
    halves = (data.subset(torch.arange(30)), data.subset(torch.arange(30, 40)))
    run = Run(folder, device="cpu", progress=False)
    settings: dict[str, Any] = {"build": Small, "recipe": RECIPE, **options}
    return Candidates(settings.pop("build"), halves, settings.pop("recipe"), run, **settings)


def trained(net: nn.Module, parts: dict[str, nn.Module], folder: Path) -> dict[str, bool]:
    """Train for two epochs; which tensors of the state changed a bit."""
    before = copy.deepcopy(net.state_dict())
    data = pictures()
    phases = final_phases(RECIPE, drop_every=0, items=len(data))
    Run(folder, device="cpu", progress=False).train(NetworkTraining(net, RECIPE, parts), data, phases)
    return {name: not torch.equal(value, before[name]) for name, value in net.state_dict().items()}


# ---- what is trained --------------------------------------------------------------------------------------


def drawn(symbols: tuple[int, ...] = (0, 0, 2, 0), **options: Any) -> Small:
    torch.manual_seed(3)
    net = Small(symbols, **options)
    settle(net, pictures().batch(range(32))["image"])
    return net


def test_only_regrown_blocks_and_the_head_move(tmp_path):
    net = drawn()
    name, parts = trainable_parts(net, [False, True, False, False])
    freeze_rest(net, parts)
    assert name == "regrown"
    moved = trained(net, parts, tmp_path)
    assert {key for key, value in moved.items() if value} == {
        key for key in moved if key.startswith(("blocks.1", "head"))
    }
    assert not any(value for key, value in moved.items() if key.startswith("blocks.0.1.running"))


def test_without_regrown_blocks_exactly_the_normalization_moves(tmp_path):
    net = drawn()
    name, parts = trainable_parts(net, [False] * 4)
    freeze_rest(net, parts)
    assert name == "norms"
    moved = trained(net, parts, tmp_path)
    own = {
        f"{place}.{key}"
        for place, module in net.named_modules()
        if isinstance(module, _BatchNorm)
        for key in module.state_dict()
    }
    assert {key for key, value in moved.items() if value} == own


def test_without_normalization_or_by_rule_everything_moves(tmp_path):
    net = drawn((0, 0), norms=False)
    name, parts = trainable_parts(net, [False, False])
    freeze_rest(net, parts)
    assert name == "all"
    assert all(trained(net, parts, tmp_path / "a").values())
    other = drawn((0, 0))
    name, parts = trainable_parts(other, [True, False], rule="all")
    freeze_rest(other, parts)
    assert name == "all"
    assert all(trained(other, parts, tmp_path / "b").values())
    with pytest.raises(ValueError, match="2 blocks"):
        trainable_parts(other, [True])


def test_frozen_parts_neither_drop_nor_normalize_by_the_batch():
    net = drawn()
    _, parts = trainable_parts(net, [True, False, False, False])
    freeze_rest(net, parts)
    for part in parts.values():
        part.train()
    modes = {name: module.training for name, module in net.named_modules()}
    assert modes["blocks.0.1"]
    assert not modes["blocks.2.1"]
    assert not modes["blocks.2.2"]  # dropout
    assert [name for name, weight in net.named_parameters() if weight.requires_grad] == [
        name for name, _ in net.named_parameters() if name.startswith(("blocks.0", "head"))
    ]


def test_settled_statistics_are_those_of_the_batch_where_each_layer_stands():
    net = drawn((0, 0)).double()
    image = pictures().batch(range(20))["image"].double()
    settle(net, image)
    first: Any = net.blocks[0]
    features = first[0](image)
    mean = features.mean((0, 2, 3))
    count = features[:, 0].numel()
    variance = (features - mean[:, None, None]).square().sum((0, 2, 3)) / (count - 1)
    torch.testing.assert_close(first[1].running_mean, mean)
    torch.testing.assert_close(first[1].running_var, variance)
    assert first[1].momentum == 0.1
    assert not any(module.training for module in net.modules())
    before = copy.deepcopy(net.state_dict())
    net(torch.rand(4, 1, 6, 5, dtype=torch.float64))
    settle(net, image)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


# ---- what a candidate is worth ----------------------------------------------------------------------------


def test_a_candidate_is_a_function_of_its_blocks(tmp_path):
    many = candidates(tmp_path / "a")
    worth = many.worth((0, 1, 0), [True, False, False])
    assert worth.trained == "regrown"
    assert 0 <= worth.fitness <= 1
    assert worth.parameters == sum(weight.numel() for weight in Small((0, 1, 0)).parameters())
    torch.manual_seed(99)  # nothing follows from the global generators, or from who came before
    other = candidates(tmp_path / "b")
    other.worth((0, 0), [True, True])
    assert other.worth((0, 1, 0), [True, False, False]) == worth
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["0-0", "0-1-0"]


def test_a_candidate_is_paid_once_and_leaves_only_what_it_is_worth(tmp_path, monkeypatch):
    many = candidates(tmp_path)
    worth = many.worth((0, 0), [True, False])
    assert [path.name for path in (tmp_path / "0-0").iterdir()] == ["worth.json"]
    monkeypatch.setattr(Run, "train", lambda *_, **__: pytest.fail("paid twice"))
    assert many.worth((0, 0), [True, False]) == worth
    assert many(Candidate((0, 0), (True, False), 3)) == worth.fitness
    assert pickle.loads(pickle.dumps(many)).worth((0, 0), [True, False]) == worth


def test_keep_leaves_weights_and_log(tmp_path):
    candidates(tmp_path, keep=True).worth((0, 0), [True, False])
    assert (tmp_path / "0-0" / "log.jsonl").exists()
    assert list((tmp_path / "0-0").rglob("step-*-done/tensors.safetensors"))


def test_checkpoints_hold_only_what_is_trained(tmp_path):
    from safetensors.torch import load_file

    candidates(tmp_path, keep=True).worth((0, 0), [False, True])
    (file,) = (tmp_path / "0-0").rglob("step-*-done/tensors.safetensors")
    names = [name for name in load_file(file) if name.startswith("part/")]
    assert names
    assert all(name.startswith(("part/block-1/", "part/head/")) for name in names)


def test_an_interrupted_candidate_resumes_to_the_same_worth(tmp_path, monkeypatch):
    whole = candidates(tmp_path / "a", keep=True).worth((0, 0), [True, False])
    own = NetworkTraining.step
    steps = []

    def stopped(self: Any, batch: Any, turn: Any) -> Any:
        steps.append(turn.step)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return own(self, batch, turn)

    monkeypatch.setattr(NetworkTraining, "step", stopped)
    with pytest.raises(Interrupted):
        candidates(tmp_path / "b", keep=True).worth((0, 0), [True, False])
    assert candidates(tmp_path / "b", keep=True).worth((0, 0), [True, False]) == whole
    assert steps == [0, 1, 2, 3]
    (one, other) = (next((tmp_path / name).rglob("step-*-done/tensors.safetensors")) for name in "ab")
    assert one.read_bytes() == other.read_bytes()


def test_a_diverging_candidate_is_worth_nothing(tmp_path):
    recipe = Recipe(epochs=6, batch_size=16, learning_rate=1e30)
    worth = candidates(tmp_path, build=without_norms, recipe=recipe).worth((0, 0), [True, True])
    assert worth.diverged
    assert worth.fitness == 0.0
    again = candidates(tmp_path, build=without_norms, recipe=recipe).worth((0, 0), [True, True])
    assert again == worth
    assert share_right(torch.tensor([[0.0, math.nan]]), torch.tensor([0])) == 0.0


def test_wrong_data_is_not_taken_for_divergence(tmp_path):
    recipe = Recipe(epochs=0, batch_size=16)
    with pytest.raises(InputError):
        candidates(tmp_path, recipe=recipe).worth((0, 0), [True, False])
    assert not list(tmp_path.rglob("worth.json"))


def test_learning_shows_in_fitness(tmp_path):
    recipe = Recipe(epochs=20, batch_size=10, learning_rate=0.1)
    assert candidates(tmp_path, recipe=recipe).worth((0, 0), [True, True]).fitness == 1.0


# ---- the final training -----------------------------------------------------------------------------------


def test_the_final_rate_falls_to_a_tenth(tmp_path):
    seen = []

    class Noted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(30, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.flatten(1))

    from visus.methods.gptnas.training import final

    own = final.FinalTraining.step

    class Watched(final.FinalTraining):
        def step(self, batch: Any, turn: Any) -> Any:
            seen.append((turn.phase, self._optimizer.param_groups[0]["lr"]))
            return own(self, batch, turn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(final, "FinalTraining", Watched)
        recipe = Recipe(epochs=5, batch_size=40, learning_rate=0.1)
        train_final(Noted(), pictures(), recipe, Run(tmp_path, device="cpu", progress=False), drop_every=2)
    names, rates = zip(*seen)
    assert names == ("final-1", "final-1", "final-2", "final-2", "final-3")
    torch.testing.assert_close(torch.tensor(rates), torch.tensor([0.1, 0.1, 0.01, 0.01, 0.001]))


def test_cross_entropy_by_hand():
    scores = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], dtype=torch.float64)
    by_hand = [
        -math.log(math.exp(2.0) / (math.exp(1.0) + math.exp(2.0) + math.exp(0.5))),
        -math.log(math.exp(0.0) / (math.exp(0.0) + math.exp(-1.0) + math.exp(3.0))),
    ]
    torch.testing.assert_close(
        cross_entropy(scores, torch.tensor([1, 0])), torch.tensor(by_hand, dtype=torch.float64)
    )


# ---- pictures ---------------------------------------------------------------------------------------------


def test_pixel_statistics_are_those_of_the_training_pictures():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(300, 3, 4, 6, generator=generator)
    pixels = Pixels.learn(Tensors({"image": image}), range(0, 300, 2))
    train = image[::2].double()
    assert pixels.size == (4, 6)
    torch.testing.assert_close(torch.tensor(pixels.mean, dtype=torch.float64), train.mean((0, 2, 3)))
    torch.testing.assert_close(
        torch.tensor(pixels.std, dtype=torch.float64), train.std((0, 2, 3), correction=0)
    )
    scaled = pixels.scaled(image[::2])
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    assert Pixels.from_plain(pixels.to_plain()) == pixels


def test_constant_pictures_do_not_divide_by_zero():
    source = Tensors({"image": torch.full((4, 1, 3, 3), 0.5)})
    pixels = Pixels.learn(source, range(4))
    assert torch.isfinite(pixels.scaled(source["image"])).all()


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (torch.zeros(4, 3, 3), "expected"),
        (torch.full((4, 1, 3, 3), math.inf), "finite"),
        (["a"] * 4, "list"),
    ],
)
def test_what_is_no_picture_is_refused(image, says):
    with pytest.raises(InputError, match=says):
        Pixels.learn(Tensors({"image": image}), range(4))


def test_shapes_that_differ_and_channels_that_do_not_fit_are_refused():
    class Mixed:
        def __len__(self) -> int:
            return 300

        def batch(self, indices: Any) -> Any:
            return {"image": torch.zeros(len(indices), 1, 3 if 0 in indices else 4, 3)}

    with pytest.raises(InputError, match="image_size"):
        Pixels.learn(Mixed(), range(300))
    assert Pixels.learn(Mixed(), range(300), image_size=(5, 5)).size == (5, 5)
    with pytest.raises(InputError, match="2 channels, the model was trained on 1"):
        pictures().pixels.scaled(torch.zeros(1, 2, 6, 5))


def test_augmentation_mirrors_and_shifts():
    torch.manual_seed(0)
    image = torch.arange(2 * 12.0).reshape(2, 1, 3, 4).repeat(50, 1, 1, 1) + 1
    assert torch.equal(augment(image, flip=False, crop=0), image)
    flipped = augment(image, flip=True, crop=0)
    mirrored = torch.tensor([torch.equal(a, b.flip(2)) for a, b in zip(flipped, image)])
    assert all(m or torch.equal(a, b) for m, a, b in zip(mirrored, flipped, image))
    assert 30 < mirrored.sum() < 70
    shifted = augment(image, flip=False, crop=1)
    assert shifted.shape == image.shape
    padded = nn.functional.pad(image, (1, 1, 1, 1))
    for found, whole in zip(shifted, padded):
        windows = [whole[:, y : y + 3, x : x + 4] for y in range(3) for x in range(3)]
        assert any(torch.equal(found, window) for window in windows)
    assert len({tuple(one.flatten().tolist()) for one in shifted}) > 9


def test_scores_leave_modes_as_they_were():
    net = Small((0, 2)).train()
    net.blocks[0].eval()
    first = class_scores(net, pictures(), torch.device("cpu"))
    assert torch.equal(first, class_scores(net, pictures(), torch.device("cpu")))
    assert net.training
    assert not net.blocks[0].training
