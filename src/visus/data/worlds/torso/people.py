"""People: sex, age, build and how their organs differ from the average.

Numbers behind `draw_person`
    sex: F or M with equal chance; age: N(58, 17) cut to 18..92 years, as in a hospital's radiology.
    height: N(176, 7) cm (M), N(163, 6.5) cm (F), minus 0.05 cm per year above 40.
    BMI: 17 + gamma(4, 2.3), cut to 17..42: mean about 26, skewed as in adult populations.
    outline of the lungs: modes N(0, 0.6), cut at +-1.2: the masks behind them are of patients, many in bed and
    in shallow breath, and vary more than chests in deep breath do.
    height of a lung of average outline: 0.132 (M) or 0.127 (F) of the body height, +-3 %.
    cardiothoracic ratio without heart disease: N(0.43 + 0.0006 (age - 50), 0.025), cut to 0.36..0.485; 0.5 is
    the common upper limit of normal.
    organs: linear scale N(1, 0.05) cut to +-2 SD, shift N(0, 4 mm) per axis cut to +-2 SD, each on its own.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from visus.data.worlds.torso.lungs import MODES
from visus.errors import InputError
from visus.records import record

Sex = Literal["F", "M"]
OUTLINE_SD = 0.6
VARYING = (
    *("heart", "aorta", "liver", "spleen", "right kidney", "left kidney", "stomach", "colon", "breasts"),
)
"""Organs with a scale and a shift of their own."""


@record
class Person:
    """One person; `seed` chooses texture, vessels and noise, everything else is written out."""

    sex: Sex
    age: float
    height_cm: float
    bmi: float
    lung_size: float
    """Height that lungs of the average outline would have, mm; others have the same area in the frontal view."""
    lung_scores: tuple[float, ...]
    """Modes of the lungs' outline in standard deviations, see `lungs.LungShapes`."""
    cardiothoracic: float
    """Width of the heart over the inner width of the chest."""
    lung_hu: float
    """Mean of aerated lung; less air gives a brighter lung."""
    organ_scale: dict[str, float]
    organ_shift: dict[str, tuple[float, float, float]]
    """mm to the right, to the front, upward."""
    seed: int = 0


def draw_person(rng: np.random.Generator, sex: Sex | None = None, age: float | None = None) -> Person:
    """Draw a person; sex and age may be given. The same generator state gives the same person."""
    if sex not in (None, "F", "M"):
        raise InputError(f"is {sex!r}", field="sex", remedy="give F, M or nothing")
    if age is not None and not 18 <= age <= 100:
        raise InputError(f"is {age}", field="age", remedy="give 18 to 100 years: the anatomy is an adult's")
    drawn_sex: Sex = "M" if rng.random() < 0.5 else "F"
    drawn_age = float(np.clip(rng.normal(58, 17), 18, 92))
    sex, age = sex or drawn_sex, float(drawn_age if age is None else age)
    height = rng.normal(*((176, 7) if sex == "M" else (163, 6.5))) - 0.05 * max(age - 40, 0)
    height = float(np.clip(height, 145, 200))
    bmi = float(np.clip(17 + rng.gamma(4, 2.3), 17, 42))
    lung_size = height * 10 * (0.132 if sex == "M" else 0.127) * (1 + 0.03 * _cut(rng))
    return Person(
        sex=sex,
        age=round(age, 1),
        height_cm=round(height, 1),
        bmi=round(bmi, 1),
        lung_size=round(lung_size, 1),
        lung_scores=tuple(round(OUTLINE_SD * _cut(rng), 3) for _ in range(MODES)),
        cardiothoracic=round(
            float(np.clip(0.43 + 0.0006 * (age - 50) + 0.025 * rng.standard_normal(), 0.36, 0.485)), 4
        ),
        lung_hu=round(-820 + 20 * _cut(rng), 1),
        organ_scale={name: round(1 + 0.05 * _cut(rng), 4) for name in VARYING},
        organ_shift={
            name: (round(4 * _cut(rng), 2), round(4 * _cut(rng), 2), round(4 * _cut(rng), 2))
            for name in VARYING
        },
        seed=int(rng.integers(2**31)),
    )


def _cut(rng: np.random.Generator) -> float:
    """A standard normal number, cut at +-2."""
    return float(np.clip(rng.standard_normal(), -2, 2))
