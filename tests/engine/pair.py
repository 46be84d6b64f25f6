"""What two processes do together, for torchrun: train toys, normalize batches, write the results."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from toy import Toy, source

from visus.engine import Run
from visus.errors import Interrupted
from visus.nn.norms import SyncedBatchNorm, sync_batch_norm
from visus.protocols import Phase

PLAIN = Phase(epochs=3, batch_size=8, ema_decay=0.9, clip_norm=1.0, schedule="cosine")


class Weighted(Toy):
    """Weighs items, so that the sums of weights differ between processes."""

    def step(self, batch, turn):
        loss = turn.mean(self.losses(batch), batch["y"].abs())
        turn.update("network", loss)
        return {"loss": loss}


class Uneven(Toy):
    """One parameter is reached only by batches that hold item 0, one by none, one by all."""

    def __init__(self, **options):
        super().__init__(adversary=False, **options)
        self.extra = nn.ParameterDict({name: nn.Parameter(torch.ones(1)) for name in ("some", "none")})

    def parts(self):
        return super().parts() | {"extra": self.extra}

    def optimizers(self):
        weights = [*self.network.parameters(), *self.extra.parameters()]
        return {"network": torch.optim.AdamW(weights, lr=0.01, weight_decay=0.5)}

    def step(self, batch, turn):
        losses = self.losses(batch)
        first = batch["index"] == 0
        if first.any():
            losses = losses + first * self.extra["some"]
        loss = turn.mean(losses)
        turn.update("network", loss)
        return {"loss": loss}


def indexed(n: int):
    data = source(n)
    data.fields["index"] = torch.arange(n)
    return data


CASES = {
    # 50 = 6 x 8 + 2, 53 = 6 x 8 + 5: also the last batch is shared out, once unevenly
    "batch norm, adversary, even rest": (lambda: Toy(dropout=0.0), 50, PLAIN),
    "batch norm, adversary, uneven rest": (lambda: Toy(dropout=0.0), 53, PLAIN),
    "weighted mean": (lambda: Weighted(dropout=0.0, adversary=False), 53, PLAIN),
    "accumulation": (
        lambda: Toy(dropout=0.0, norm=False, adversary=False),
        53,
        Phase(epochs=2, batch_size=12, accumulate=2, clip_norm=0.5),
    ),
    "unreached parameters": (lambda: Uneven(dropout=0.0, norm=False), 53, Phase(epochs=2, batch_size=8)),
}


def norm_of(toy: Toy) -> float:
    return toy.network[0].weight.norm().item()


def train(case: str, folder: Path | None) -> tuple[Toy, list[dict]]:
    """One case, with a score of the weights at every check."""
    make, items, phase = CASES[case]
    toy = make()
    run = Run(folder, device="cpu", progress=False)
    rows = run.train(toy, indexed(items), [phase], check=lambda: {"norm": norm_of(toy)})
    return toy, rows


def norm_inputs(rank: int, world: int, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """This process's (uneven) share of a joint batch with a large mean, and of its gradient."""
    generator = torch.Generator().manual_seed(0)
    x = 50.0 + torch.randn(shape, generator=generator, dtype=torch.float64)
    gradient = torch.randn(shape, generator=generator, dtype=torch.float64)
    cut = slice(0, 2) if rank == 0 else slice(2, None)
    return (x, gradient) if world == 1 else (x[cut], gradient[cut])


NORMS = {
    "1d": (lambda: nn.BatchNorm1d(3), (5, 3)),
    "1d with length": (lambda: nn.BatchNorm1d(3, momentum=None), (5, 3, 4)),
    "2d": (lambda: nn.BatchNorm2d(3, eps=1e-2, momentum=0.3), (5, 3, 2, 4)),
    "3d without weights": (lambda: nn.BatchNorm3d(3, affine=False), (5, 3, 2, 2, 2)),
    "no running statistics": (lambda: nn.BatchNorm2d(3, track_running_stats=False), (5, 3, 2, 2)),
}


def normalize(name: str, rank: int, world: int) -> dict[str, torch.Tensor]:
    """Two forward passes and a backward pass: outputs, gradients, buffers."""
    make, shape = NORMS[name]
    torch.manual_seed(1)
    module = nn.Sequential(make()).double()
    for weight in module.parameters():
        nn.init.uniform_(weight, 0.5, 1.5)
    if world > 1:
        sync_batch_norm(module)
        assert isinstance(module[0], SyncedBatchNorm)
    x, gradient = norm_inputs(rank, world, shape)
    x = x.clone().requires_grad_()
    module(x.detach() * 2 + 1)
    out = module(x)
    out.backward(gradient)
    found = {"out": out.detach(), "input gradient": x.grad, "evaluated": module.eval()(x).detach()}
    if module[0].track_running_stats is False:
        del found["evaluated"]  # uses the statistics of its own share
    found |= {f"gradient {key}": weight.grad for key, weight in module.named_parameters()}
    return found | {f"state {key}": value for key, value in module.state_dict().items()}


class Stopping(Toy):
    """Process 1 alone is told to stop in step 4."""

    def step(self, batch, turn):
        if self.rank == 1 and turn.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().step(batch, turn)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    rank = Run(folder / "none", device="cpu").accelerator.process_index
    for case in CASES:
        toy, rows = train(case, folder / "runs" / case)
        losses = torch.tensor([row["loss"] for row in rows if "loss" in row])
        save_file({**toy.weights(), "losses": losses}, folder / f"{case}.{rank}.safetensors")
    for name in NORMS:
        found = {key: value.contiguous() for key, value in normalize(name, rank, 2).items()}
        save_file(found, folder / f"norm {name}.{rank}.safetensors")
    toy = Stopping(dropout=0.0)
    toy.rank = rank
    try:
        Run(folder / "stopped", device="cpu", progress=False).train(toy, source(), [PLAIN])
    except Interrupted:
        (folder / f"interrupted.{rank}").touch()
    toy = Toy(dropout=0.0)
    Run(folder / "stopped", device="cpu", progress=False).train(toy, source(), [PLAIN])
    save_file(toy.weights(), folder / f"resumed.{rank}.safetensors")
    best = Phase(epochs=2, batch_size=8, monitor="norm")  # loads the best checkpoint on every process
    temporary, toy = Run(device="cpu", progress=False), Toy(dropout=0.0)
    temporary.train(toy, source(), [best], check=lambda: {"norm": norm_of(toy)})
    (folder / f"temporary.{rank}").write_text(str(temporary.folder))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
