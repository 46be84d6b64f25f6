"""Claims measured: arms x seeds as resumable trials, one verdict function, evidence as JSON.

Methods are known only through `visus.protocols`.
"""

from visus.study.evidence import from_json, measure, merge, to_json
from visus.study.jobs import run_trials
from visus.study.trials import Outcome
from visus.study.verdict import Verdict, decide

__all__ = ["Outcome", "Verdict", "decide", "from_json", "measure", "merge", "run_trials", "to_json"]
