"""Where is an object that went behind a panel when it comes out again? True boxes stand for perception."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from visus.protocols import Scores, Trial

if TYPE_CHECKING:
    from visus.methods.statm.model.predictors import Predictor

SIZE, HEADS, HIDDEN = 64, 4, 128
OBJECTS, FRAMES, PIXELS = 3, 24, 24
SCALE = 0.1
"""Networks predict ways in tenths of the picture."""
LEARNING_RATE = 2e-3
FIRST_SEED = 300
"""Claims are measured on seeds from here on."""
Centers = Float[Tensor, "b t k 2"]
Visible = Bool[Tensor, "b t k"]

ARMS: Mapping[str, Mapping[str, Any]] = {
    "savi": {"kind": "savi"},
    "cs": {"kind": "statm"},
    "cs_time": {"kind": "statm", "time_positions": "learned"},
}
"""What an arm gives to `build_predictor`."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long and on how many videos an arm is trained and judged."""

    steps: int
    batch: int
    train: int
    test: int


BUDGETS: Mapping[str, Budget] = {
    "smoke": Budget(steps=2, batch=2, train=4, test=4),
    "demo": Budget(steps=200, batch=16, train=128, test=96),
    "gpu": Budget(steps=3000, batch=64, train=2000, test=500),
    "paper": Budget(steps=3000, batch=64, train=2000, test=500),
}


class Tracks(NamedTuple):
    """Videos as boxes: `centers` of the whole objects (x, y in 0..1) and the visible parts' `boxes`."""

    centers: Centers
    boxes: Float[Tensor, "b t k 4"]
    visible: Visible

    def to(self, device: torch.device | str) -> Tracks:
        """Another device."""
        return Tracks(*(field.to(device) for field in self))

    def rows(self, index: Tensor) -> Tracks:
        """Some of the videos."""
        return Tracks(*(field[index] for field in self))


def tracks(part: Literal["train", "test"], count: int, *, seed: int) -> Tracks:
    """Videos of the world of moving scenes in which every clip hides an object and shows it again."""
    from visus.data.worlds.scenes import SceneVideos

    world = SceneVideos(
        count,
        frames=FRAMES,
        seed=seed,
        part=part,
        size=PIXELS,
        objects=(OBJECTS, OBJECTS),
        occlusion=True,
    )
    clips = [world.read(index) for index in range(count)]
    fields = ("image_positions", "boxes", "visibility")
    centers, boxes, pixels = (torch.stack([clip[name] for clip in clips]) for name in fields)
    return Tracks(centers, boxes, pixels > 0)


class BoxFilter(nn.Module):
    """The video model with a recurrent cell per object in place of encoder and Slot Attention.

    s_t = GRU(W [visible, box], p_t);   p_(t+1) = predictor(s_t, memory);   center_(t+1) = last seen + V p_(t+1)

    Parameters
    ----------
    predictor : on slots of `predictor.size` numbers.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor
        self.embed = nn.Linear(5, predictor.size)
        self.correct = nn.GRUCell(predictor.size, predictor.size)
        self.way = nn.Linear(predictor.size, 2)

    def forward(self, seen: Tracks) -> Centers:
        """After every frame, the centers in the next one: known are the boxes of visible objects alone."""
        shown = seen.visible.unsqueeze(-1)
        told = torch.cat([shown, 4 * (seen.boxes - 0.5) * shown], dim=-1).float()
        embedded, last = self.embed(told), last_seen(seen)
        b, frames, k, d = embedded.shape
        slots = embedded.new_zeros(b, k, d)
        memory = self.predictor.start(b, k, device=slots.device, dtype=slots.dtype)
        ways = []
        for frame in range(frames):
            corrected = self.correct(embedded[:, frame].flatten(0, 1), slots.flatten(0, 1)).view(b, k, d)
            slots, memory = self.predictor(corrected, memory)
            ways.append(self.way(slots))
        return last + SCALE * torch.stack(ways, dim=1)


def last_seen(seen: Tracks) -> Centers:
    """Center of the box in which every object was last seen; the picture's middle before that."""
    y0, x0, y1, x1 = seen.boxes.unbind(-1)
    middle = torch.stack([x0 + x1, y0 + y1], dim=-1) / 2
    last, found = torch.full_like(middle[:, 0], 0.5), []
    for frame in range(middle.shape[1]):
        last = torch.where(seen.visible[:, frame, :, None], middle[:, frame], last)
        found.append(last)
    return torch.stack(found, dim=1)


def same_speed(seen: Tracks) -> Centers:
    """Every object goes on as it went between the last two frames in a row that showed it."""
    last = last_seen(seen)
    speed, since = torch.zeros_like(last[:, 0]), torch.zeros_like(last[:, 0, :, :1])
    found = []
    for frame in range(last.shape[1]):
        now = seen.visible[:, frame, :, None]
        if frame:
            both = now & seen.visible[:, frame - 1, :, None]
            speed = torch.where(both, last[:, frame] - last[:, frame - 1], speed)
        since = torch.where(now, torch.zeros_like(since), since + 1)
        found.append(last[:, frame] + speed * (since + 1))
    return torch.stack(found, dim=1)


UNLEARNED: Mapping[str, Callable[[Tracks], Centers]] = {"same_speed": same_speed}


def train_filter(
    model: BoxFilter, seen: Tracks, budget: Budget, *, seed: int, device: torch.device | str
) -> list[float]:
    """Squared error of the next center of objects that are visible then; the loss of every step."""
    seen, draws = seen.to(device), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, budget.steps)
    losses = []
    for _ in range(budget.steps):
        some = seen.rows(torch.randint(len(seen.visible), (budget.batch,), generator=draws).to(device))
        error = ((model(some)[:, :-1] - some.centers[:, 1:]) / SCALE).square().sum(-1)
        loss = error[some.visible[:, 1:]].mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses


@torch.inference_mode()
def judge(model: Callable[[Tracks], Centers], seen: Tracks) -> Scores:
    """Root mean square distance to the true center, picture sides: `after_gap`, in the first frame that shows an
    object again which had been seen before; `in_view`, in frames that follow one which showed it.
    """
    distance = (model(seen)[:, :-1] - seen.centers[:, 1:]).square().sum(-1)
    before, now = seen.visible[:, :-1], seen.visible[:, 1:]
    known = before.int().cummax(1).values.bool()
    back, stayed = now & ~before & known, now & before
    return {
        "after_gap": float(distance[back].mean().sqrt()),
        "in_view": float(distance[stayed].mean().sqrt()),
    }


def measure_hidden(trial: Trial, run: Any) -> Scores:
    """One predictor between recurrent cells that see boxes, on videos it has not been trained on."""
    from visus.methods.statm.baselines import build_predictor

    budget, seed = BUDGETS[trial.preset], FIRST_SEED + trial.seed
    test = tracks("test", budget.test, seed=seed).to(run.device)
    if trial.arm in UNLEARNED:
        return judge(UNLEARNED[trial.arm], test)
    with run.seeded("hidden"):
        predictor = build_predictor(size=SIZE, heads=HEADS, qkv=SIZE, hidden=HIDDEN, **ARMS[trial.arm])
        model = BoxFilter(predictor).to(run.device)
    train_filter(model, tracks("train", budget.train, seed=seed), budget, seed=seed, device=run.device)
    return judge(model.eval(), test)
