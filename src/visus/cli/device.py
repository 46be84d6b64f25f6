"""Refuse a device that no trial could use, before any trial begins."""

from __future__ import annotations


def check_device(device: str, *, backend: str = "local") -> None:
    """Raise `InputError` for a device that is none, or that this machine lacks.

    The GPUs of a cluster are not this machine's: there, a CUDA device is left to the trials to check.
    """
    elsewhere = backend != "local" and device.partition(":")[0] == "cuda"
    if device in ("auto", "cpu") or elsewhere:
        return  # without importing torch
    from visus.engine.run import uses_cpu

    uses_cpu(device)
