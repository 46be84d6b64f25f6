"""Slots: encoders, Slot Attention, initializers and decoders that object-centric methods share.

>>> import torch
>>> encoder, start = slot_encoder("cnn"), GaussianSlots(5, 64)
>>> slots, attention = SlotAttention(encoder.features, 64, iterations=3)(encoder(torch.zeros(2, 3, 64, 64)), start(2))
>>> broadcast_decoder(64, 3, image=(64, 64))(slots).output.shape
torch.Size([2, 3, 64, 64])
"""

from visus.nn.slots.attention import SlotAttention
from visus.nn.slots.blocks import CrossAttention, TransformerBlock, layer_norm, mlp, start_like_flax
from visus.nn.slots.decoders import Decoded, MLPDecoder, SpatialBroadcastDecoder, broadcast_decoder
from visus.nn.slots.encoders import Backbone, ConvBackbone, ResNetBackbone, SlotEncoder, slot_encoder
from visus.nn.slots.initializers import BoxSlots, GaussianSlots, LearnedSlots, MaskSlots, PointSlots
from visus.nn.slots.positions import PositionGrid, linear_grid
from visus.nn.slots.same import SameConv2d, SameConvTranspose2d, same_padding, transposed_padding

__all__ = [
    "Backbone",
    "BoxSlots",
    "ConvBackbone",
    "CrossAttention",
    "Decoded",
    "GaussianSlots",
    "LearnedSlots",
    "MLPDecoder",
    "MaskSlots",
    "PointSlots",
    "PositionGrid",
    "ResNetBackbone",
    "SameConv2d",
    "SameConvTranspose2d",
    "SlotAttention",
    "SlotEncoder",
    "SpatialBroadcastDecoder",
    "TransformerBlock",
    "broadcast_decoder",
    "layer_norm",
    "linear_grid",
    "mlp",
    "same_padding",
    "slot_encoder",
    "start_like_flax",
    "transposed_padding",
]
