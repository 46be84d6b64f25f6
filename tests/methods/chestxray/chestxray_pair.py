"""One of several processes that train in float64: `python chestxray_pair.py FOLDER`, with torchrun's variables set."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from chestxray_samples import small
from test_chestxray_training import network, noise

from visus.engine import Run
from visus.methods.chestxray.training import StagedTraining, phases, plan

SETTINGS = ("batch_size=15", "contrastive_batch=15", "final_batch=15", "dropout=0.0", "learning_rate=0.0003")


def main(folder: Path) -> None:
    """Train through all stages on noise, a third of it without gaze; the log stays in the folder."""
    torch.set_num_threads(1)
    config, items = small(*SETTINGS), noise(40, side=64, seen=[True, True, False, True] * 10)
    fields = items.source.fields  # type: ignore[attr-defined]
    fields |= {name: value.double() for name, value in fields.items() if value.is_floating_point()}
    net = network(config).double()
    stages = plan(config, net.groups(), gaze=True)
    training = StagedTraining(net, stages, config, weights=torch.tensor([1.0, 2.0, 0.5]))
    assert training.weighting is not None
    training.weighting.double()
    run = Run(folder, progress=False, device="cpu")
    unseen = {stage.name: False for stage in stages}
    run.train(training, items, phases(stages, config, items=40, validated=unseen))
    run.accelerator.wait_for_everyone()
    run.accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
