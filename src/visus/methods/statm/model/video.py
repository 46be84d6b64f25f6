"""The video model: frames into slots, frame after frame, with all that is carried along in an explicit state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.errors import InputError
from visus.methods.statm.model.memory import Memory
from visus.methods.statm.model.predictors import STATM, Predictor
from visus.nn.slots import (
    BoxSlots,
    Decoded,
    GaussianSlots,
    LearnedSlots,
    MaskSlots,
    PointSlots,
    SlotAttention,
    SlotEncoder,
    SpatialBroadcastDecoder,
    broadcast_decoder,
    slot_encoder,
)

Init = Literal["boxes", "points", "masks", "gaussian", "learned"]
Hints = Mapping[str, Tensor]


class VideoState(NamedTuple):
    """All that is carried from frame to frame; a stream that goes on from it is the same as one pass.

    `slots` (b, k, d) is the prediction that starts the next frame, `memory` what the predictor remembers,
    `frame` how many frames have been seen.
    """

    slots: Tensor
    memory: Memory
    frame: int = 0

    def rows(self, index: slice | list[int] | Tensor) -> VideoState:
        """The state of some items of the batch."""
        return VideoState(self.slots[index], self.memory.rows(index), self.frame)

    def detach(self) -> VideoState:
        """The same numbers without their history: gradients stop here."""
        return VideoState(self.slots.detach(), self.memory.detach(), self.frame)

    def to(self, device: torch.device | str) -> VideoState:
        """Another device."""
        return VideoState(self.slots.to(device), self.memory.to(device), self.frame)


class VideoOutput(NamedTuple):
    """What a model says about a clip.

    `slots` (b, t, k, d) after the frame was seen, `predicted` (b, t, k, d) for the frame after it, `attention`
    (b, t, k, n) of the slots to the tokens of their frame (sums to 1 over slots), `state` after the clip;
    `output` (b, t, c, h, w) and `logits` (b, t, k, h, w) decoded from `slots`, None where not asked for.
    """

    slots: Tensor
    predicted: Tensor
    attention: Tensor
    state: VideoState
    output: Tensor | None = None
    logits: Tensor | None = None

    @property
    def masks(self) -> Tensor:
        """(b, t, k, h, w): softmax of the logits over slots."""
        if self.logits is None:
            raise InputError("was not decoded", field="logits", remedy="call the model with decode=True")
        return self.logits.softmax(2)


class FirstSlots(nn.Module):
    """What the slots of the first frame start from.

    `boxes`, `points`, `masks`: hints about the objects, slot 0 is the background's. `gaussian`: noise around a
    learned mean; in evaluation the same noise for every item and call, so that nothing depends on chance or on
    the rest of the batch. `learned`: one vector per slot.

    Parameters
    ----------
    count : slots, the background's included; of `boxes` and `points` there are as many as hints, plus 1.
    """

    def __init__(self, kind: Init, size: int, *, count: int) -> None:
        super().__init__()
        makers = {
            "boxes": lambda: BoxSlots(size),
            "points": lambda: PointSlots(size),
            "masks": lambda: MaskSlots(size),
            "gaussian": lambda: GaussianSlots(count, size),
            "learned": lambda: LearnedSlots(count, size),
        }
        if kind not in makers:
            remedy = "choose " + ", ".join(get_args(Init))
            raise InputError(f"{kind!r} is unknown", field="initializer", remedy=remedy)
        if count < 2:
            raise InputError(f"is {count}", field="slots", remedy="choose 2 or more")
        self.kind, self.count = kind, count
        self.make = makers[kind]()

    def forward(
        self, batch: int, hints: Hints | None = None, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b k d"]:
        """Slots for the first frame.

        Parameters
        ----------
        hints : of the first frame: `boxes` (b, m, 4) as [ymin, xmin, ymax, xmax] in 0..1, zeros for none;
            `points` (b, m, 2) as (y, x) in 0..1, negative for none; `masks` (b, h, w) of ids, 0 the background.
        generator : of the noise.
        """
        if self.kind == "gaussian":
            shared = generator is None and not self.training
            generator = torch.Generator().manual_seed(0) if shared else generator
            return self.make(batch, generator=generator, shared=shared)
        if self.kind == "learned":
            return self.make(batch)
        hint = (hints or {}).get(self.kind)
        if hint is None or len(hint) != batch:
            problem = "is absent" if hint is None else f"is for {len(hint)} clips, not {batch}"
            remedy = "give what is known of the first frame of every clip"
            raise InputError(problem, field=f"hints, {self.kind}", remedy=remedy)
        return self.make(hint, self.count - 1) if self.kind == "masks" else self.make(hint)


class SlotVideo(nn.Module):
    """Slots follow the objects of a video.

    s_t = corrector(p_t, encoder(x_t));   p_(t+1), memory = predictor(s_t, memory);   out_t = decoder(s_t)

    p_0 comes from the initializer. Corrected slots are decoded, not predicted ones. Gradients flow through all
    frames and through the memory.

    Paper: SAVi 2111.12594; with `STATM` as its predictor 2403.15245, sec. 3.

    Parameters
    ----------
    encoder : frames to tokens. corrector : slots and tokens to slots. predictor : slots to the next frame's.
    decoder : slots to a picture and alphas. initializer : hints to slots.
    """

    def __init__(
        self,
        *,
        encoder: SlotEncoder,
        corrector: SlotAttention,
        predictor: Predictor,
        decoder: SpatialBroadcastDecoder,
        initializer: FirstSlots,
    ) -> None:
        super().__init__()
        if predictor.size != corrector.size:
            problem = f"is for slots of {predictor.size} numbers, not {corrector.size}"
            raise InputError(problem, field="predictor", remedy="build it with the size of the slots")
        self.encoder, self.corrector, self.predictor = encoder, corrector, predictor
        self.decoder, self.initializer = decoder, initializer

    def begin(
        self, batch: int, hints: Hints | None = None, *, generator: torch.Generator | None = None
    ) -> VideoState:
        """The state before the first frame; see `FirstSlots` for the hints."""
        slots = self.initializer(batch, hints, generator=generator)
        memory = self.predictor.start(batch, slots.shape[1], device=slots.device, dtype=slots.dtype)
        return VideoState(slots, memory)

    def forward(
        self,
        video: Float[Tensor, "b t 3 h w"],
        hints: Hints | None = None,
        *,
        state: VideoState | None = None,
        decode: bool = True,
        generator: torch.Generator | None = None,
    ) -> VideoOutput:
        """Follow a clip from its beginning, or from `state` on.

        Parameters
        ----------
        video : colors in 0..1.
        hints : of the first frame; not used when the clip goes on from `state`.
        decode : also decode every frame (most of the work).
        generator : of an unconditional start's noise.
        """
        if video.ndim != 5 or not video.shape[1]:
            raise InputError(
                f"has shape {tuple(video.shape)}, expected (batch, frames, 3, height, width)",
                field="video",
                remedy="give clips of at least one frame",
            )
        state = state or self.begin(len(video), hints, generator=generator)
        tokens = self.encoder(video.flatten(0, 1)).unflatten(0, video.shape[:2])
        slots, memory = state.slots, state.memory
        steps = []
        for frame in tokens.unbind(1):
            corrected, attention = self.corrector(frame, slots)
            slots, memory = self.predictor(corrected, memory)
            steps.append((corrected, slots, attention))
        corrected, predicted, attention = (torch.stack(part, dim=1) for part in zip(*steps))
        state = VideoState(slots, memory, state.frame + video.shape[1])
        decoded = self.decode(corrected) if decode else None
        return VideoOutput(
            corrected,
            predicted,
            attention,
            state,
            None if decoded is None else decoded.output,
            None if decoded is None else decoded.logits,
        )

    def decode(self, slots: Float[Tensor, "b t k d"]) -> Decoded:
        """Picture (b, t, c, h, w) and alpha logits (b, t, k, h, w) of the slots of every frame."""
        decoded = self.decoder(slots.flatten(0, 1))
        output, logits = (part.unflatten(0, slots.shape[:2]) for part in (decoded.output, decoded.logits))
        return Decoded(output, logits)


@dataclass(frozen=True, kw_only=True)
class VideoSize:
    """Widths of a video model; `slot` is D, `qkv` the inner width of corrector and predictor."""

    slot: int
    qkv: int
    hidden: int
    encoder: Literal["small", "plus", "cnn"]
    iterations: int
    channels: int
    """Of the decoder's layers."""
    layers: int
    """Least number of the decoder's layers."""
    side: int
    """Smallest side of the decoder's broadcast grid."""
    heads: int = 4


SIZES: dict[str, VideoSize] = {
    "tiny": VideoSize(
        slot=64, qkv=64, hidden=128, encoder="cnn", iterations=1, channels=16, layers=2, side=4
    ),
    "small": VideoSize(
        slot=128, qkv=128, hidden=256, encoder="small", iterations=1, channels=64, layers=4, side=8
    ),
    "plus": VideoSize(
        slot=128, qkv=256, hidden=1024, encoder="plus", iterations=2, channels=64, layers=4, side=8
    ),
}
"""`small` and `plus`: SAVi-small at 64x64 and SAVi++ at 128x128 as 2403.15245 trains them (2 rounds of the
corrector in `plus`, where SAVi++ has 1). `tiny`: of our own, for processors."""


def slot_video(
    size: str,
    *,
    outputs: int,
    image: tuple[int, int],
    slots: int = 11,
    initializer: Init = "boxes",
    predictor: Predictor | None = None,
    iterations: int | None = None,
) -> SlotVideo:
    """A video model by its size.

    Parameters
    ----------
    size : `tiny`, `small` or `plus`, see `SIZES`.
    outputs : channels that are decoded (flow colors 3, depth 1, RGB 3; several targets: their sum).
    image : rows and columns of frames and outputs.
    slots : their number, the background's included (11 for MOVi-A to C, 24 for D and E).
    initializer : what the first frame's slots start from.
    predictor : for slots of `SIZES[size].slot` numbers; the paper's T+S unless given.
    iterations : rounds of the corrector, where not the size's own.

    With boxes, flow and the paper's predictor `small` has 953,508 parameters (83,680 in the encoder, 123,968 in
    the corrector, 198,784 in the predictor, 512,900 in the decoder, 34,176 in the initializer); with SAVi's
    block 887,204.

    >>> model = slot_video("tiny", outputs=3, image=(32, 32))
    >>> found = model(torch.zeros(1, 2, 3, 32, 32), {"boxes": torch.zeros(1, 4, 4)})
    >>> found.slots.shape, found.output.shape, found.state.frame
    (torch.Size([1, 2, 5, 64]), torch.Size([1, 2, 3, 32, 32]), 2)
    """
    if size not in SIZES:
        raise InputError(f"{size!r} is unknown", field="size", remedy="choose " + ", ".join(SIZES))
    widths = SIZES[size]
    encoder = slot_encoder(widths.encoder, strides=(2, 1, 1))
    return SlotVideo(
        encoder=encoder,
        corrector=SlotAttention(
            encoder.features, widths.slot, qkv=widths.qkv, iterations=iterations or widths.iterations
        ),
        predictor=predictor or STATM(widths.slot, heads=widths.heads, qkv=widths.qkv, hidden=widths.hidden),
        decoder=broadcast_decoder(
            widths.slot,
            outputs,
            image=image,
            channels=widths.channels,
            layers=widths.layers,
            side=widths.side,
        ),
        initializer=FirstSlots(initializer, widths.slot, count=slots),
    )
