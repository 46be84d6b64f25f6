"""What a decoder remembers of the tokens it has seen."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from visus.errors import InputError


class KeyValueCache:
    """Preallocated rows for keys and values; with `shared`, one buffer serves as both.

    Made by an attention module's `make_cache`. Rows are written in place, so decoding runs without gradients.

    Parameters
    ----------
    batch, capacity, width : sequences, most tokens per sequence, numbers per token.
    shared : keys and values are the same rows (Efficient attention), stored once.

    >>> cache = KeyValueCache(2, 16, 8, shared=True)
    >>> keys, values = cache.append(torch.ones(2, 3, 8), None)
    >>> cache.length, keys is values, cache.nbytes == 2 * 16 * 8 * 4
    (3, True, True)
    """

    def __init__(
        self,
        batch: int,
        capacity: int,
        width: int,
        *,
        shared: bool,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if min(batch, capacity, width) < 1:
            raise InputError(
                f"a cache of {batch} x {capacity} x {width} holds nothing", remedy="use sizes of 1 or more"
            )
        self.keys = torch.zeros(batch, capacity, width, dtype=dtype, device=device)
        self.values = None if shared else torch.zeros_like(self.keys)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Most tokens it can hold."""
        return self.keys.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers, whether filled or not."""
        one = self.keys.numel() * self.keys.element_size()
        return one if self.values is None else 2 * one

    def append(
        self, keys: Float[Tensor, "b m e"], values: Float[Tensor, "b m e"] | None
    ) -> tuple[Float[Tensor, "b n e"], Float[Tensor, "b n e"]]:
        """Add m rows and return all n rows so far (views); `values` is None exactly for a shared cache."""
        if (values is None) != (self.values is None):
            raise InputError(
                "was made by another kind of attention", field="cache", remedy="use the module's make_cache"
            )
        seen = seen_values = self.stage(keys)
        end = seen.shape[1]
        if self.values is not None and values is not None:
            self._refuse_gradients(values)
            self.values[:, self.length : end] = values
            seen_values = self.values[:, :end]
        self.length = end
        return seen, seen_values

    def stage(self, keys: Float[Tensor, "b m e"]) -> Float[Tensor, "b n e"]:
        """Write the rows of the next `append` and return all n rows, without counting the new ones yet."""
        end = self.length + keys.shape[1]
        if keys.shape[0] != self.keys.shape[0] or keys.shape[2] != self.keys.shape[2]:
            raise InputError(
                f"rows of shape {tuple(keys.shape)} do not fit a cache of shape {tuple(self.keys.shape)}",
                field="cache",
                remedy="make the cache with the module that uses it and the batch size it is used with",
            )
        if end > self.capacity:
            raise InputError(
                f"holds {self.capacity} tokens, {end} are needed",
                field="cache",
                remedy="make it with a larger capacity",
            )
        self._refuse_gradients(keys)
        self.keys[:, self.length : end] = keys
        return self.keys[:, :end]

    @staticmethod
    def _refuse_gradients(rows: Tensor) -> None:
        if torch.is_grad_enabled() and rows.requires_grad:
            raise InputError(
                "a cache does not carry gradients", field="cache", remedy="decode under torch.no_grad()"
            )

    def reset(self) -> None:
        """Forget everything; the buffers are kept."""
        self.length = 0
