"""Classes from few pictures on frozen slots."""

from __future__ import annotations

import pytest
import torch

from visus.data import Tensors
from visus.engine import Run
from visus.errors import InputError
from visus.methods.nsi import NSI, FewShotConfig, NSIFewShot
from visus.methods.nsi.estimator.fewshot import draw, targets
from visus.records import override


def quiet(seed: int = 0) -> Run:
    return Run(seed=seed, device="cpu", progress=False)


@pytest.fixture(scope="module")
def interpreter() -> NSI:
    config = override(NSI.preset("smoke"), {"epochs": 1, "generator_epochs": 0, "strides": [2, 2, 2]})
    return NSI(config).fit(NSI.example("train").subset(range(48)), quiet())


@pytest.fixture(scope="module")
def colors() -> Tensors:
    """Red and blue pictures: a class that any slots tell apart."""
    image = torch.rand(30, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.3
    image[::2, 0] += 0.6
    image[1::2, 2] += 0.6
    return Tensors({"image": image, "target": ["red", "blue"] * 15})


@pytest.fixture(scope="module")
def learned(interpreter: NSI, colors: Tensors) -> NSIFewShot:
    config = FewShotConfig(width=16, blocks=1, epochs=30, shots=5, batch_size=10)
    return NSIFewShot(config, interpreter).fit(colors, quiet())


def test_it_learns_from_its_shots_alone_and_knows_the_rest(learned: NSIFewShot, colors: Tensors):
    assert len(learned.used_) == 10
    rest = colors.subset([i for i in range(30) if i not in learned.used_])
    assert learned.evaluate(rest) == {"accuracy": 1.0, "balanced_accuracy": 1.0}
    found = learned.predict(rest)
    assert found["name"] == rest["target"]
    torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(20))


def test_the_interpreter_does_not_change(interpreter: NSI, colors: Tensors):
    before = [weight.clone() for weight in interpreter.network_.images.parameters()]
    NSIFewShot(FewShotConfig(width=16, blocks=1, epochs=2), interpreter).fit(colors, quiet())
    assert all(torch.equal(a, b) for a, b in zip(before, interpreter.network_.images.parameters()))


def test_saved_with_its_interpreter(learned: NSIFewShot, colors: Tensors, tmp_path):
    learned.save(tmp_path)
    read = NSIFewShot.load(tmp_path)
    assert torch.equal(read.predict(colors)["probabilities"], learned.predict(colors)["probabilities"])
    assert read.used_ == learned.used_
    with pytest.raises(InputError, match="NSIFewShot"):
        NSI.load(tmp_path)


def test_order_of_slots_does_not_matter(learned: NSIFewShot, colors: Tensors):
    slots = learned.interpreter.slots(colors.batch([0, 1]))
    order = torch.tensor([2, 0, 3, 1])
    one, other = learned.classifier_(slots), learned.classifier_(slots[:, order])
    torch.testing.assert_close(one, other)


def test_shots_are_drawn_per_class_by_the_seed():
    numbers = torch.tensor([0] * 10 + [1] * 20)
    chosen = draw(numbers, ["a", "b"], 4, seed=0)
    assert numbers[chosen].bincount().tolist() == [4, 4]
    assert draw(numbers, ["a", "b"], 4, seed=0) == chosen
    assert draw(numbers, ["a", "b"], 4, seed=1) != chosen
    assert draw(numbers, ["a", "b"], 0, seed=0) == list(range(30))
    with pytest.raises(InputError, match="'a' has 10 pictures"):
        draw(numbers, ["a", "b"], 11, seed=0)


def test_what_cannot_be_learned_or_scored(interpreter: NSI, learned: NSIFewShot, colors: Tensors):
    config = FewShotConfig(width=16, blocks=1, epochs=1)
    with pytest.raises(InputError, match="interpreter"):
        NSIFewShot(config).fit(colors, quiet())
    with pytest.raises(InputError, match="one class only"):
        NSIFewShot(config, interpreter).fit(colors.subset([0, 2]), quiet())
    with pytest.raises(InputError, match="target"):
        targets(Tensors({"image": torch.rand(2, 3, 4, 4)}))
    with pytest.raises(InputError, match="'zebra'"):
        learned.evaluate(Tensors({"image": colors["image"][:1], "target": ["zebra"]}))
