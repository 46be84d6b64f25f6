"""Embeddings on disk, found again by what made them and what they were made of.

Layout: one folder per encoder identity (its hash), in it shards that are written once, each whole or not at all:
safetensors with `keys` (m, 32) uint8, the SHA-256 of a file's bytes or of a text, and `values` (m, e) float32; the
header names the identity. Nothing is ever changed, so a process that is killed loses only what it had not
written, and several processes may share a folder.
"""

from __future__ import annotations

import os
import time
import uuid
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from visus.data.features.identity import hash_of
from visus.errors import InputError
from visus.records import write_atomically

DIGEST = 32
ENDING = ".safetensors"


@dataclass(frozen=True)
class CacheStats:
    """What a cache holds on disk, and how often this object was asked."""

    encoders: int
    shards: int
    items: int
    bytes: int
    hits: int
    misses: int


@dataclass
class _Scope:
    """The shards of one encoder as far as they have been read: key -> (shard, row)."""

    folder: Path
    seen: set[str] = field(default_factory=set)
    places: dict[bytes, tuple[str, int]] = field(default_factory=dict)


class FeatureCache:
    """Embeddings by (encoder identity, key), on disk; see the module's docstring.

    Keys are SHA-256 digests in hexadecimal. A damaged shard is passed over with a warning that names it; what it
    held counts as missing.

    >>> cache = FeatureCache("features")
    >>> cache.put_many("encoder 1", {"ab" * 32: torch.ones(3)})
    >>> [row.tolist() for row in cache.get_many("encoder 1", ["ab" * 32, "cd" * 32]).values()]
    [[1.0, 1.0, 1.0]]
    >>> cache.get_many("encoder 2", ["ab" * 32])
    {}
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError("is a file", file=self.folder, remedy="give a folder for the cache")
        self._scopes: dict[str, _Scope] = {}
        self._hits = self._misses = 0

    def get_many(self, identity: str, keys: Iterable[str]) -> dict[str, Float32[Tensor, " e"]]:
        """The rows that are there, by key, those that other processes have written meanwhile included."""
        scope = self._refreshed(identity)
        wanted: dict[str, dict[int, str]] = {}
        asked = list(dict.fromkeys(keys))
        for key in asked:
            if place := scope.places.get(bytes.fromhex(key)):
                wanted.setdefault(place[0], {})[place[1]] = key
        found: dict[str, Tensor] = {}
        for shard, rows in wanted.items():
            values = _read(scope.folder / shard, "values")
            if values is not None:
                found |= {key: values[row] for row, key in rows.items()}
        self._hits += len(found)
        self._misses += len(asked) - len(found)
        return {key: found[key] for key in asked if key in found}

    def put_many(self, identity: str, rows: Mapping[str, Float32[Tensor, " e"]]) -> None:
        """Add rows as one shard, whole or not at all."""
        if not rows:
            return
        digests = [bytes.fromhex(key) for key in rows]
        if any(len(digest) != DIGEST for digest in digests):
            raise InputError(
                "are not SHA-256 digests", field="keys", remedy="give 64 hexadecimal digits each"
            )
        scope = self._refreshed(identity)
        name = f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:8]}{ENDING}"
        keys = torch.frombuffer(bytearray(b"".join(digests)), dtype=torch.uint8).view(-1, DIGEST)
        values = torch.stack([row.detach().cpu().float() for row in rows.values()])
        content = save({"keys": keys, "values": values}, metadata={"identity": identity})
        write_atomically(scope.folder / name, content)
        self._index(scope, name, digests)

    @property
    def stats(self) -> CacheStats:
        """Counts over all encoders; items are counted once per shard that holds them."""
        shards = sorted(self.folder.glob(f"*/*{ENDING}"))
        keys = [_read(shard, "keys") for shard in shards]
        return CacheStats(
            encoders=len({shard.parent for shard in shards}),
            shards=len(shards),
            items=sum(len(each) for each in keys if each is not None),
            bytes=sum(shard.stat().st_size for shard in shards),
            hits=self._hits,
            misses=self._misses,
        )

    def _refreshed(self, identity: str) -> _Scope:
        """The encoder's scope with the shards that have come since."""
        scope = self._scopes.setdefault(identity, _Scope(self.folder / hash_of(identity)))
        for shard in sorted(scope.folder.glob(f"*{ENDING}")):
            if shard.name not in scope.seen:
                keys = _read(shard, "keys", identity=identity)
                digests = [] if keys is None else [bytes(row) for row in keys.numpy()]
                self._index(scope, shard.name, digests)
        return scope

    @staticmethod
    def _index(scope: _Scope, shard: str, digests: Iterable[bytes]) -> None:
        scope.seen.add(shard)
        for row, digest in enumerate(digests):
            scope.places.setdefault(digest, (shard, row))


def _read(shard: Path, name: str, *, identity: str | None = None) -> Tensor | None:
    """A tensor of a shard; None, with a warning, if the shard is damaged or of another encoder."""
    try:
        with safe_open(shard, framework="pt") as content:
            if identity is not None and (content.metadata() or {}).get("identity") != identity:
                raise ValueError("belongs to another encoder")
            keys, values = (content.get_slice(part).get_shape() for part in ("keys", "values"))
            if len(values) != 2 or keys != [values[0], DIGEST]:
                raise ValueError(f"holds keys {keys} and values {values}")
            return content.get_tensor(name)
    except (SafetensorError, OSError, ValueError) as error:
        problem = f"{shard}: passed over, because it cannot be read ({error}); it may be deleted"
        warnings.warn(problem, stacklevel=4)
        return None
