"""A method small enough to measure in a test: arms that add, crash, hang, die, or checkpoint."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

from visus.errors import MissingData, MissingExtra
from visus.protocols import Claim, Experiment, Run, Scores, Trial

SEEDS = {"smoke": 3, "demo": 5}


class Folder:
    """The part of a run these trials use."""

    def __init__(self, folder: Path, seed: int, device: str) -> None:
        self.folder, self.seed, self.device = Path(folder), seed, device


def open_folder(folder: Path, seed: int, device: str) -> Folder:
    return Folder(folder, seed, device)


def log(run: Run, word: str) -> None:
    """Leave a trace that survives the process."""
    with (run.folder / "trace.txt").open("a") as stream:
        stream.write(f"{word} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')} {time.monotonic()}\n")


def threads(trial: Trial) -> int | str:
    """What torch may use; asked only where a test wants to know, because its import is slow."""
    if "TOY_ASKS_TORCH" not in os.environ or trial.seed or trial.arm not in ("plain", "fast"):
        return os.environ.get("OMP_NUM_THREADS", "?")
    import torch

    return torch.get_num_threads()


def score(trial: Trial, run: Run) -> Scores:
    """Better by 0.1 with arm `good`; noise shared by the arms of a seed."""
    log(run, f"threads={threads(trial)}")
    noise = random.Random(run.seed).gauss(0, 0.02)
    own = random.Random(f"{trial.arm}{run.seed}").gauss(0, 0.005)
    return {"accuracy": 0.7 + 0.1 * (trial.arm == "good") + noise + own, "loss": float("nan")}


def count(trial: Trial, run: Run) -> Scores:
    return {"parameters": 2112.0 if trial.arm == "small" else 4224.0}


def crash(trial: Trial, run: Run) -> Scores:
    log(run, "begun")
    if trial.arm == "bad" and trial.seed != 1:
        raise ValueError(f"cannot do seed {trial.seed}")
    if trial.arm == "empty":
        return {}
    return {"accuracy": 0.5 + 0.01 * trial.seed}


def lack(trial: Trial, run: Run) -> Scores:
    """Arm `real` needs a file that is there only once somebody has put it into the folder LACK names."""
    if trial.arm == "real" and not (Path(os.environ["LACK"]) / "photos").exists():
        raise MissingData("needs photos: see docs/data.md")
    if trial.arm == "extra":
        raise MissingExtra('drawing needs pens: pip install "visus[pens]"')
    return {"accuracy": 0.5 + 0.1 * (trial.arm == "real") + 0.001 * trial.seed}


def die(trial: Trial, run: Run) -> Scores:
    """With seed 0, arm `once` is killed the first time, arm `always` every time."""
    before = run.folder / "died"
    if (trial.arm == "always" and trial.seed == 0) or (
        trial.arm == "once" and trial.seed == 0 and not before.exists()
    ):
        before.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return {"accuracy": float(trial.seed)}


def steps(trial: Trial, run: Run) -> Scores:
    """Forty steps of 0.04 s; on a wish to stop the state is written, and taken up the next time."""
    state = run.folder / "state.json"
    done = json.loads(state.read_text()) if state.exists() else 0
    log(run, f"from={done}")
    try:
        while done < 40:
            time.sleep(0.04)
            done += 1
    except KeyboardInterrupt:
        state.write_text(json.dumps(done))
        raise
    return {"steps": float(done)}


def clock(trial: Trial, run: Run) -> Scores:
    """Seconds per call, timed alone; also tells when."""
    log(run, f"threads={threads(trial)}")
    began = time.monotonic()
    time.sleep(0.1)
    return {"speed": 2.0 if trial.arm == "fast" else 1.0, "began": began, "ended": time.monotonic()}


def experiment(name: str, arms: tuple[str, ...], measure, **changes) -> Experiment:
    given = {"title": name, "title_zh": name, "seeds": SEEDS, "budget": "none"}
    return Experiment(name=name, arms=arms, measure=measure, **{**given, **changes})


def claim(name: str, **changes) -> Claim:
    given = {
        "id": name,
        "statement": "Good is better than plain.",
        "statement_zh": "好的比普通的好。",
        "experiment": "score",
        "candidate": "good",
        "reference": "plain",
        "metric": "accuracy",
        "direction": "higher",
        "smallest_effect": 0.02,
        "caveat": "The toy may be broken.",
    }
    return Claim(**{**given, **changes})


SCORE = experiment("score", ("plain", "third arm, with a comma", "good"), score)
COUNT = experiment("count", ("small", "large"), count, seeds={"smoke": 1, "demo": 1})
CRASH = experiment("crash", ("bad", "fine", "empty"), crash)
LACK = experiment("lack", ("real", "made", "extra"), lack)
DIE = experiment("die", ("once", "always", "fine"), die, seeds={"smoke": 2})
STEPS = experiment("steps", ("a", "b"), steps, seeds={"smoke": 2})
CLOCK = experiment("clock", ("fast", "slow"), clock, exclusive=True, seeds={"smoke": 3, "demo": 0})


class Toy:
    """Three experiments and their claims."""

    @classmethod
    def experiments(cls):
        return (SCORE, COUNT, CLOCK)

    @classmethod
    def claims(cls):
        half = {"candidate": "small", "reference": "large", "metric": "parameters", "smallest_effect": 0.5}
        return (
            claim("better"),
            claim("worse", direction="lower", statement="Good is worse than plain.", origin="ours"),
            claim("half", experiment="count", direction="lower", comparison="ratio", exact=True, **half),
            claim("calibrated", metric="loss", direction="lower"),
            claim(
                "faster",
                experiment="clock",
                candidate="fast",
                reference="slow",
                metric="speed",
                comparison="ratio",
                smallest_effect=1.3,
            ),
        )


class Crashing:
    """One arm crashes in most seeds, one reports nothing."""

    @classmethod
    def experiments(cls):
        return (CRASH,)

    @classmethod
    def claims(cls):
        return (claim("better", experiment="crash", candidate="bad", reference="fine"),)


class Lacking:
    """One arm needs data, one a package."""

    @classmethod
    def experiments(cls):
        return (LACK,)

    @classmethod
    def claims(cls):
        names = {"experiment": "lack", "reference": "made"}
        return (
            claim("better", candidate="real", **names),
            claim("drawn", candidate="extra", **names),
        )


def trials(*experiments: Experiment, slug: str = "toy", preset: str = "smoke") -> list[Trial]:
    return [
        Trial(slug=slug, experiment=each.name, arm=arm, seed=seed, preset=preset)
        for each in experiments
        for seed in range(each.seeds[preset])
        for arm in each.arms
    ]
