"""The laws hold for this implementation, and each of them would be missed if it were broken."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from visus.engine import Run
from visus.errors import MissingExtra
from visus.methods.chestxray import losses, model, training
from visus.methods.chestxray.claims import laws
from visus.methods.chestxray.claims.statements import LAWS

RUN = {"device": "cpu", "progress": False}
COUNTED = {"parameters", "fusion_width"}


@pytest.fixture
def run() -> Run:
    return Run(seed=0, **RUN)


def test_every_law_has_its_claim():
    assert {claim.metric for claim in LAWS} == set(laws.STATED)


def test_laws_hold(run, monkeypatch):
    monkeypatch.setattr(laws, "published_counts", dict)
    found = laws.measured(run)
    assert found == {name: value for name, value in laws.STATED.items() if name not in COUNTED}


def test_published_counts():
    pytest.importorskip("monai", reason="DenseNet-201 is built by MONAI")
    assert laws.published_counts() == {name: laws.STATED[name] for name in COUNTED}


def test_counts_are_unknown_without_monai(monkeypatch):
    def absent(name, weights=None):
        raise MissingExtra("no MONAI")

    monkeypatch.setattr(model, "build_backbone", absent)
    assert all(math.isnan(value) for value in laws.published_counts().values())


# ---- broken implementations are found ---------------------------------------------------------------------


def test_a_softmax_over_rows_is_found(monkeypatch):
    honest = laws.small_network

    class Rows(nn.Module):
        def __init__(self, head):
            super().__init__()
            self.head = head

        def forward(self, maps):
            return self.head(maps).log_softmax(2)

    def broken():
        net = honest()
        net.saliency = Rows(net.saliency)
        return net

    monkeypatch.setattr(laws, "small_network", broken)
    assert laws.network_laws()["density_error"] > 1


def test_padding_that_keeps_probability_is_found(monkeypatch):
    from visus.methods.chestxray.model import network

    monkeypatch.setattr(network, "crop", lambda maps, size: maps)
    with pytest.raises(RuntimeError):
        laws.network_laws()


def test_live_statistics_are_found(monkeypatch):
    honest = laws.small_network
    monkeypatch.setattr(nn.Module, "eval", lambda self: self)
    with torch.random.fork_rng():
        assert laws.network_laws()["neighbor_error"] > 1e-3
    assert honest is laws.small_network


@pytest.mark.parametrize("fault", ["swapped", "mean", "unmasked"])
def test_a_wrong_saliency_loss_is_found(fault, monkeypatch):
    honest = losses.saliency_kl

    def broken(log_density, gaze, has_gaze):
        if fault == "mean":
            return honest(log_density, gaze, has_gaze) / gaze[0].numel()
        if fault == "swapped":
            p = gaze.clamp(min=1e-30)
            return (log_density.exp() * (log_density - p.log())).sum((1, 2))
        return honest(log_density, gaze + 1e-3, torch.ones_like(has_gaze))

    monkeypatch.setattr(losses, "saliency_kl", broken)
    found = laws.loss_laws()
    assert max(abs(found["kl_loop_error"]), found["missing_gaze"]) > 1e-3


def test_uncertainty_without_its_offset_is_found(monkeypatch):
    class Plain(nn.Module):
        def forward(self, diagnosis, gaze):
            return diagnosis + gaze

    monkeypatch.setattr(losses, "UncertaintyWeighting", Plain)
    assert abs(laws.loss_laws()["uncertainty_error"]) > 0.1


def test_a_triplet_loss_along_another_axis_is_found(monkeypatch):
    honest = losses.triplet

    def broken(embedding, labels, **options):
        return honest(embedding[:, :2], labels, **options)

    monkeypatch.setattr(losses, "triplet", broken)
    assert abs(laws.triplet_laws()["triplet_error"]) > 1e-3


def test_looped_triplets_by_hand():
    embedding, labels = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1])
    # anchor 0: 1 - 3 + 1; anchor 1: 1 - 2 + 1; both 0 at margin 1, 1 and 2 at margin 3
    assert laws.looped_triplets(embedding, labels, margin=1.0) == 0.0
    assert laws.looped_triplets(embedding, labels, margin=3.0) == pytest.approx(1.5)


def test_a_thawed_encoder_is_found(run, monkeypatch):
    """The released code leaves the frozen encoder's statistics alive."""
    from visus.methods.chestxray.training import staged

    def statistics_live(groups, trains):
        for name, modules in groups.items():
            for module in modules:
                module.train()
                module.requires_grad_(name in trains)

    assert training.freeze is staged.freeze
    monkeypatch.setattr(staged, "freeze", statistics_live)
    monkeypatch.setattr(nn.Module, "eval", lambda self: self)
    assert laws.changed_in(run, ("saliency",), {"dense"}) > 0


def test_a_stage_that_trains_nothing_proves_nothing(run, monkeypatch):
    monkeypatch.setattr(laws, "copies", lambda modules: [])
    assert math.isnan(laws.changed_in(run, ("saliency",), {"dense"}))


def test_counting_bytes_is_found(monkeypatch):
    """Counts of 200 in eight signed bits are -56."""
    from visus.data.gaze import density

    honest = density.density_map

    def wrapped(fixations, **options):
        rows = torch.as_tensor(fixations)
        return honest(rows[-57:] if len(rows) > 128 else rows, **options)

    monkeypatch.setattr(density, "density_map", wrapped)
    assert abs(laws.map_laws()["wrapped_mass"]) > 100


def test_blur_in_shrunken_pixels_is_found(monkeypatch):
    from visus.data.gaze import density

    honest = density.density_map

    def unscaled(fixations, *, native, size, sigma_px, **options):
        return honest(fixations, native=native, size=size, sigma_px=sigma_px * native[1] / size[1], **options)

    monkeypatch.setattr(density, "density_map", unscaled)
    assert laws.map_laws()["spread_error"] > 0.5


def test_weights_that_are_lost_are_found(monkeypatch):
    from visus.data.gaze import density

    honest = density.density_map
    monkeypatch.setattr(
        density,
        "density_map",
        lambda fixations, **options: honest(fixations, **{**options, "weight": "count"}),
    )
    assert laws.map_laws()["duration_mass_error"] > 1
