"""The contrastive loss, and a small CLIP that learns to recognize kinds it never saw by what is said of them."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import pytest
import torch

from visus.engine import Run
from visus.errors import InputError
from visus.methods.vgloss import ClassTexts, VGlossClassifier, VGlossConfig
from visus.methods.vgloss.baselines import shuffled
from visus.methods.vgloss.estimator.example import captioned
from visus.methods.vgloss.losses import contrastive
from visus.methods.vgloss.model.builder import EmptyClassWarning
from visus.methods.vgloss.training import Captioned


def test_without_equal_captions_sharing_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    images, texts = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    alone = contrastive(images, texts, 3.0)
    assert torch.equal(alone, contrastive(images, texts, 3.0, torch.eye(5, dtype=torch.bool)))
    assert torch.allclose(alone, contrastive(texts, images, 3.0)), "symmetric"
    with pytest.raises(InputError, match="one caption per picture"):
        contrastive(images, texts[:3], 1.0)


def test_equal_captions_leave_no_loss_that_nothing_lowers():
    """Two pictures with one caption, perfectly embedded: shared targets reach their bound, the entropy log 2 of a
    row that has two right answers; as negatives of each other they pay the same and pull at the pictures."""
    rows = torch.eye(3, dtype=torch.float64)[[0, 0, 1, 2]].requires_grad_()
    same = torch.tensor([[i == j or {i, j} == {0, 1} for j in range(4)] for i in range(4)])
    shared = contrastive(rows, rows, 50.0, same)
    assert float(shared.detach()) == pytest.approx(math.log(2) / 2, abs=1e-6)
    apart = torch.tensor([[1.0, 0, 0], [0.99, 0.14, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    texts = torch.eye(3, dtype=torch.float64)[[0, 0, 1, 2]]
    together = torch.eye(3, dtype=torch.float64)[[0, 0, 1, 2]]
    assert contrastive(together, texts, 10.0, same) < contrastive(apart, texts, 10.0, same)


def test_pictures_are_read_again_where_they_are_not_kept():
    source = VGlossClassifier.example("train").subset(range(6))
    tokens, count = torch.zeros(6, 1, 3, dtype=torch.long), torch.ones(6, dtype=torch.long)
    image = source["image"]
    kept = Captioned(source, tokens, count, size=32, kept=(image * 255).round().byte())
    read = Captioned(source, tokens, count, size=32)
    assert torch.equal(kept.batch([4, 1])["image"], read.batch([4, 1])["image"])
    assert kept.batch([4, 1])["index"].tolist() == [4, 1]
    other = Captioned(source, tokens + 1, count, size=32)
    assert read.fingerprint() != other.fingerprint()


@pytest.mark.slow
def test_kinds_no_caption_spoke_of_are_recognized_by_descriptions_alone():
    """Eight-fold above chance by attributes; at chance by coined names and by another kind's attributes."""
    train = captioned("train", 1200, unseen=24, seed=90_010)
    test = captioned("test", 240, unseen=24, seed=90_010)
    config = replace(VGlossConfig(), epochs=12)
    model = VGlossClassifier(config).fit(train, Run(device="cpu", progress=False, seed=90_010))
    assert model.score(test) > 8 / 24
    told = dict(zip(train.classes.names, train.classes.normal))
    assert model.rebuild(shuffled(told)).score(test) < 3 / 24
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyClassWarning)
        assert model.rebuild(ClassTexts.of(list(told))).score(test) < 3 / 24
