"""Checkpoints appear whole or not at all, and damage is told."""

from __future__ import annotations

import functools
import json
import os
import shutil

import pytest
import torch
from torch import nn
from toy import Toy, quiet, same, source

from visus.engine.checkpoints import STATE, TENSORS, Checkpoints, pack_optimizer, unpack_optimizer
from visus.errors import InputError
from visus.protocols import Phase


def test_round_trip_of_every_kind_of_tensor(tmp_path):
    shared = torch.randn(6)
    tensors = {
        "float": torch.randn(2, 3, dtype=torch.float64),
        "bf16": torch.randn(5).to(torch.bfloat16),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
        "transposed": torch.randn(3, 4).T,
        "tied": shared,
        "tied too": shared,
        "view": shared[2:5],
    }
    store = Checkpoints(tmp_path)
    store.save("step-000000001-00", tensors, {"rate": 0.1 + 0.2, "none": None})
    loaded, state = store.load("step-000000001-00")
    assert same(loaded, tensors)
    assert all(loaded[key].dtype == value.dtype for key, value in tensors.items())
    assert state == {"rate": 0.1 + 0.2, "none": None}
    assert sorted(path.name for path in (tmp_path / "step-000000001-00").iterdir()) == [STATE, TENSORS]


def test_newest_is_the_last_step_not_the_best(tmp_path):
    store = Checkpoints(tmp_path)
    assert store.newest() is None
    for name in ("step-000000002-00", "step-000000010-01", "step-000000009-00", "best-000000099"):
        store.save(name, {"x": torch.ones(1)}, {})
    assert store.newest() == "step-000000010-01"
    store.save("step-000000010-01-done", {"x": torch.ones(1)}, {})
    assert store.newest() == "step-000000010-01-done"
    store.tidy("step-000000010-01-done", "best-000000099", None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-000000099", "step-000000010-01-done"]


OPERATIONS = ["mkdir", "open", "fsync", "rename", "rmdir", "unlink"]


class PowerCut(BaseException):
    """Not an Exception: no handler may tidy up behind it."""


class Fuse:
    """Lets `operations` calls pass, less one, and no more after that."""

    def __init__(self, operations):
        self.left = operations

    def __call__(self, function, *arguments, **named):
        self.left -= 1
        if self.left <= 0:
            raise PowerCut
        return function(*arguments, **named)


def test_crash_at_every_file_operation(tmp_path, monkeypatch):
    """Cut off at the n-th file operation, for every n: the state before or the new one is found, whole."""
    folder, outcomes = tmp_path / "torn", set()
    for cut in range(1, 200):
        shutil.rmtree(folder, ignore_errors=True)
        store = Checkpoints(folder)
        store.save("step-000000001-00", {"x": torch.ones(3)}, {"n": 1})
        fuse = Fuse(cut)
        with monkeypatch.context() as patch:
            for name in OPERATIONS:
                patch.setattr(os, name, functools.partial(fuse, getattr(os, name)))
            try:
                store.save("step-000000002-00", {"x": torch.full((3,), 2.0)}, {"n": 2})
                store.tidy("step-000000002-00")
                finished = True
            except PowerCut:
                finished = False
        name = store.newest()
        tensors, state = store.load(name)
        assert torch.equal(tensors["x"], torch.full((3,), float(state["n"])))
        outcomes.add(state["n"])
        store.save("step-000000003-00", {"x": torch.ones(3)}, {"n": 3})
        store.tidy("step-000000003-00")
        assert [path.name for path in folder.iterdir()] == ["step-000000003-00"]
        if finished:
            break
    assert finished
    assert cut > 8
    assert outcomes == {1, 2}


def damaged_run(folder):
    with pytest.raises(RuntimeError, match="stop"):
        quiet(folder, checkpoint_steps=3).train(Toy(on_step=stop_at_seven), source(), [Phase(steps=9)])
    return folder / "checkpoints" / "step-000000006-00"


def stop_at_seven(step):
    if step == 7:
        raise RuntimeError("stop")


@pytest.mark.parametrize(
    ("file", "how"),
    [(file, how) for file in (TENSORS, STATE) for how in ("truncated", "garbage", "empty")]
    + [(TENSORS, "missing")],
)
def test_damage_names_folder_and_remedy(tmp_path, file, how):
    broken = damaged_run(tmp_path)
    content = (broken / file).read_bytes()
    if how == "missing":
        (broken / file).unlink()
    else:
        (broken / file).write_bytes(
            {"truncated": content[: len(content) // 2], "garbage": b"\xff" * 50, "empty": b""}[how]
        )
    with pytest.raises(InputError) as caught:
        quiet(tmp_path).train(Toy(), source(), [Phase(steps=9)])
    assert str(broken) in str(caught.value)
    assert "delete this folder" in str(caught.value)
    shutil.rmtree(broken)  # the remedy works
    rows = quiet(tmp_path).train(Toy(), source(), [Phase(steps=9)])
    assert [row["step"] for row in rows] == list(range(1, 10))


def test_draft_of_a_crash_is_ignored_and_tidied(tmp_path):
    whole = Toy()
    quiet(tmp_path / "whole").train(whole, source(), [Phase(steps=9)])
    torn = tmp_path / "torn"
    damaged_run(torn)
    draft = torn / "checkpoints" / ".step-000000009-00.123"
    draft.mkdir()
    (draft / TENSORS).write_bytes(b"half")
    (torn / ".log.jsonl.abc").write_text("half")
    toy = Toy()
    quiet(torn).train(toy, source(), [Phase(steps=9)])
    assert same(toy.weights(), whole.weights())
    assert list(torn.rglob(".*")) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=0.01),
        lambda p: torch.optim.RMSprop([{"params": p[:1], "lr": 0.1}, {"params": p[1:]}], lr=0.01),
    ],
)
def test_optimizer_state_through_json(make):
    def network():
        torch.manual_seed(0)
        return nn.Linear(3, 2)

    def move(module, optimizer, steps):
        for step in range(steps):
            optimizer.zero_grad()
            module(torch.ones(2, 3) * (step + 1)).square().sum().backward()
            optimizer.step()

    one, two = network(), network()
    first = make(list(one.parameters()))
    move(one, first, 3)
    tensors, plain = pack_optimizer("net", first.state_dict())
    tensors = {key: value.clone() for key, value in tensors.items()}
    plain = json.loads(json.dumps(plain))
    second = make(list(two.parameters()))
    two.load_state_dict(one.state_dict())
    second.load_state_dict(unpack_optimizer("net", {**tensors, "optimizer/other/0/x": torch.ones(1)}, plain))
    move(one, first, 2)
    move(two, second, 2)
    assert same(one.state_dict(), two.state_dict())


class Tied(Toy):
    """One weight under two names, within a part and across parts."""

    def __init__(self):
        super().__init__(adversary=False)
        self.other = nn.Linear(8, 1, bias=False)
        self.other.weight = self.network[4].weight

    def parts(self):
        return super().parts() | {"other": self.other}


def test_tied_weights_train_average_and_resume(tmp_path):
    phases = [Phase(steps=6, ema_decay=0.5)]
    whole = Tied()
    quiet(tmp_path / "whole").train(whole, source(), phases)
    plain = Toy(adversary=False)
    quiet(tmp_path / "plain").train(plain, source(), phases)
    assert same({k: v for k, v in whole.weights().items() if not k.startswith("other")}, plain.weights())
    assert torch.equal(whole.other.weight, whole.network[4].weight)

    torn = Tied()
    torn.on_step = lambda step: (_ for _ in ()).throw(RuntimeError("stop")) if step == 4 else None
    with pytest.raises(RuntimeError, match="stop"):
        quiet(tmp_path / "torn", checkpoint_steps=2).train(torn, source(), phases)
    again = Tied()
    quiet(tmp_path / "torn").train(again, source(), phases)
    assert same(again.weights(), whole.weights())


def test_bf16_weights_resume(tmp_path):
    class Half(Toy):
        def __init__(self, **options):
            super().__init__(norm=False, adversary=False, optimizer="sgd", **options)
            self.network.to(torch.bfloat16), self.noise.to(torch.bfloat16)

        def losses(self, batch):
            return super().losses({key: value.to(torch.bfloat16) for key, value in batch.items()}).float()

    whole = Half()
    quiet(tmp_path / "whole").train(whole, source(), [Phase(steps=9)])
    with pytest.raises(RuntimeError, match="stop"):
        quiet(tmp_path / "torn", checkpoint_steps=3).train(
            Half(on_step=stop_at_seven), source(), [Phase(steps=9)]
        )
    again = Half()
    quiet(tmp_path / "torn").train(again, source(), [Phase(steps=9)])
    assert again.network[0].weight.dtype == torch.bfloat16
    assert same(again.weights(), whole.weights())


def test_nothing_in_a_run_folder_is_a_pickle(tmp_path):
    quiet(tmp_path, checkpoint_steps=2).train(Toy(), source(), [Phase(steps=5, ema_decay=0.9)])
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".jsonl", ".safetensors"}
