"""From a method's claims to evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from visus.errors import InputError
from visus.protocols import Claim, Evidence, Experiment, PaperEvidence, Preset, Provable, Trial
from visus.study.files import from_json, merge, to_json
from visus.study.jobs import Backend, run_trials
from visus.study.trials import OpenRun, Outcome, folder_of, open_run
from visus.study.verdict import check_claim, decide

__all__ = ["from_json", "judge", "measure", "merge", "plan", "to_json"]


def measure(
    provable: type[Provable],
    slug: str,
    *,
    preset: Preset,
    out: Path,
    arxiv: str = "",
    seeds: int | None = None,
    experiments: Sequence[str] | None = None,
    workers: int | None = None,
    backend: Backend = "local",
    address: str | None = None,
    device: str = "auto",
    progress: bool = True,
    open_run: OpenRun = open_run,
) -> PaperEvidence:
    """Run the experiments of a method and decide its claims.

    Parameters
    ----------
    provable : declares claims and experiments.
    slug : the paper's short name.
    preset : size of the study; an experiment with 0 seeds in it is left out.
    out : folder of the study; running again in it goes on, see `run_trials`.
    arxiv : the paper's arXiv number.
    seeds : seeds per arm instead of the preset's; experiments of exact claims keep theirs.
    experiments : names of the experiments to run; None = all. Only their claims are in the result.
    workers, backend, address, device, progress, open_run : see `run_trials`.

    Returns
    -------
    Evidence for every claim in the order of declaration, tracebacks of crashed trials, the folders of the others,
    and the seconds all trials took together (work, not waiting time: trials run side by side).

    Raises
    ------
    visus.errors.InputError : an experiment's name is unknown, or the declarations do not fit together.
    visus.errors.Interrupted : see `run_trials`.
    """
    claims, declared = list(provable.claims()), list(provable.experiments())
    check(claims, declared)
    chosen = _choose(declared, experiments)
    names = {experiment.name for experiment in chosen}
    claims = [claim for claim in claims if claim.experiment in names]
    trials = plan(slug, claims, chosen, preset=preset, seeds=seeds)
    outcomes = run_trials(
        trials,
        chosen,
        out=out,
        workers=workers,
        backend=backend,
        address=address,
        device=device,
        progress=progress,
        open_run=open_run,
    )
    arms = {experiment.name: experiment.arms for experiment in chosen}
    return PaperEvidence(
        slug=slug,
        arxiv=arxiv,
        claims=[judge(claim, outcomes, arms[claim.experiment], preset=preset) for claim in claims],
        failures={outcome.name: outcome.error for outcome in outcomes if outcome.state == "failed"},
        seconds=round(sum(outcome.seconds for outcome in outcomes), 3),
        experiments={
            each.name: {"title": each.title, "title_zh": each.title_zh, "budget": each.budget}
            for each in chosen
        },
        folders={
            outcome.name: folder_of(out, outcome.trial)
            for outcome in outcomes
            if outcome.state in ("done", "kept")
        },
    )


def check(claims: Sequence[Claim], experiments: Sequence[Experiment]) -> None:
    """Raise `InputError` where claims and experiments do not fit together."""
    known = {experiment.name: experiment for experiment in experiments}
    if len(known) < len(experiments):
        raise InputError(
            "two experiments have one name", field="experiments", remedy="give every experiment its own"
        )
    if len({claim.id for claim in claims}) < len(claims):
        raise InputError("two claims have one id", field="claims", remedy="give every claim its own")
    for claim in claims:
        check_claim(claim)
        if claim.experiment not in known:
            remedy = "experiments: " + ", ".join(known)
            raise InputError(f"no experiment {claim.experiment!r}", field=claim.id, remedy=remedy)
        for arm in (claim.candidate, claim.reference):
            if arm not in known[claim.experiment].arms:
                remedy = "arms: " + ", ".join(known[claim.experiment].arms)
                raise InputError(f"{claim.experiment} has no arm {arm!r}", field=claim.id, remedy=remedy)


def plan(
    slug: str,
    claims: Sequence[Claim],
    experiments: Sequence[Experiment],
    *,
    preset: Preset,
    seeds: int | None = None,
) -> list[Trial]:
    """All trials of a study: seed by seed, so that early results already compare every arm."""
    if seeds is not None and seeds < 1:
        raise InputError(f"{seeds} seeds measure nothing", field="seeds", remedy="give 1 or more")
    trials = []
    for experiment in experiments:
        count = experiment.seeds.get(preset, 0)
        exact = all(claim.exact for claim in claims if claim.experiment == experiment.name)
        if seeds is not None and count and not exact:
            count = seeds
        trials += [
            Trial(slug=slug, experiment=experiment.name, arm=arm, seed=seed, preset=preset)
            for seed in range(count)
            for arm in experiment.arms
        ]
    return trials


def judge(claim: Claim, outcomes: Sequence[Outcome], arms: Sequence[str], *, preset: str) -> Evidence:
    """Collect the values of a claim's arms and decide it.

    A seed without a value is NaN, so that seeds stay paired; an arm without any value is left out.
    """
    mine = [outcome for outcome in outcomes if outcome.trial.experiment == claim.experiment]
    seeds = sorted({outcome.trial.seed for outcome in mine})
    ordered = dict.fromkeys((claim.candidate, claim.reference, *arms))
    if not seeds:
        why = f"not measured in preset {preset}"
        return Evidence(claim=claim, arms={}, effect=None, interval=None, verdict="undecided", why=why)
    needs = _needs(claim, mine)
    if needs:
        why = f"not measured: {needs}"
        return Evidence(claim=claim, arms={}, effect=None, interval=None, verdict="undecided", why=why)
    scores = {(outcome.trial.arm, outcome.trial.seed): outcome.scores for outcome in mine}
    values = {
        arm: [scores.get((arm, seed), {}).get(claim.metric, math.nan) for seed in seeds] for arm in ordered
    }
    verdict = decide(claim, values[claim.candidate], values[claim.reference])
    shown = {
        arm: column
        for arm, column in values.items()
        if arm in (claim.candidate, claim.reference) or any(math.isfinite(value) for value in column)
    }
    return Evidence(
        claim=claim,
        arms=shown,
        effect=verdict.effect,
        interval=verdict.interval,
        verdict=verdict.verdict,
        why="; ".join(note for note in (*_troubles(claim, mine), verdict.why) if note),
    )


def _needs(claim: Claim, outcomes: Sequence[Outcome]) -> str:
    """What is missing where one of the two arms compared could not be measured at all."""
    for arm in dict.fromkeys((claim.candidate, claim.reference)):
        of_arm = [outcome for outcome in outcomes if outcome.trial.arm == arm]
        if of_arm and all(outcome.state == "absent" for outcome in of_arm):
            return of_arm[0].error
    return ""


def _troubles(claim: Claim, outcomes: Sequence[Outcome]) -> list[str]:
    """Crashes and missing metrics of the two arms compared."""
    notes = []
    for arm in dict.fromkeys((claim.candidate, claim.reference)):
        of_arm = [outcome for outcome in outcomes if outcome.trial.arm == arm]
        crashed = [str(outcome.trial.seed) for outcome in of_arm if outcome.state == "failed"]
        absent = [outcome for outcome in of_arm if outcome.state == "absent"]
        if absent:
            seeds = ", ".join(str(outcome.trial.seed) for outcome in absent)
            notes.append(f"{arm} not measured in seed {seeds}: {absent[0].error}")
        if crashed:
            notes.append(f"{arm} crashed in seed {', '.join(crashed)}")
        measured: list[Mapping[str, float]] = [outcome.scores for outcome in of_arm if outcome.scores]
        if measured and not any(claim.metric in scores for scores in measured):
            notes.append(f"{arm} reports no {claim.metric}")
    return notes


def _choose(declared: Sequence[Experiment], names: Sequence[str] | None) -> list[Experiment]:
    if names is None:
        return list(declared)
    known = [experiment.name for experiment in declared]
    for name in names:
        if name not in known:
            remedy = "experiments: " + ", ".join(known)
            raise InputError(f"no experiment {name!r}", field="experiments", remedy=remedy)
    return [experiment for experiment in declared if experiment.name in names]
