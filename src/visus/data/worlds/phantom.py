"""People with head scans and a clinic's table, where the answer needs both.

Ventricles grow with age, and faster in men; nothing in the picture but the ventricles depends on age, and
nothing in it depends on sex. All volumes are in ml, ages in years.

Task `age` (healthy people; predict AGE)
    AGE ~ U(20, 90), sex F or M with equal chance, v = 12 + b (AGE - 20) + N(0, 1.5), b = 0.35 (F) or 1.0 (M).
    Hippocampi ~ N(7, 0.4), clipped to 5.5..8.5. Columns: PTGENDER (never empty), PTEDUCAT and APOE4
    (unrelated).
Task `diagnosis` (predict Group: CN, MCI, AD in this order; shares 0.35, 0.48, 0.17)
    A hidden severity q ~ N(0, 1 or 2 by group; 0.45). AGE ~ N(73, 7) in 55..90,
    v = 12 + b (AGE - 20) + 9 q + N(0, 2), at least 6: without age and sex the ventricles say little.
    Hippocampi = 7.2 - 0.9 q - 0.02 (AGE - 73) + N(0, 0.35), in 2..9. APOE4 alleles more frequent with
    illness. ABETA = 1200 - 300 q + N(0, 250), from 200; above 1700 the cell reads ">1700".
    TAU = 230 + 70 q + N(0, 60), from 80; PTAU = 0.095 TAU + N(0, 2), below 8 the cell reads "<8".
    FDG = 1.30 - 0.09 q + N(0, 0.09); AV45 = 1.05 + 0.14 q + N(0, 0.16); PTEDUCAT = 16 - 0.3 q + N(0, 2.7).

Missing values. In `diagnosis` APOE4 is empty in 8.7 % of the rows, ABETA, TAU and PTAU together in 51.5 %,
FDG in 38 %, AV45 in 53 %, or all of these in the share asked for; in `age` PTEDUCAT and APOE4 in the share
asked for. With `mnar` the value decides (`visus.data.worlds.gaps`): the more pathological, the more often it
is missing.

Column and class names are those of ADNIMERGE, the table that the world stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from visus.data.image_table import ImageTable
from visus.data.worlds.gaps import Mechanism, gaps
from visus.data.worlds.head import Heads, draw_heads, draw_images
from visus.errors import InputError

Task = Literal["age", "diagnosis"]
Given = Literal["both", "image", "table", "nothing"]

CLASSES = ("CN", "MCI", "AD")
SHARES = (0.35, 0.48, 0.17)
AGES = (20.0, 90.0)
INTERCEPT_ML, NOISE_ML = 12.0, 1.5
SLOPE_ML_PER_YEAR = {"F": 0.35, "M": 1.0}
MISSING = {"APOE4": 0.087, "CSF": 0.515, "FDG": 0.38, "AV45": 0.53}
"""Share of empty cells in `diagnosis` unless another is asked for; CSF stands for ABETA, TAU and PTAU."""


@dataclass(frozen=True, kw_only=True)
class PhantomWorld:
    """Two parts, and their truth: columns age, sex, ventricle_ml, hippocampus_ml (and severity, group)."""

    train: ImageTable
    test: ImageTable
    train_truth: pd.DataFrame
    test_truth: pd.DataFrame
    shape: tuple[int, int, int]
    seed: int

    def heads(self, part: Literal["train", "test"], indices: list[int]) -> Heads:
        """The images of some items once more, with the masks of what is in them."""
        truth = (self.train_truth if part == "train" else self.test_truth).iloc[indices]
        seeds = [_seed(self.seed, part, i) for i in indices]
        volumes = (truth[name].to_numpy() for name in ("ventricle_ml", "hippocampus_ml"))
        return draw_heads(*volumes, seeds=seeds, shape=self.shape)


def make(
    task: Task = "age",
    *,
    n: int = 400,
    n_test: int = 200,
    shape: tuple[int, int, int] = (32, 40, 32),
    seed: int = 0,
    missing: float | None = None,
    mechanism: Mechanism = "mnar",
    dtype: torch.dtype = torch.float32,
) -> PhantomWorld:
    """Draw a world. Images are (n, 1, *shape), intensities from 0 to about 1.5; target is `AGE` or `Group`.

    Parameters
    ----------
    task : `age` or `diagnosis`, see above.
    n, n_test : people in each part, one scan each; the column `Subject` is the group.
    shape : voxels (d, h, w); voxels are cubes, 5.5 mm for the default.
    seed : chooses everything.
    missing : share of empty cells, see above; None takes the shares of the real table.
    mechanism : `mnar` or `mcar`.
    dtype : of the images; float16 halves the memory (0.8 GB per 1,000 heads of 64 x 96 x 64).
    """
    if task not in ("age", "diagnosis"):
        raise InputError(f"unknown task {task!r}", field="task", remedy="use age or diagnosis")
    if n < 1 or n_test < 1:
        raise InputError("a part without people", field="n" if n < 1 else "n_test", remedy="give at least 1")
    parts = {}
    for part, count in (("train", n), ("test", n_test)):
        rng = np.random.default_rng(_seed(seed, part))
        frame, truth = (_healthy if task == "age" else _clinic)(count, rng)
        _empty_cells(frame, task, missing, mechanism, rng)
        frame.insert(0, "Subject", [f"{part}{i:05d}" for i in range(count)])
        images = draw_images(
            truth["ventricle_ml"].to_numpy(),
            truth["hippocampus_ml"].to_numpy(),
            seeds=[_seed(seed, part, i) for i in range(count)],
            shape=shape,
            dtype=dtype,
        )
        target = "AGE" if task == "age" else "Group"
        parts[part] = ImageTable(frame, images=images, target=target, group="Subject"), truth
    (train, train_truth), (test, test_truth) = parts["train"], parts["test"]
    return PhantomWorld(
        train=train, test=test, train_truth=train_truth, test_truth=test_truth, shape=shape, seed=seed
    )


def bayes_age(ventricle_ml: Float[np.ndarray, " n"], sex: list[str] | None = None) -> Float[np.ndarray, " n"]:
    """The prediction of AGE with the least expected error: its median given v (and sex, if given)."""
    ages = _age_grid()
    volumes = np.asarray(ventricle_ml, dtype=np.float64)
    density = {s: _density(volumes, ages, s) for s in SLOPE_ML_PER_YEAR}
    if sex is None:
        posterior = np.sum(list(density.values()), axis=0)
    else:
        posterior = np.stack([density[s][i] for i, s in enumerate(sex)])
    return _medians(posterior, ages)


def bayes_mae(given: Given = "both") -> float:
    """The least possible mean absolute error of AGE (years, to 0.01) for one who measures v exactly.

    `both`: ventricles and sex. `image`: ventricles. `table` (sex, and columns unrelated to age) and
    `nothing`: only that AGE ~ U(20, 90). Numerical integration over age (0.1 years) and volume (0.05 ml).

    >>> [round(bayes_mae(given), 1) for given in ("both", "image", "table")]
    [2.2, 6.2, 17.5]
    """
    if given in ("table", "nothing"):
        return (AGES[1] - AGES[0]) / 4
    if given not in ("both", "image"):
        raise InputError(
            f"unknown inputs {given!r}", field="given", remedy="use both, image, table or nothing"
        )
    ages = _age_grid()
    volumes = np.arange(0.0, INTERCEPT_ML + max(SLOPE_ML_PER_YEAR.values()) * (AGES[1] - AGES[0]) + 10, 0.05)
    joint = {sex: 0.5 * _density(volumes, ages, sex) * 0.05 / len(ages) for sex in SLOPE_ML_PER_YEAR}
    error = 0.0
    for posterior in joint.values() if given == "both" else [np.sum(list(joint.values()), axis=0)]:
        guess = _medians(posterior, ages)
        error += float((posterior * np.abs(ages[None] - guess[:, None])).sum())
    return error


def _age_grid() -> Float[np.ndarray, " a"]:
    step = 0.1
    return np.arange(AGES[0] + step / 2, AGES[1], step)


def _density(volumes: np.ndarray, ages: np.ndarray, sex: str) -> Float[np.ndarray, "v a"]:
    expected = INTERCEPT_ML + SLOPE_ML_PER_YEAR[sex] * (ages - AGES[0])
    z = (volumes[:, None] - expected[None]) / NOISE_ML
    return np.exp(-0.5 * z**2) / (NOISE_ML * np.sqrt(2 * np.pi))


def _medians(weights: Float[np.ndarray, "v a"], ages: Float[np.ndarray, " a"]) -> Float[np.ndarray, " v"]:
    total = np.cumsum(weights, axis=1)
    return ages[np.minimum((total < 0.5 * total[:, -1:]).sum(axis=1), len(ages) - 1)]


def _seed(seed: int, part: str, *more: int) -> tuple[int, ...]:
    return (seed, 1 if part == "train" else 2, *more)


def _healthy(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    age, sex = rng.uniform(*AGES, size=n), rng.choice(["F", "M"], size=n)
    ventricle = _normal_ventricle(age, sex) + NOISE_ML * rng.normal(size=n)
    hippocampus = np.clip(7 + 0.4 * rng.normal(size=n), 5.5, 8.5)
    frame = pd.DataFrame(
        {
            "PTGENDER": np.where(sex == "F", "Female", "Male"),
            "PTEDUCAT": _education(np.zeros(n), rng),
            "APOE4": rng.choice([0.0, 1.0, 2.0], p=(0.7, 0.27, 0.03), size=n),
            "AGE": age,
        }
    )
    truth = {"age": age, "sex": sex, "ventricle_ml": np.maximum(ventricle, 2), "hippocampus_ml": hippocampus}
    return frame, pd.DataFrame(truth)


def _clinic(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    group = rng.choice(3, p=SHARES, size=n)
    severity = group + 0.45 * rng.normal(size=n)
    age, sex = np.clip(73 + 7 * rng.normal(size=n), 55, 90), rng.choice(["F", "M"], size=n)
    ventricle = np.maximum(_normal_ventricle(age, sex) + 9 * severity + 2 * rng.normal(size=n), 6)
    hippocampus = np.clip(7.2 - 0.9 * severity - 0.02 * (age - 73) + 0.35 * rng.normal(size=n), 2, 9)
    carriers = np.array([(0.7, 0.27, 0.03), (0.5, 0.4, 0.1), (0.35, 0.47, 0.18)])[group]
    tau = np.maximum(230 + 70 * severity + 60 * rng.normal(size=n), 80)
    frame = pd.DataFrame(
        {
            "AGE": age.round(1),
            "PTGENDER": np.where(sex == "F", "Female", "Male"),
            "PTEDUCAT": _education(severity, rng),
            "APOE4": (rng.random(n)[:, None] > carriers.cumsum(axis=1)[:, :2]).sum(axis=1).astype(float),
            "FDG": 1.30 - 0.09 * severity + 0.09 * rng.normal(size=n),
            "AV45": 1.05 + 0.14 * severity + 0.16 * rng.normal(size=n),
            "ABETA": np.maximum(1200 - 300 * severity + 250 * rng.normal(size=n), 200).round(1),
            "TAU": tau.round(1),
            "PTAU": np.maximum(0.095 * tau + 2 * rng.normal(size=n), 4).round(2),
            "Group": np.array(CLASSES)[group],
        }
    )
    truth = {"age": age, "sex": sex, "ventricle_ml": ventricle, "hippocampus_ml": hippocampus}
    return frame, pd.DataFrame({**truth, "severity": severity, "group": frame["Group"]})


def _normal_ventricle(age: np.ndarray, sex: np.ndarray) -> np.ndarray:
    slope = np.where(sex == "F", SLOPE_ML_PER_YEAR["F"], SLOPE_ML_PER_YEAR["M"])
    return INTERCEPT_ML + slope * (age - AGES[0])


def _education(severity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.round(16 - 0.3 * severity + 2.7 * rng.normal(size=len(severity))), 6, 20)


def _empty_cells(
    frame: pd.DataFrame, task: Task, missing: float | None, mechanism: Mechanism, rng: np.random.Generator
) -> None:
    """Empty cells by the value that would stand there, then write censored values as laboratories do."""
    if task == "age":
        plan = [(("PTEDUCAT",), "PTEDUCAT", -1, 0.0), (("APOE4",), "APOE4", 1, 0.0)]
    else:
        plan = [
            (("APOE4",), "APOE4", 1, MISSING["APOE4"]),
            (("ABETA", "TAU", "PTAU"), "TAU", 1, MISSING["CSF"]),
            (("FDG",), "FDG", -1, MISSING["FDG"]),
            (("AV45",), "AV45", 1, MISSING["AV45"]),
        ]
    for columns, decides, sign, share in plan:
        values = sign * frame[decides].to_numpy(dtype=np.float64)
        hole = gaps(values, share if missing is None else missing, mechanism=mechanism, rng=rng)
        for column in columns:
            frame[column] = frame[column].mask(hole)
    if task == "diagnosis":
        for column, text, beyond in (
            ("ABETA", ">1700", frame["ABETA"] > 1700),
            ("PTAU", "<8", frame["PTAU"] < 8),
        ):
            frame[column] = frame[column].astype(object).mask(beyond, text)
