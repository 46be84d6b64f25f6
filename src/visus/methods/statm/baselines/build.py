"""Every predictor by name."""

from __future__ import annotations

from typing import Literal, get_args

from visus.errors import InputError
from visus.methods.statm.baselines.history import OCVPParallel, OCVPSequential, SlotFormerPredictor
from visus.methods.statm.baselines.simple import (
    CopyPredictor,
    LSTMPredictor,
    MLPPredictor,
    VelocityPredictor,
)
from visus.methods.statm.model.attention import TimeKind
from visus.methods.statm.model.predictors import STATM, Fusion, Past, Predictor, SAViBlock

Kind = Literal["statm", "savi", "mlp", "lstm", "slotformer", "ocvp_seq", "ocvp_par", "copy", "velocity"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def build_predictor(
    kind: Kind,
    size: int,
    *,
    heads: int = 4,
    qkv: int = 128,
    hidden: int = 256,
    fusion: Fusion = "space_time_sum",
    time: Literal["corresponding", "all"] = "corresponding",
    time_positions: TimeKind | None = None,
    buffer: int | None = None,
    pre_norm: bool = False,
    cache: bool = True,
    layers: int = 4,
) -> Predictor:
    """A predictor by name, for slots of `size` numbers.

    Parameters
    ----------
    kind : `statm`, `savi`, `mlp`, `lstm`, `slotformer`, `ocvp_seq`, `ocvp_par`, `copy` or `velocity`.
    qkv : numbers of all heads together; the width of the tokens of `slotformer` and `ocvp`.
    hidden : numbers inside the MLPs (of `slotformer`: twice as many).
    fusion, time, time_positions, cache : of `statm`.
    buffer : frames that `statm`, `slotformer` and `ocvp` look back; None: all, and 6 for `slotformer`.
    pre_norm : of `statm`, `savi`, `mlp` and `lstm`; the others are pre-norm.
    layers : of `slotformer` and `ocvp`.
    """
    deep = {"heads": heads, "width": qkv, "layers": layers}
    one = {"hidden": hidden, "pre_norm": pre_norm}
    if kind == "statm":
        past = Past(time=time, positions=time_positions, buffer=buffer, cache=cache)
        return STATM(size, heads=heads, qkv=qkv, fusion=fusion, past=past, **one)
    if kind == "savi":
        return SAViBlock(size, heads=heads, qkv=qkv, **one)
    if kind == "mlp":
        return MLPPredictor(size, **one)
    if kind == "lstm":
        return LSTMPredictor(size, heads=heads, qkv=qkv, cell=2 * size, **one)
    if kind == "slotformer":
        return SlotFormerPredictor(size, hidden=2 * hidden, window=6 if buffer is None else buffer, **deep)
    if kind == "ocvp_seq":
        return OCVPSequential(size, hidden=hidden, window=buffer, **deep)
    if kind == "ocvp_par":
        return OCVPParallel(size, hidden=hidden, window=buffer, **deep)
    if kind == "copy":
        return CopyPredictor(size)
    if kind == "velocity":
        return VelocityPredictor(size)
    raise InputError(f"{kind!r} is unknown", field="predictor", remedy="choose " + ", ".join(KINDS))
