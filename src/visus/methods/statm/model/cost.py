"""What a predictor costs: parameters, multiply-adds and numbers remembered."""

from __future__ import annotations

from dataclasses import dataclass

from visus.errors import InputError
from visus.methods.statm.model.predictors import Predictor


@dataclass(frozen=True, kw_only=True)
class PredictorCost:
    """Cost of one step for one item, with `length` frames seen (this one included).

    Attributes
    ----------
    parameters : numbers that are learned.
    operations : multiply-adds of all matrix products; sums, norms and softmax are not counted.
    remembered : numbers in the memory after the step.
    """

    slots: int
    length: int
    parameters: int
    operations: int
    remembered: int


def cost(predictor: Predictor, *, slots: int, length: int) -> PredictorCost:
    """Exact cost of one step, from the layers' sizes; nothing is computed.

    >>> from visus.methods.statm.model.predictors import STATM
    >>> per_frame = [cost(STATM(128), slots=11, length=length).operations for length in (6, 7, 8)]
    >>> per_frame[1] - per_frame[0] == per_frame[2] - per_frame[1] == 2 * 11 * 128
    True
    """
    for name, value in (("slots", slots), ("length", length)):
        if value < 1:
            raise InputError(f"is {value}", field=name, remedy="give 1 or more")
    return PredictorCost(
        slots=slots,
        length=length,
        parameters=sum(parameter.numel() for parameter in predictor.parameters()),
        operations=predictor.operations(slots, length),
        remembered=predictor.remembered(slots, length),
    )
