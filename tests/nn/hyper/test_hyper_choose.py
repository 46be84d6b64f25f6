"""Choosing an implementation by measurement."""

import time

import pytest
import torch

from visus.nn.hyper import conv_each, forget_measurements, measurements
from visus.nn.hyper.choose import fastest


@pytest.fixture(autouse=True)
def _fresh():
    forget_measurements()
    yield
    forget_measurements()


def quick(x, weight, bias):
    return x * weight


def slow(x, weight, bias):
    time.sleep(0.02)
    return x * weight


def broken(x, weight, bias):
    raise RuntimeError("no such kernel")


def inputs(batch=3):
    return torch.ones(batch, 2), torch.ones(batch, 2), None


def test_the_faster_way_wins_and_is_remembered_per_shape():
    calls = []

    def counted(x, weight, bias):
        calls.append(len(x))
        return quick(x, weight, bias)

    for _ in range(3):
        assert fastest(("t",), {"slow": slow, "quick": counted}, inputs(), default="slow") == "quick"
    assert len(calls) == 4
    fastest(("t",), {"slow": slow, "quick": counted}, inputs(4), default="slow")
    assert len(calls) == 4, "batches of 3 and 4 share a measurement"
    fastest(("t",), {"slow": slow, "quick": counted}, inputs(9), default="slow")
    assert len(calls) == 8


def test_a_way_that_cannot_run_is_no_candidate():
    assert fastest(("t",), {"broken": broken, "slow": slow}, inputs(), default="broken") == "slow"
    assert fastest(("u",), {"broken": broken}, inputs(), default="broken") == "broken"


def test_deterministic_mode_never_measures():
    torch.use_deterministic_algorithms(True)
    try:
        assert fastest(("t",), {"slow": slow, "quick": quick}, inputs(), default="slow") == "slow"
    finally:
        torch.use_deterministic_algorithms(False)
    assert measurements() == {}


def test_auto_draws_no_random_numbers_and_leaves_no_gradient():
    x, weight = torch.ones(2, 3, 6, 6), torch.ones(2, 4, 3, 3, 3, requires_grad=True)
    before = torch.get_rng_state()
    conv_each(x, weight, impl="auto")
    assert torch.equal(before, torch.get_rng_state())
    assert weight.grad is None
    ((choice, seconds),) = measurements().values()
    assert choice in seconds
    assert set(seconds) <= {"grouped", "vmap", "loop"}
