"""Slot Attention: slots compete for tokens and are updated by what they win."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from visus.errors import InputError
from visus.nn.slots.blocks import layer_norm, mlp, start_like_flax


class SlotAttention(nn.Module):
    """Slots compete for tokens: softmax over slots, then a weighted mean over tokens and a recurrent update.

    a_kn = softmax_k(q_k . k_n / sqrt(e));   u_k = sum_n a_kn v_n / (sum_n a_kn + eps)
    s_k <- GRU(u_k, s_k);   s_k <- s_k + MLP(LN s_k) when `hidden` is given

    q = W_q LN(s), k = W_k LN(x), v = W_v LN(x), none with a bias. With several heads the softmax runs over all
    (head, slot) pairs and the heads' updates are concatenated.

    Paper: Locatello et al. 2020 (2006.15055), algorithm 1. Without `hidden` and with `qkv` other than `size` it
    is the corrector of SAVi (2111.12594); with `hidden` and `epsilon_inside` that of SLATE and NSI (2403.07887).
    The GRU has torch's bias layout, of which Flax's is the special case with zero hidden biases on the reset and
    update gates.

    Parameters
    ----------
    features : width c of the tokens.
    size : width d of the slots.
    qkv : inner width, `size` unless given; also the width of the GRU's input.
    hidden : width of the residual MLP; None leaves it out.
    iterations : rounds of competition; keys and values are computed once for all of them.
    heads : number of heads; divides `qkv`.
    epsilon : added to the sum over tokens, so that a slot that wins nothing divides by no zero.
    epsilon_inside : add it to every weight before the sum instead: (a + eps) / sum_n (a + eps).

    Memory: (b, heads, k, n) numbers per iteration in training; nothing of size k n c.

    >>> import torch
    >>> slots, attention = SlotAttention(32, 64)(torch.randn(2, 100, 32), torch.randn(2, 5, 64))
    >>> slots.shape, attention.shape
    (torch.Size([2, 5, 64]), torch.Size([2, 5, 100]))
    """

    def __init__(
        self,
        features: int,
        size: int,
        *,
        qkv: int | None = None,
        hidden: int | None = None,
        iterations: int = 1,
        heads: int = 1,
        epsilon: float = 1e-8,
        epsilon_inside: bool = False,
    ) -> None:
        super().__init__()
        qkv = size if qkv is None else qkv
        if heads < 1 or qkv % heads:
            raise InputError(
                f"inner width {qkv} cannot be divided among {heads} heads",
                field="heads",
                remedy="choose a number of heads that divides it",
            )
        self.features, self.size, self.heads = features, size, heads
        self.iterations = _checked(iterations)
        self.epsilon, self.epsilon_inside = epsilon, epsilon_inside
        self.norm_features, self.norm_slots = layer_norm(features), layer_norm(size)
        self.to_query = nn.Linear(size, qkv, bias=False)
        self.to_key = nn.Linear(features, qkv, bias=False)
        self.to_value = nn.Linear(features, qkv, bias=False)
        self.gru = nn.GRUCell(qkv, size)
        self.norm_mlp = None if hidden is None else layer_norm(size)
        self.mlp = None if hidden is None else mlp(size, hidden, size)
        start_like_flax(self)

    def forward(
        self,
        features: Float[Tensor, "b n c"],
        slots: Float[Tensor, "b k d"],
        *,
        iterations: int | None = None,
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k n"]]:
        """Updated slots, and the last iteration's attention.

        The attention is the softmax over slots, before it is divided by its sum over tokens, summed over heads:
        it sums to 1 over slots.
        """
        rounds = self.iterations if iterations is None else _checked(iterations)
        features = self.norm_features(features)
        keys = rearrange(self.to_key(features), "b n (h e) -> b h e n", h=self.heads)
        keys = keys * keys.shape[2] ** -0.5
        values = rearrange(self.to_value(features), "b n (h e) -> b h n e", h=self.heads)
        for _ in range(rounds):
            slots, attention = self._compete(slots, keys, values)
        return slots, attention.sum(1)

    def _compete(
        self, slots: Float[Tensor, "b k d"], keys: Float[Tensor, "b h e n"], values: Float[Tensor, "b h n e"]
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b h k n"]]:
        queries = rearrange(self.to_query(self.norm_slots(slots)), "b k (h e) -> b h k e", h=self.heads)
        logits = queries @ keys
        attention = logits.flatten(1, 2).softmax(1).view_as(logits)
        if self.epsilon_inside:
            weights = attention + self.epsilon
            total = weights.sum(-1, keepdim=True)
        else:
            weights, total = attention, attention.sum(-1, keepdim=True) + self.epsilon
        # dividing the k updates costs less than dividing the k x n weights
        updates = rearrange((weights @ values) / total, "b h k e -> (b k) (h e)")
        slots = self.gru(updates, slots.flatten(0, 1)).view_as(slots)
        if self.mlp is not None and self.norm_mlp is not None:
            slots = slots + self.mlp(self.norm_mlp(slots))
        return slots, attention

    def extra_repr(self) -> str:
        return f"iterations={self.iterations}, heads={self.heads}, epsilon={self.epsilon}"


def _checked(iterations: int) -> int:
    if iterations < 1:
        raise InputError(f"is {iterations}", field="iterations", remedy="give at least one")
    return iterations
