"""Where trials run: processes of this machine, or a cluster that is already there.

A pool is a generator: jobs in, outcomes out as they come. It ends early when a worker dies or when the stop
file appears; the caller sees which jobs are left.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from visus.errors import InputError
from visus.extras import need
from visus.study.trials import Job, Outcome, crash, run_job

Pool = Callable[[Sequence[Job]], Iterator[Outcome]]
PATIENCE_SECONDS = 15
"""How long a cluster may take to answer."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def local(jobs: Sequence[Job], *, workers: int) -> Iterator[Outcome]:
    """Run jobs in fresh processes of this machine (joblib's loky)."""
    from joblib.externals.loky import ProcessPoolExecutor, wait
    from joblib.externals.loky.process_executor import BrokenProcessPool

    if not jobs:
        return
    threads = dict.fromkeys(_THREAD_VARIABLES, str(jobs[0].threads))
    executor = ProcessPoolExecutor(
        max_workers=min(workers, len(jobs)), env=threads, initializer=_leave_ctrl_c_alone
    )
    finished = False
    try:
        pending = {executor.submit(run_job, job) for job in jobs}
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when="FIRST_COMPLETED")
            for future in done:
                if not future.cancelled():
                    yield future.result()
            if jobs[0].stop.exists():
                pending = {future for future in pending if not future.cancel()}
        finished = True
    except BrokenProcessPool:
        return
    finally:
        executor.shutdown(wait=True, kill_workers=not finished)


def dask(jobs: Sequence[Job], *, address: str | None) -> Iterator[Outcome]:
    """Run jobs on the workers of a Dask cluster that is already there.

    The workers need visus and must see the output folder under the same path. A worker with several threads
    runs one trial at a time. The cluster gives a task to another worker when one dies; after its limit it blames
    the tasks that were there, guilty or not, so each of these runs again, alone, before its trial has failed.

    Differs from joblib's Dask backend, which waits for ever for a task whose workers died, and runs in this
    process where the cluster has one thread.
    """
    distributed = need("distributed", extra="cluster", purpose="the dask backend")
    address = address or os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:
        remedy = "give --address tcp://host:8786 or set DASK_SCHEDULER_ADDRESS"
        raise InputError("names no cluster", field="backend dask", remedy=remedy)
    try:
        client = distributed.Client(address, timeout=PATIENCE_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        remedy = "start one with `dask scheduler` and `dask worker`, or correct the address"
        raise InputError(f"no Dask scheduler answers at {address}", field="address", remedy=remedy) from error
    with client, client.as_current():
        blamed: list[Job] = []
        for outcome in _submitted(distributed, client, jobs):
            if isinstance(outcome, Outcome):
                yield outcome
            else:
                blamed.append(outcome[0])
        for job in blamed:
            for outcome in _submitted(distributed, client, [job]):
                if isinstance(outcome, Outcome):
                    yield outcome
                else:
                    reason = f"the worker process died or could not start the trial: {outcome[1]!r}"
                    yield crash(job, reason)


def _submitted(
    distributed: Any, client: Any, jobs: Sequence[Job]
) -> Iterator[Outcome | tuple[Job, BaseException]]:
    """Outcomes of jobs on a Dask cluster, or a job with what happened to its worker or to the scheduler."""
    futures = {client.submit(run_job, job, pure=False): job for job in jobs}
    while futures and not jobs[0].stop.exists():
        with contextlib.suppress(TimeoutError):
            distributed.wait(list(futures), timeout=0.2, return_when="FIRST_COMPLETED")
        for future in [future for future in futures if future.done()]:
            job = futures.pop(future)
            try:
                yield future.result()
            except (Exception, distributed.CancelledError) as error:
                yield job, error
    client.cancel(list(futures))  # those that have not begun; the others end by themselves


def ray(jobs: Sequence[Job], *, address: str | None) -> Iterator[Outcome]:
    """Run jobs on a Ray cluster that is already there, as tasks of one CPU each.

    The machines need visus and must see the output folder under the same path. Ray's own joblib backend is
    not used: it exchanges a base class of joblib's pools for the rest of the process.
    """
    module = need("ray", extra="ray", purpose="the ray backend")
    address = address or os.environ.get("RAY_ADDRESS")
    if not module.is_initialized():
        if not address:
            remedy = "give --address auto (a cluster of this machine) or set RAY_ADDRESS"
            raise InputError("names no cluster", field="backend ray", remedy=remedy)
        try:
            module.init(address=address, log_to_driver=False)
        except (ConnectionError, OSError, ValueError, RuntimeError) as error:
            remedy = "start one with `ray start --head`, or correct the address"
            raise InputError(
                f"no Ray cluster answers at {address}", field="address", remedy=remedy
            ) from error
    task = module.remote(num_cpus=1, max_retries=1)(run_job)
    pending = {task.remote(job): job for job in jobs}
    while pending and not jobs[0].stop.exists():
        done, _ = module.wait(list(pending), num_returns=1, timeout=0.2)
        for reference in done:
            job = pending.pop(reference)
            try:
                yield module.get(reference)
            except module.exceptions.RayError as error:
                yield crash(job, f"the worker process died: {error}")
    for reference in pending:
        module.cancel(reference)


def _leave_ctrl_c_alone() -> None:
    """Ctrl-C in a terminal reaches every process; a worker without a trial must not die of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
