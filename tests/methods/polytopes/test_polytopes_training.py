"""The census that goes along with any training loop, and the classifier's parts."""

from __future__ import annotations

import copy
import itertools
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from visus.errors import InputError
from visus.methods.polytopes import Slice, TrainingCensus, census
from visus.methods.polytopes.model.classifier import STARTS, Classifier, Hidden
from visus.methods.polytopes.training import absolute_weights, counted

BOX = (-1.0, 1.0)


def network(*widths, seed=0):
    torch.manual_seed(seed)
    layers = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def train(model, census_, epochs, *, start=1):
    """A plain loop; returns a copy of the weights after every epoch."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(100, 2, generator=generator) * 2 - 1
    y = (x.prod(1) > 0).long()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    kept = {}
    census_(start - 1)
    for epoch in range(start, epochs + 1):
        model.train()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        kept[epoch] = copy.deepcopy(model)
        census_(epoch, {"loss": float(epoch)})
    return kept


def test_a_plain_loop_records_due_epochs_of_the_weights_as_they_were():
    model = network(2, 8, 8, 2)
    first = copy.deepcopy(model)
    recorder = TrainingCensus(model, BOX, epochs=(0, 2, 5))
    kept = train(model, recorder, 6)
    assert [row["epoch"] for row in recorder.history] == [0, 2, 5]
    for row, network_then in zip(recorder.history, [first, kept[2], kept[5]]):
        cells = census(copy.deepcopy(network_then).double(), BOX)
        facets, simplices = cells.num_facets.double(), cells.num_simplices().double()
        assert row["num_cells"] == cells.num_cells
        assert row["num_facets_mean"] == pytest.approx(float(facets.mean()), rel=1e-12)
        assert row["num_simplices_max"] == simplices.max()
        assert row["num_facets_p90"] == np.sort(facets.numpy())[math.ceil(0.9 * len(facets)) - 1]
        assert row["num_simplices_at_most_7"] == pytest.approx(float((simplices <= 7).double().mean()))
        weighted = float((simplices * cells.volumes).sum() / cells.volumes.sum())
        assert row["num_simplices_mean_by_volume"] == pytest.approx(weighted, rel=1e-9)
        shares = [
            np.bincount(each.num_facets, minlength=40) / each.num_cells
            for each in (census(first, BOX), cells)
        ]
        assert row["num_facets_moved"] == pytest.approx(np.abs(shares[0] - shares[1]).sum() / 2)
    assert recorder.history[1]["loss"] == 2.0
    assert "loss" not in recorder.history[0]
    assert recorder.history[0]["num_facets_moved"] == 0.0


def test_the_network_is_left_as_it_is():
    model = nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 2))
    model.train()
    model[2].eval()
    model(torch.randn(5, 2)).sum().backward()
    gradients = [weight.grad.clone() for weight in model.parameters()]
    state, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    before = torch.get_rng_state()
    TrainingCensus(model, BOX, epochs=None)(3)
    assert torch.get_rng_state().equal(before)
    assert [module.training for module in model.modules()] == modes
    assert all(weight.dtype == torch.float32 and weight.requires_grad for weight in model.parameters())
    assert all(weight.grad.equal(kept) for weight, kept in zip(model.parameters(), gradients))
    assert all(value.equal(state[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_only_due_epochs_are_counted_and_none_counts_all(monkeypatch):
    model = network(2, 5, 2)
    calls = []
    real = counted
    monkeypatch.setattr(
        "visus.methods.polytopes.training.counted", lambda *a, **k: calls.append(1) or real(*a, **k)
    )
    some, every = TrainingCensus(model, BOX, epochs=(1,)), TrainingCensus(model, BOX, epochs=None)
    assert some(0) is None
    assert some(1)["num_cells"] == every(1)["num_cells"]
    assert every(2)["epoch"] == 2
    assert some(1) is some.history[0]
    assert len(calls) == 3


def test_a_history_in_a_file_is_gone_on_with(tmp_path):
    file = tmp_path / "deep" / "history.json"
    whole = TrainingCensus(network(2, 8, 2), BOX, epochs=None)
    train(whole.model, whole, 6)
    model = network(2, 8, 2)
    kept = train(model, TrainingCensus(model, BOX, epochs=None, file=file), 3)
    again = copy.deepcopy(kept[3])
    resumed = TrainingCensus(again, BOX, epochs=None, file=file)
    assert [row["epoch"] for row in resumed.history] == [0, 1, 2, 3]
    assert resumed(2, {"loss": 99.0})["loss"] == 2.0  # not counted again
    train(again, resumed, 6, start=4)
    assert resumed.history == whole.history
    assert resumed.to_plain() == whole.to_plain() == json.loads(file.read_text())
    other = TrainingCensus(model, BOX).load(file)
    assert other.history == whole.history
    assert other.tallies[4].distance(whole.tallies[4], "num_facets") == 0


def test_too_many_cells_are_given_up_and_said(tmp_path):
    model = network(2, 12, 12, 2)
    recorder = TrainingCensus(model, BOX, epochs=None, max_cells=5, file=tmp_path / "h.json")
    assert recorder(0, {"accuracy": 0.5}) == {"epoch": 0, "accuracy": 0.5, "given_up": "more than 5 cells"}
    assert not recorder.tallies
    recorder.max_cells = 10_000
    assert recorder(1)["num_facets_moved"] == 0.0  # the first that was counted
    assert TrainingCensus(model, BOX, file=tmp_path / "h.json").history == recorder.history
    assert counted(model, BOX, max_cells=5) is None
    assert counted(model, BOX, max_cells=census(model, BOX).num_cells) is not None


def test_rules_and_slices():
    model = network(3, 8, 8, 2)
    pull, delaunay = (TrainingCensus(model, BOX, rule=rule)(0) for rule in ("pull", "delaunay"))
    assert pull["num_cells"] == delaunay["num_cells"]
    assert pull["num_simplices_mean"] < delaunay["num_simplices_mean"]
    wide = network(20, 16, 16, 2)
    flat = Slice(torch.randn(4, 20, generator=torch.Generator().manual_seed(0)))
    row = TrainingCensus(wide, None, slice=flat, epochs=None)(0)
    assert row["num_cells"] == census(wide, slice=flat).num_cells
    assert row["volume"] == pytest.approx(np.prod(np.subtract(*flat.box[::-1])))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plain: [], "no history of censuses"),
        (lambda plain: {**plain, "rule": "delaunay"}, "rule delaunay, not pull"),
        (lambda plain: {**plain, "box": [[-9.0], [9.0]]}, "in the box"),
        (lambda plain: {**plain, "history": plain["history"] * 2}, "epochs do not fit"),
        (
            lambda plain: {**plain, "tallies": {"9": next(iter(plain["tallies"].values()))}},
            "epochs do not fit",
        ),
        (lambda plain: {**plain, "tallies": {"0": {}}}, "tally"),
        (lambda plain: {"rule": "pull"}, "no history of censuses"),
    ],
)
def test_damaged_histories_are_refused(tmp_path, change, words):
    model, file = network(2, 4, 2), tmp_path / "h.json"
    recorder = TrainingCensus(model, BOX, epochs=None, file=file)
    recorder(0)
    file.write_text(json.dumps(change(recorder.to_plain())))
    with pytest.raises(InputError, match=words):
        TrainingCensus(model, BOX, file=file)
    file.write_text("{")
    with pytest.raises(InputError, match=r"h.json.*not valid JSON"):
        TrainingCensus(model, BOX, file=file)


def test_a_smooth_network_is_refused_by_name():
    with pytest.raises(InputError, match=r"gelu.*smooth"):
        TrainingCensus(nn.Sequential(nn.Linear(2, 4), nn.GELU(), nn.Linear(4, 1)), BOX)(0)


# ---- the classifier -----------------------------------------------------------------------------------------


def slow_forward(model, x):
    """Numbers in, numbers out, one by one."""
    for layer in model.hidden:
        weight, bias = layer.linear.weight.tolist(), layer.linear.bias.tolist()
        y = [max(0.0, b + sum(w * v for w, v in zip(row, x))) for row, b in zip(weight, bias)]
        x = [a + b for a, b in zip(x, y)] if layer.shortcut else y
    weight, bias = model.head.weight.tolist(), model.head.bias.tolist()
    return [b + sum(w * v for w, v in zip(row, x)) for row, b in zip(weight, bias)]


@pytest.mark.parametrize("shortcuts", [False, True])
def test_the_classifier_against_a_slow_transcription(shortcuts):
    torch.manual_seed(0)
    model = Classifier(3, (5, 5, 4, 4), 3, bias=0.2, shortcuts=shortcuts).double()
    assert [layer.shortcut for layer in model.hidden] == [False, shortcuts, False, shortcuts]
    x = torch.randn(6, 3, dtype=torch.float64)
    expected = torch.tensor([slow_forward(model, row) for row in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)
    if not shortcuts:
        assert model.plain()(x).equal(model(x))
        assert model.plain()[0].weight is model.hidden[0].linear.weight


def test_every_start_has_its_scale_and_one_bias():
    torch.manual_seed(0)
    for init in STARTS:
        model = Classifier(300, (200,), 2, init=init, bias=0.07)
        weight = model.hidden[0].linear.weight.detach()
        variance = {"kaiming": 2 / 300, "orthogonal": 1 / 300}.get(init, 2 / 500)
        assert weight.var().item() == pytest.approx(variance, rel=0.05), init
        assert all((layer.bias == 0.07).all() for layer in model.linears())
        bounded = weight.abs().max() <= math.sqrt(3 * variance) + 1e-6
        assert bounded == (init in ("xavier_uniform", "kaiming"))
    product = weight @ weight.T
    torch.testing.assert_close(product, torch.eye(200), rtol=0, atol=1e-4)


def test_dropout_only_while_training_and_only_on_the_branch():
    layer = Hidden(4, 4, dropout=0.9, shortcut=True)
    x = torch.rand(50, 4)
    dropped = layer.train()(x) == x
    assert 0.8 < dropped.double().mean() <= 1
    assert layer.eval()(x).equal(x + torch.relu(layer.linear(x)))


def test_absolute_weights_leave_biases_out():
    model = Classifier(2, (3,), 2, bias=100.0)
    expected = sum(layer.weight.abs().sum() for layer in model.linears())
    assert absolute_weights(model).item() == pytest.approx(expected.item())
