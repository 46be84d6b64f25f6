"""What `compare` writes: tables and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visus.methods.vgloss.verbs.arms import CONTROL, EQUAL, GIVEN, SHUFFLED, WORDS, Arms
from visus.methods.vgloss.verbs.shared import chance, percents

if TYPE_CHECKING:
    import pandas as pd

    from visus.methods.vgloss.verbs.comparing import Difference, Judged
    from visus.methods.vgloss.verbs.judging import Judge, Shown
    from visus.webpage import Page


def write_comparison(
    out: Path,
    arms: Arms,
    judge: Judge,
    shown: Shown,
    found: tuple[Sequence[Judged], Sequence[Difference]],
    *,
    title: str,
    named: Mapping[str, str],
) -> None:
    """arms.csv, differences.csv, classes.csv, summary.json and index.html."""
    import pandas as pd

    from visus.data.formats import write_table
    from visus.methods.vgloss.verbs.comparing import summary
    from visus.records import write_json

    judged, differences = found
    plain = summary(arms, judge, shown, judged, differences)
    made = comparison_page(arms, judge, shown, found, title=title)
    table = pd.DataFrame(plain["arms"])
    table["low"], table["high"] = zip(*table.pop("interval"), strict=True)
    write_table(out / "arms.csv", table.round(6))
    pairs = pd.DataFrame(plain["differences"])
    pairs["low"], pairs["high"] = zip(*pairs.pop("interval"), strict=True)
    write_table(out / "differences.csv", pairs.round(6))
    write_table(out / "classes.csv", class_table(judged, shown, named))
    write_json(out / "summary.json", plain)
    made.write(out / "index.html")


def class_table(judged: Sequence[Judged], shown: Shown, named: Mapping[str, str]) -> pd.DataFrame:
    """Accuracy per class (with pictures) and arm."""
    import pandas as pd

    labels = np.array(shown.labels)
    counts = np.bincount(labels, minlength=len(shown.keys))
    kept = np.flatnonzero(counts)
    columns = {
        each.arm.name: (
            np.bincount(labels, weights=each.hits, minlength=len(counts))[kept] / counts[kept]
        ).round(4)
        for each in judged
    }
    head = {
        "key": [shown.keys[i] for i in kept],
        "class": [named[shown.keys[i]] for i in kept],
        "pictures": counts[kept],
    }
    return pd.DataFrame({**head, **columns})


def comparison_page(
    arms: Arms,
    judge: Judge,
    shown: Shown,
    found: tuple[Sequence[Judged], Sequence[Difference]],
    *,
    title: str,
) -> Page:
    """Accuracies, what the sets are worth against controls, every difference."""
    from visus.drawing import Band, Mark, draw_marks
    from visus.methods.vgloss.figures import draw_differences
    from visus.webpage import Page

    judged, differences = found
    page = Page(f"Descriptions compared on {title}")
    page.add_text(
        f"{len(shown.labels)} pictures of {len(set(shown.labels))} classes; {judge.how}. Intervals: bootstrap, 95 %. "
        "p-values: sign flips, Holm over all pairs."
    )
    for note in arms.notes:
        page.add_text(note[0].upper() + note[1:] + ".")
    for warning in warnings_of(judged, differences):
        page.add_text(warning, note=True)
    ordered = sorted(judged, key=lambda each: -each.top1)
    marks = [
        Mark(name=each.arm.name, value=each.top1, interval=each.interval, group=each.arm.kind)
        for each in ordered
    ]
    caption = (
        "Top-1 accuracy with 95 % intervals. They overlap more than paired differences would: see below."
    )
    chance = Band(name="chance", low=judge.chance, high=judge.chance, aim=False)
    page.add_drawing(draw_marks(marks, what="top-1 accuracy", bands=[chance], percent=True), caption)
    rows = [
        (
            each.arm.name,
            each.arm.kind,
            f"{each.arm.per_class:.3g}",
            percents(each.top1, each.interval),
            percents(each.top5),
            percents(each.per_class),
        )
        for each in ordered
    ]
    page.add_table(["texts", "kind", "per class", "top-1", "top-5", "mean over classes"], rows)
    _add_differences(page, ordered, differences, draw_differences)
    return page


def warnings_of(judged: Sequence[Judged], differences: Sequence[Difference]) -> list[str]:
    """What speaks against a given set: random words that do as well, or a set that is not told from its shuffle."""
    kinds = {each.arm.name: each.arm.kind for each in judged}
    pairs = {frozenset((each.first, each.second)): each for each in differences}
    found = []
    for name in (name for name, kind in kinds.items() if kind == GIVEN):
        words = pairs[frozenset((name, WORDS))]
        if words.first == WORDS or not words.sure:
            found.append(
                f"{name} is not told from names with random words: what it says of the classes may not help."
            )
        own = pairs.get(frozenset((name, f"{SHUFFLED}: {name}")))
        if own is not None and (own.first != name or not own.sure):
            found.append(f"{name} is not told from itself with classes exchanged: its content is not used.")
    return found


def _add_differences(page: Page, ordered: Sequence[Judged], differences: Sequence[Difference], draw) -> None:
    from visus.methods.vgloss.verbs.comparing import told

    names = [each.arm.name for each in ordered]
    place = {name: i for i, name in enumerate(names)}
    values, sure = np.zeros((len(names),) * 2), np.zeros((len(names),) * 2, dtype=bool)
    for each in differences:
        i, j = place[each.first], place[each.second]
        values[i, j], values[j, i] = each.found.difference, -each.found.difference
        sure[i, j] = sure[j, i] = each.sure
    page.add_heading("Every set against every other")
    caption = "Row less column in percentage points; bold: told from zero at 0.05 after Holm's correction."
    page.add_drawing(draw(names, values, sure), caption)
    kinds = {each.arm.name: each.arm.kind for each in ordered}
    main = [each for each in differences if {kinds[each.first], kinds[each.second]} & {GIVEN, EQUAL}]
    main = [each for each in main if not _shuffle_of_other(each, kinds)]
    main.sort(key=lambda each: (place[each.first], place[each.second]))
    rows = [(each.first, each.second, told(each), chance(each.p)) for each in main]
    page.add_text("Differences that concern the sets given [points]; all others are in differences.csv.")
    page.add_table(["better", "than", "by (95 % interval)", "p"], rows)


def _shuffle_of_other(each: Difference, kinds: Mapping[str, str]) -> bool:
    """A set against another set's shuffle says nothing that its own does not."""
    control = next((name for name in (each.first, each.second) if name.startswith(f"{SHUFFLED}: ")), None)
    if control is None or kinds[control] != CONTROL:
        return False
    return control.removeprefix(f"{SHUFFLED}: ") not in (each.first, each.second)
