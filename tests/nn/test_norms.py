"""Batch normalization over processes, in one; tests/engine/test_engine_processes.py has two."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from visus.nn.norms import SyncedBatchNorm, has_batch_norm, sync_batch_norm


def test_synced_batch_norm_in_one_process_is_torchs():
    one, two = nn.BatchNorm2d(3), SyncedBatchNorm(3)
    x = torch.randn(4, 3, 2, 2)
    assert torch.equal(one(x), two(x))
    assert torch.equal(one.running_var, two.running_var)
    assert torch.equal(one.eval()(x), two.eval()(x))
    with pytest.raises(ValueError, match="at least"):
        two(torch.randn(3))


def test_sync_keeps_objects_names_and_hooks():
    norm = nn.BatchNorm1d(2)
    called = []
    norm.register_forward_hook(lambda *_: called.append(1))
    module = nn.ModuleDict({"a": nn.Sequential(norm), "b": nn.LayerNorm(2), "c": nn.InstanceNorm1d(2)})
    before = dict(module.state_dict())
    sync_batch_norm(module)
    sync_batch_norm(module)
    assert isinstance(module["a"][0], SyncedBatchNorm)
    assert module["a"][0] is norm
    assert type(module["b"]) is nn.LayerNorm
    assert type(module["c"]) is nn.InstanceNorm1d
    assert list(module.state_dict()) == list(before)
    module["a"](torch.randn(3, 2))
    assert called == [1]
    alone = nn.BatchNorm1d(2)
    sync_batch_norm(alone)
    assert isinstance(alone, SyncedBatchNorm)


def test_has_batch_norm():
    assert has_batch_norm(nn.Sequential(nn.Linear(1, 1), nn.BatchNorm3d(2)))
    assert has_batch_norm(SyncedBatchNorm(2))
    assert not has_batch_norm(nn.Sequential(nn.LayerNorm(2), nn.GroupNorm(1, 2), nn.InstanceNorm2d(2)))
