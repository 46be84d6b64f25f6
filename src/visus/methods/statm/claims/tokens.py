"""Predictors on tokens that tell a place but no speed: what memory alone is worth, without any perception."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.data.formats.arrays import write_arrays
from visus.methods.statm.claims.balls import BALLS, roll_balls
from visus.protocols import Scores, Trial

if TYPE_CHECKING:
    from visus.methods.statm.model.predictors import Predictor

SIZE, HEADS, HIDDEN = 64, 4, 128
CONTEXT, HORIZON = 8, 6
"""Frames that are seen before a prediction, and steps of a roll-out."""
SCALE = 0.04
"""Typical step of a ball; networks predict steps in this unit."""
LEARNING_RATE = 2e-3
FIRST_SEED = 200
"""Sizes were chosen on other seeds: claims are measured on seeds from here on."""
KEPT = 200
"""Clips of the first seed whose roll-outs are kept to be drawn."""
Places = Float[Tensor, "b t k 2"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long and on how much an arm is trained and judged."""

    steps: int
    batch: int
    pool: int
    """Clips that training draws from."""
    test: int


BUDGETS: Mapping[str, Budget] = {
    "smoke": Budget(steps=3, batch=8, pool=16, test=16),
    "demo": Budget(steps=230, batch=24, pool=2048, test=512),
    "gpu": Budget(steps=3000, batch=64, pool=32_768, test=4096),
    "paper": Budget(steps=3000, batch=64, pool=32_768, test=4096),
}


class TokenDynamics(nn.Module):
    """Where the balls are next: token = W (x, y, which ball), step = V predictor(tokens so far).

    Parameters
    ----------
    predictor : on tokens of `predictor.size` numbers.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor
        self.embed = nn.Linear(2 + BALLS, predictor.size)
        self.step = nn.Linear(predictor.size, 2)

    def tokens(self, places: Places) -> Float[Tensor, "b t k d"]:
        """Centered places and identities, embedded."""
        names = torch.eye(BALLS, device=places.device).expand(*places.shape[:2], -1, -1)
        return self.embed(torch.cat([4 * (places - 0.5), names], dim=-1))

    def forward(self, places: Places) -> Places:
        """After every frame, the places in the next one, from that frame and those before."""
        return places + SCALE * self.step(self.predictor.parallel(self.tokens(places)))

    def roll_out(self, places: Places, steps: int) -> Places:
        """The next `steps` frames after the given ones; predicted places are what later steps remember."""
        b, _, k, _ = places.shape
        memory = self.predictor.start(b, k, device=places.device, dtype=places.dtype)
        predicted, memory = self.predictor.advance(self.tokens(places), memory)
        last, made = places[:, -1:], []
        for _ in range(steps):
            last = last + SCALE * self.step(predicted[:, -1:])
            made.append(last)
            predicted, memory = self.predictor.advance(self.tokens(last), memory)
        return torch.cat(made, dim=1)


ARMS: Mapping[str, Mapping[str, Any]] = {
    "savi": {"kind": "savi"},
    "mlp": {"kind": "mlp"},
    "lstm": {"kind": "lstm"},
    "cs": {"kind": "statm"},
    "cs_2": {"kind": "statm", "buffer": 2},
    "cs_time": {"kind": "statm", "time_positions": "learned"},
    "as": {"kind": "statm", "time": "all"},
    "as_time": {"kind": "statm", "time": "all", "time_positions": "learned"},
    "sum": {"kind": "statm"},
    "space_then_time": {"kind": "statm", "fusion": "space_then_time"},
    "time_then_space": {"kind": "statm", "fusion": "time_then_space"},
    "shared_residual": {"kind": "statm", "fusion": "shared_residual"},
    "buffer_1": {"kind": "statm", "buffer": 1},
    "buffer_2": {"kind": "statm", "buffer": 2},
    "buffer_6": {"kind": "statm", "buffer": 6},
    "buffer_2_time": {"kind": "statm", "buffer": 2, "time_positions": "learned"},
    "all_time": {"kind": "statm", "time_positions": "learned"},
    "all_sin": {"kind": "statm", "time_positions": "sin"},
    "slotformer": {"kind": "slotformer"},
    "ocvp": {"kind": "ocvp_seq"},
}
"""What an arm gives to `build_predictor`."""


def predictor_of(arm: str) -> Predictor:
    """The predictor that an arm trains."""
    from visus.methods.statm.baselines import build_predictor

    return build_predictor(size=SIZE, heads=HEADS, qkv=SIZE, hidden=HIDDEN, **ARMS[arm])


def train_tokens(
    model: TokenDynamics, budget: Budget, *, seed: int, device: torch.device | str
) -> list[float]:
    """Teacher-forced training on every frame of clips as long as a roll-out; the loss of every step.

    Adam, warm-up over a tenth of the steps, then cosine to zero.
    """
    clips = roll_balls(budget.pool, CONTEXT + HORIZON, seed=seed).to(device)
    draws = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    warm = max(1, budget.steps // 10)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=warm),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, budget.steps - warm + 1),
        ],
        milestones=[warm],
    )
    losses = []
    for _ in range(budget.steps):
        batch = clips[torch.randint(budget.pool, (budget.batch,), generator=draws).to(device)]
        loss = ((model(batch[:, :-1]) - batch[:, 1:]) / SCALE).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses


@torch.inference_mode()
def judge(model: Callable[[Places, int], Places], clips: Places) -> Scores:
    """`one_step` and `roll_out`: root mean square error of a coordinate, box widths, after `CONTEXT` frames."""
    made = model(clips[:, :CONTEXT], HORIZON)
    error = (made - clips[:, CONTEXT:]).square()
    return {"one_step": float(error[:, 0].mean().sqrt()), "roll_out": float(error.mean().sqrt())}


def copy(places: Places, steps: int) -> Places:
    """Nothing moves."""
    return places[:, -1:].expand(-1, steps, -1, -1)


def same_speed(places: Places, steps: int) -> Places:
    """Everything goes on as it went from the last frame but one to the last, without collisions."""
    ahead = torch.arange(1, steps + 1, device=places.device).view(1, -1, 1, 1)
    return places[:, -1:] + ahead * (places[:, -1:] - places[:, -2:-1])


UNLEARNED: Mapping[str, Callable[[Places, int], Places]] = {"copy": copy, "same_speed": same_speed}


def measure_tokens(trial: Trial, run: Any) -> Scores:
    """One predictor, trained from nothing, on clips it has not seen; the first leaves roll-outs to draw."""
    budget, seed = BUDGETS[trial.preset], FIRST_SEED + trial.seed
    clips = roll_balls(budget.test, CONTEXT + HORIZON, seed=10_000 + seed).to(run.device)
    if trial.arm in UNLEARNED:
        return judge(UNLEARNED[trial.arm], clips)
    with run.seeded("tokens"):
        model = TokenDynamics(predictor_of(trial.arm)).to(run.device)
    train_tokens(model, budget, seed=seed, device=run.device)
    model.eval()
    if trial.seed == 0:
        keep_paths(model, clips[:KEPT], run.folder)
    return judge(model.roll_out, clips)


@torch.inference_mode()
def keep_paths(model: TokenDynamics, clips: Places, folder: Path) -> None:
    """Write `paths.npz`: clips and how the model rolled them out, for the report's figures."""
    foretold = model.roll_out(clips[:, :CONTEXT], HORIZON)
    write_arrays(folder / "paths.npz", {"clips": clips.cpu().numpy(), "foretold": foretold.cpu().numpy()})
