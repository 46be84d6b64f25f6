"""Which stages a network goes through, what each trains and what it leaves untouched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from visus.errors import InputError
from visus.methods.chestxray.config import ChestXrayConfig
from visus.protocols import Phase

CONTRASTIVE, CLASSIFY, SALIENCY, FINAL, JOINT = "contrastive", "classify", "saliency", "final", "joint"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: the groups of modules that it trains, by which losses, how long and in what batches."""

    name: str
    trains: frozenset[str]
    diagnosis: bool = False
    gaze: bool = False
    epochs: int
    batch_size: int

    @property
    def contrast(self) -> bool:
        """Whether it compares embeddings."""
        return self.name == CONTRASTIVE

    @property
    def mixed(self) -> bool:
        """Whether all parts learn together, so that the dense encoder has a rate of its own."""
        return self.name in (FINAL, JOINT)


def plan(
    config: ChestXrayConfig, groups: Collection[str], *, gaze: bool, auxiliary: bool = False
) -> list[Stage]:
    """The stages of a network with these groups of modules, in their order.

    A stage whose groups the network lacks is left out, and so is one of 0 epochs. Without any gaze the
    saliency stage is left out and the saliency head stays as it is.

    Paper: 2403.16970, released code: contrastive, classification, saliency with the dense encoder frozen, then
    the new head with everything else (`final_stage="joint"`). Differs: whether the paper itself trains the head
    alone is not known, hence `final_stage="head"`.

    Parameters
    ----------
    groups : names from the network's `groups()`.
    gaze : whether any training image has gaze.
    auxiliary : the network learns features of the gaze beside the diagnosis (`auxiliary_loss`).

    Raises
    ------
    InputError : no stage is left; a network that predicts gaze alone, without gaze.
    """
    names = frozenset(groups)
    looks, beside = gaze and "saliency" in names, gaze and auxiliary
    diagnoses = bool(names & {"dense_head", "fusion"})
    if not diagnoses and not gaze:
        problem = f"no training image has gaze, and network {config.network} predicts nothing else"
        raise InputError(problem, field="gaze", remedy="give fixations, or choose network=dual or dense")
    every = names - {"dense_head"} if "fusion" in names else names
    every = every if gaze else every - {"saliency"}
    wholly = {"diagnosis": diagnoses, "gaze": looks or beside, "epochs": config.final_epochs}
    if config.schedule == "joint":
        stages = [Stage(name=JOINT, trains=every, batch_size=config.final_batch, **wholly)]
    else:
        stages = _early(config, looks=looks, beside=beside)
        if config.final_stage == "joint":
            stages.append(Stage(name=FINAL, trains=every, batch_size=config.final_batch, **wholly))
        else:
            head = {**wholly, "gaze": False}  # nothing that the gaze loss could move is trained
            stages.append(
                Stage(name=FINAL, trains=frozenset({"fusion"}), batch_size=config.final_batch, **head)
            )
    kept = [stage for stage in stages if stage.epochs and _possible(stage, names)]
    if not kept:
        raise InputError(
            f"no stage is left to train network {config.network}",
            field="contrastive_epochs, classify_epochs, saliency_epochs, final_epochs",
            remedy="give one of its stages at least one epoch, or schedule=joint",
        )
    return kept


def _early(config: ChestXrayConfig, *, looks: bool, beside: bool) -> list[Stage]:
    """The stages before the final one."""
    return [
        Stage(
            name=CONTRASTIVE,
            trains=frozenset({"dense"}),
            epochs=config.contrastive_epochs,
            batch_size=config.contrastive_batch,
        ),
        Stage(
            name=CLASSIFY,
            trains=frozenset({"dense", "dense_head"}),
            diagnosis=True,
            gaze=beside,
            epochs=config.classify_epochs,
            batch_size=config.batch_size,
        ),
        Stage(
            name=SALIENCY,
            trains=frozenset({"encoder", "decoder", "saliency"}),
            gaze=True,
            epochs=config.saliency_epochs if looks else 0,
            batch_size=config.batch_size,
        ),
    ]


def _possible(stage: Stage, names: frozenset[str]) -> bool:
    if stage.name == FINAL:
        return "fusion" in names
    return stage.name == JOINT or stage.trains <= names


def phases(
    stages: Sequence[Stage], config: ChestXrayConfig, *, items: int, validated: Mapping[str, bool]
) -> list[Phase]:
    """The stages for the engine: each keeps the epoch of its lowest validation loss.

    Parameters
    ----------
    items : training items; a batch is no larger.
    validated : stage name -> whether the validation part can tell its loss.
    """
    return [
        Phase(
            name=stage.name,
            epochs=stage.epochs,
            batch_size=min(stage.batch_size, items),
            monitor="loss" if validated[stage.name] else None,
            better="lower",
            patience=config.patience if validated[stage.name] else None,
        )
        for stage in stages
    ]


def freeze(groups: Mapping[str, Sequence[nn.Module]], trains: Collection[str]) -> None:
    """Let the named groups learn; all others get no gradient, and their batch statistics stay as they are.

    Differs: the released code takes gradients from the frozen encoder but leaves it in training mode, so that its
    running statistics drift and its features with them.
    """
    for name, modules in groups.items():
        for module in modules:
            module.train(name in trains)
            module.requires_grad_(name in trains)
