"""What priors learn from: sequences, models on disk, cells; priors that are trained, kept and read again."""

from __future__ import annotations

import json
import math
import os
import signal
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from visus.data.corpora.architecture_table import ArchitectureTable
from visus.data.corpora.nasbench101 import Cell, Evaluation
from visus.data.corpora.nasbench201 import OPERATIONS
from visus.engine import Run
from visus.errors import InputError, Interrupted
from visus.methods.gptnas.model import (
    BLOCKS,
    BOS,
    EOS,
    PAD,
    BlockNetwork,
    Vocabulary,
    trace,
    zoo_architecture,
)
from visus.methods.gptnas.model.gpt import LayerGPT, next_token_loss
from visus.methods.gptnas.search import Space, TabulatedPrior
from visus.methods.gptnas.training.cells import Share, load_cells, save_cells
from visus.methods.gptnas.training.corpora import (
    body,
    operation_layers,
    read_model,
    read_models,
    sequences_101,
    sequences_201,
)
from visus.methods.gptnas.training.prior import PriorRecipe, TrainedPrior, network_space, split, train_prior
from visus.methods.gptnas.training.sequences import LayerTraining, beginnings, next_layer_loss, windows

RECIPE = PriorRecipe(
    networks=("resnet18", "googlenet", "shufflenet_v2_x0_5"),
    width=16,
    depth=1,
    heads=2,
    epochs=4,
    learning_rate=3e-3,
    chooser_width=16,
    chooser_epochs=4,
)


def run(folder: Any, **options: Any) -> Run:
    return Run(folder, device="cpu", progress=False, **options)


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> TrainedPrior:
    return train_prior(RECIPE, run(tmp_path_factory.mktemp("prior")))


# ---- sequences --------------------------------------------------------------------------------------------


def test_windows_are_every_token_with_those_before_it():
    sequences = [[1, 7, 8, 9, 2], [1, 5, 2]]
    found = windows(sequences, window=3, padding=0)
    rows = zip(found["context"].tolist(), found["place"].tolist(), found["target"].tolist())
    assert [(context[: place + 1], target) for context, place, target in rows] == [
        ([1], 7),
        ([1, 7], 8),
        ([1, 7, 8], 9),
        ([7, 8, 9], 2),
        ([1], 5),
        ([1, 5], 2),
    ]


def test_the_loss_over_windows_is_that_of_whole_sequences():
    """Equation 2: items are the terms of the sum over the layers of a network."""
    torch.manual_seed(0)
    gpt = LayerGPT(9, width=8, depth=2, heads=2, window=4).double()
    sequence = [1, 7, 8, 5, 5, 6, 8, 7, 2]
    items = windows([sequence], window=4, padding=0)
    losses = next_layer_loss(gpt(items["context"]), items["place"], items["target"])
    tokens = torch.tensor([sequence])
    torch.testing.assert_close(losses.mean(), next_token_loss(gpt(tokens), tokens))
    logits = gpt(tokens)[0].detach()
    by_hand = [
        -float(logits[i, goal]) + math.log(sum(math.exp(x) for x in logits[i].tolist()))
        for i, goal in enumerate(sequence[1:])
    ]
    torch.testing.assert_close(losses.detach(), torch.tensor(by_hand, dtype=torch.float64))


def test_beginnings_are_filled_up_on_the_left():
    found = beginnings([((1, 5, 6, 7), 8, 3), ((1,), 5, 2)], window=3, padding=0)
    assert found["context"].tolist() == [[5, 6, 7], [0, 0, 1]]
    assert found["layer"].tolist() == [8, 5]
    assert found["block"].tolist() == [3, 2]


# ---- networks ---------------------------------------------------------------------------------------------


def test_the_body_of_a_network_ends_before_its_classifier():
    whole = zoo_architecture("resnet18")
    part = body(whole)
    assert [layer.family for layer in whole.layers[len(part.layers) :]] == ["pool", "other", "fc"]
    assert part.layers == whole.layers[: len(part.layers)]
    assert [name for name, _, _ in part.blocks] == [name for name, _, _ in whole.blocks][:-1]
    vector = trace(nn.Linear(4, 2), (4,), name="vector")
    assert body(vector) is vector


def test_models_on_disk_are_read_and_python_is_not_executed(tmp_path):
    record = trace(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), (1, 8, 8), name="small")
    (tmp_path / "a.json").write_text(json.dumps(record.to_plain()))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.txt").write_text(record.to_text())
    (tmp_path / "evil.py").write_text("raise SystemExit")
    (tmp_path / "weights.pt").write_bytes(b"")
    assert read_models(tmp_path) == [record, record]
    with pytest.raises(InputError, match="not executed"):
        read_model(tmp_path / "evil.py")
    with pytest.raises(InputError, match=r"absent\.json: does not exist"):
        read_model(tmp_path / "absent.json")
    (tmp_path / "deep" / "b.txt").write_text("architecture nonsense")
    with pytest.raises(InputError, match=r"b\.txt: line 1"):
        read_models(tmp_path)
    (tmp_path / "only").mkdir()
    with pytest.raises(InputError, match="holds no models"):
        read_models(tmp_path / "only")


def onnx_model(path: Any, size: list[Any]) -> None:
    """A convolution and a ReLU, as an ONNX file."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weight = helper.make_tensor("w", kind, [4, 2, 3, 3], np.ones(72, dtype=np.float32))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    ends = [helper.make_tensor_value_info(name, kind, shape) for name, shape in (("x", size), ("z", None))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))


def test_an_onnx_file_becomes_a_record(tmp_path):
    onnx_model(tmp_path / "net.onnx", ["n", 2, 6, 5])
    found = read_model(tmp_path / "net.onnx")
    assert [layer.name or layer.family for layer in found.layers] == ["conv", "ReLU"]
    assert found.input_size == (2, 6, 5)
    assert found.name == "net"
    onnx_model(tmp_path / "open.onnx", ["n", 2, "h", "w"])
    with pytest.raises(InputError, match="size of the pictures"):
        read_model(tmp_path / "open.onnx")
    assert read_model(tmp_path / "open.onnx", input_size=(2, 7, 7)).layers[1].out_size == (4, 7, 7)


# ---- cells ------------------------------------------------------------------------------------------------


def ran(name: str, validation: float, operations: tuple[str, ...]) -> Cell:
    count = len(operations)
    chain = tuple(tuple(int(j == i + 1) for j in range(count)) for i in range(count))
    end = Evaluation(epoch=108, seconds=1.0, train=1.0, validation=validation, test=validation)
    return Cell(
        hash=name,
        epochs=108,
        adjacency=chain,
        operations=operations,
        parameters=1,
        seconds=1.0,
        evaluations=(end,),
    )


def test_cells_of_101_are_kept_by_their_mean_accuracy():
    good, mixed = ("input", "conv3x3-bn-relu", "output"), ("input", "maxpool3x3", "output")
    runs = [ran("a", 0.95, good), ran("b", 0.97, mixed), ran("b", 0.80, mixed), ran("a", 0.89, good)]
    (layers,) = sequences_101(runs)
    assert [layer.name or layer.family for layer in layers][:3] == ["conv", "BatchNorm2d", "ReLU"]
    assert not any(layer.family == "fc" for layer in layers)
    assert len(sequences_101(runs, least=0.88)) == 2
    assert any(layer.family == "pool" for layer in sequences_101(runs, least=0.88)[1])


def table(count: int = 5) -> ArchitectureTable:
    """A space of two places; fitness grows with the row."""
    rows = np.arange(count**2, dtype=np.float64)
    return ArchitectureTable(
        name="small", symbols=OPERATIONS[:count], length=2, fitness=rows.copy(), score=rows.copy()
    )


def test_cells_of_201_are_written_edge_by_edge():
    found = sequences_201(table(), [(3, 4), (0, 1), (1, 2)])
    names = [[layer.name or layer.type or layer.family for layer in layers] for layers in found]
    assert names == [["ReLU", "conv", "BatchNorm2d", "AVG"], ["ReLU", "conv", "BatchNorm2d"]]
    assert found[0][1].kernel == (3, 3)
    with pytest.raises(InputError, match="nor_conv_3x3"):
        operation_layers("nor_conv_5x5")


@pytest.mark.parametrize("text", ["cifar10", "cifar10:best10", "cifar10:top0", "cifar10:top101", ":top10"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(InputError, match="cifar10:top10"):
        Share.parse(text)


def test_shares_are_the_best_and_the_worst_by_fitness():
    assert Share.parse("a:top20").of(table()).tolist() == [[4, 4], [4, 3], [4, 2], [4, 1], [4, 0]]
    assert Share.parse("a:bottom8").of(table()).tolist() == [[0, 0], [0, 1]]
    assert str(Share.parse("a:bottom2.5")) == "a:bottom2.5"


def test_a_table_prior_survives_its_folder(tmp_path):
    space = Space("small", ("a", "b"), 3, 3)
    draws = np.random.default_rng(0)
    levels = tuple(draws.dirichlet([1.0, 1.0], size=2**i) for i in range(3))
    save_cells(TabulatedPrior(space, levels, 0.25), tmp_path / "p", {"corpus": "x"})
    again = load_cells(tmp_path / "p", space)
    assert again.information == 0.25
    assert np.array_equal(again.distribution((1, 0)), levels[2][2])
    with pytest.raises(InputError, match="not of other"):
        load_cells(tmp_path / "p", Space("other", ("a", "b", "c"), 3, 3))
    with pytest.raises(InputError, match="not a folder"):
        load_cells(tmp_path / "q", space)
    (tmp_path / "p" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match=r"model\.safetensors: cannot be read"):
        load_cells(tmp_path / "p", space)
    with pytest.raises(InputError, match="holds a prior of cells"):
        TrainedPrior.load(tmp_path / "p")


# ---- priors over blocks -----------------------------------------------------------------------------------


def test_held_out_networks_are_not_learned_from():
    kept, aside = split(list("abcdefghij"), 0.2, 3, "letters")
    assert sorted(kept + aside) == list("abcdefghij")
    assert len(aside) == 2
    assert split(list("abcdefghij"), 0.2, 3, "letters") == (kept, aside)
    assert split(list("abcdefghij"), 0.2, 4, "letters") != (kept, aside)
    assert [len(part) for part in split("ab", 0.9, 0, "letters")] == [1, 1]
    with pytest.raises(InputError, match="two or more"):
        split("a", 0.5, 0, "networks")


def test_training_teaches_and_says_what_it_knows(prior, tmp_path):
    blind = train_prior(PriorRecipe(**{**vars(RECIPE), "epochs": 1, "learning_rate": 1e-9}), run(tmp_path))
    assert prior.information["stage-2"] > 0.3
    assert blind.information["stage-2"] == pytest.approx(0.0, abs=0.15)
    assert len(prior.facts["networks"]) == 2
    assert set(prior.facts["networks"]) | set(prior.facts["held_out"]) == set(RECIPE.networks)


def test_the_prior_is_a_distribution_over_blocks_and_the_end(prior):
    over = prior.over(network_space(least=2, most=5))
    for prefix in ((), (7,), (7, 7, 3), (14, 12, 13, 2)):
        p = over.distribution(prefix)
        assert p.shape == (len(BLOCKS) + 1,)
        assert p.sum() == pytest.approx(1.0)
        assert (p >= 0).all()
    fixed = prior.over(network_space(least=3, most=3))
    assert fixed.distribution(()).shape == (len(BLOCKS),)
    assert over.information == prior.information["stage-2"]
    with pytest.raises(InputError, match="tiny"):
        prior.over(Space("tiny", ("a", "b"), 1, 2))


def test_prefixes_are_the_layers_of_the_network_they_begin(prior):
    individual = (14, 7, 2, 10)
    net = BlockNetwork(individual, in_channels=3, num_classes=2, image_size=1024, width=16, stages=2)
    layers = body(net.architecture()).layers
    tokens = prior.expand(individual, length=4, stages=2)
    assert tokens == [BOS, *prior.vocabulary.tokens(layers)]
    assert (
        prior.expand((14, 7), length=4, stages=2) == tokens[: len(prior.expand((14, 7), length=4, stages=2))]
    )
    assert prior.expand((), length=4, stages=2) == [BOS]


def test_a_prior_survives_its_folder(prior, tmp_path):
    prior.save(tmp_path / "p")
    again = TrainedPrior.load(tmp_path / "p")
    space = network_space(least=2, most=4)
    assert again.recipe == prior.recipe
    assert np.array_equal(again.over(space).distribution((3, 1)), prior.over(space).distribution((3, 1)))
    assert again.over(space).information == prior.information["stage-2"]
    content = json.loads((tmp_path / "p" / "prior.json").read_text())
    assert content["held_out"] == prior.facts["held_out"]
    (tmp_path / "p" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="train the prior again"):
        TrainedPrior.load(tmp_path / "p")
    with pytest.raises(InputError, match="saved prior"):
        TrainedPrior.load(tmp_path / "absent")


def test_two_stages_share_a_vocabulary_and_the_first_changes_the_second(prior, tmp_path):
    cells = sequences_201(table(), table().architectures().tolist())
    found = train_prior(RECIPE, run(tmp_path), stage1=cells)
    assert set(found.information) == {"stage-1", "stage-2"}
    assert found.facts["stage_1"] == len(cells)
    assert found.information["stage-2"] != prior.information["stage-2"]
    word = Vocabulary([*found.vocabulary.words]).token(operation_layers("nor_conv_3x3")[1])
    assert word > EOS > BOS > PAD


def test_models_of_the_user_join_the_second_stage(prior, tmp_path):
    odd = trace(nn.Sequential(nn.Conv2d(3, 5, 7), nn.Mish(), nn.Conv2d(5, 5, 1)), (3, 16, 16), name="mine")
    found = train_prior(RECIPE, run(tmp_path), models=[odd])
    assert "mine" in [*found.facts["networks"], *found.facts["held_out"]]
    assert len(found.vocabulary) > len(prior.vocabulary)


def test_an_interrupted_prior_resumes_to_the_same_bits(prior, tmp_path, monkeypatch):
    own, steps = LayerTraining.step, []

    def stopped(self: Any, batch: Any, turn: Any) -> Any:
        steps.append(turn.step)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return own(self, batch, turn)

    monkeypatch.setattr(LayerTraining, "step", stopped)
    with pytest.raises(Interrupted):
        train_prior(RECIPE, run(tmp_path))
    again = train_prior(RECIPE, run(tmp_path))
    assert steps == list(range(len(steps)))
    assert again.information == prior.information
    for one, other in zip(again.parts().values(), prior.parts().values(), strict=True):
        for (name, value), expected in zip(
            one.state_dict().items(), other.state_dict().values(), strict=True
        ):
            assert torch.equal(value, expected), name
