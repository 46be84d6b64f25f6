"""`StatmTracker`: videos in; segments, tracks and futures of their objects out."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from visus.data.loader import fingerprint
from visus.data.videos import Remembered, Videos, Whole
from visus.engine import Run, TorchEstimator
from visus.errors import InputError
from visus.methods.statm.config import PRESETS, StatmConfig, check
from visus.methods.statm.estimator.building import chosen_hint, chosen_targets, model_of, predictor_of
from visus.methods.statm.estimator.following import Following
from visus.methods.statm.estimator.judging import evaluate_each, evaluate_future, foretold, predict, told
from visus.methods.statm.estimator.segments import Segments
from visus.methods.statm.model.predictors import Predictor
from visus.methods.statm.model.video import SlotVideo
from visus.methods.statm.training import (
    FutureTraining,
    HintKind,
    Training,
    as_inputs,
    future_phase,
    lessons,
    phase,
    validated,
)
from visus.protocols import Batch, Claim, Experiment, Prediction, Scores, Source
from visus.records import to_plain


class StatmTracker(TorchEstimator):
    """Divide videos into objects, follow these through the frames, and roll the scene out into the future.

    A slot model (SAVi or SAVi++) whose slots start from what is known of the objects in the first frame, such as
    their boxes, and are carried from frame to frame by a predictor; STATM's remembers the slots of past frames.
    Baselines are the same estimator with another `predictor`.

    Data are videos (`visus.data.videos.Videos`: folders in the layouts of `visus.data.corpora`, or worlds), or
    sources of clips with `video` (b, t, 3, h, w) uint8. Learning needs `backward_flow`, or nothing but the
    frames; hints need `boxes` or `segmentation`.

    After `fit`: `init_` and `targets_` (what the slots start from, what is decoded), `model_`, and `future_`, a
    predictor of its own for roll-outs, or None.

    Paper: 2403.15245. Differs: see NOTES.md.

    Parameters
    ----------
    config : settings; None takes the defaults.
    """

    slug: ClassVar[str] = "statm"
    arxiv: ClassVar[str] = "2403.15245"
    Config: ClassVar[type] = StatmConfig
    PRESETS: ClassVar[Mapping[str, StatmConfig]] = PRESETS

    def fit(self, data: Videos | Source, run: Run | None = None) -> Self:
        """Learn from videos, cut into clips, or from clips as they are; run again in the same folder to resume.

        The videos that choose the best weights are held out as a whole.

        Raises
        ------
        InputError : a setting out of its bounds, no videos or only too short ones, or clips without what the
            targets or the hints need.
        """
        config: StatmConfig = self.settings
        check(config)
        run = run if run is not None else Run(progress=False)
        found = lessons(data, length=config.clip_length, size=config.image_size)
        first = found.clips.batch([0])
        self.init_: HintKind = chosen_hint(config, first)
        self.targets_: tuple[Target, ...] = chosen_targets(config, first)
        futures = self._futures(data, run.seed) if config.future_steps else None
        learned, held = found.split(config.validation, seed=run.seed)
        with run.seeded("init"):
            self._build()
        training = Training(self.model_, config, hint=self.init_, targets=self.targets_)
        training.read(first, torch.device("cpu"))
        if config.start_at_mean:
            training.start_at_mean(learned)
        # only now: a folder must not be bound to data that cannot be used
        run.bind({"method": self.slug, "config": to_plain(config), "data": fingerprint(found.clips)})
        run.train(
            training,
            learned,
            [phase(config, validated=held is not None)],
            check=None if held is None else lambda: validated(training, held, run.device),
        )
        self.model_.to(run.device)
        if futures is not None:
            self._fit_future(futures, run)
        return self

    def _futures(self, data: Videos | Source, seed: int) -> Source:
        """Clips that are long enough for a roll-out, of the videos that the model learns from."""
        config: StatmConfig = self.settings
        wanted = config.burn_in + config.horizon
        found = lessons(data, length=wanted, size=config.image_size)
        frames = found.clips.batch([0])["video"].shape[1]
        if frames < wanted:
            raise InputError(
                f"clips of {frames} frames are too short for roll-outs of {config.burn_in} + {config.horizon}",
                field="burn_in, horizon",
                remedy="give longer clips or videos, or smaller numbers",
            )
        return found.split(config.validation, seed=seed)[0]

    def _fit_future(self, clips: Source, run: Run) -> None:
        """Train the roll-out predictor, from the tracker's, on frozen slots."""
        assert self.future_ is not None
        self.future_.load_state_dict(self.model_.predictor.state_dict())
        training = FutureTraining(
            self.model_, self.future_, self.settings, hint=self.init_, targets=self.targets_
        )
        run.child("future").train(training, clips, [future_phase(self.settings)])

    # ---- using a model -----------------------------------------------------------------------------------

    def predict(self, inputs: Batch | Source | Videos) -> Prediction:
        """Follow the objects of whole videos (all with equally many frames).

        Returns
        -------
        {"segmentation": (n, t, h, w) uint8, "boxes": (n, t, m, 4) float32, "slots": (n, t, k, d) float32}; see
        `visus.methods.statm.estimator.segments.Segments`.

        Raises
        ------
        InputError : as `fit`; videos of different lengths.
        """
        return predict(self, inputs)

    def follow(self, start: Batch) -> Following:
        """Follow videos piece by piece: `follow(first_frames_with_hints).push(frames)`, again and again.

        `start` holds the first frame (b, 1, 3, h, w) of each video or more, and the hints about it. Pieces of
        any length give what `predict` gives of the whole.
        """
        inputs = self.inputs(start)
        return Following(self.model().eval(), inputs, grid=self.settings.image_size)

    def track(
        self, frames: Iterable[Any], hints: Mapping[str, Any] | None = None, *, piece: int = 8
    ) -> Iterator[Segments]:
        """Follow the objects of one video as its frames come.

        Parameters
        ----------
        frames : (3, h, w) uint8 tensors or arrays.
        hints : what is known of the first frame: `boxes` (m, 4), `points` (m, 2) or `segmentation` (h, w).
        piece : frames at a time; changes speed and memory alone. What is remembered of the past grows with the
            frames unless the predictor's buffer is bounded, see `remembering`.

        Returns
        -------
        One `Segments` (batch of 1) per piece.
        """
        if piece < 1:
            raise InputError(f"{piece} is not 1 or more", field="piece", remedy="give 1 or more")
        following: Following | None = None
        for part in _pieces(frames, piece):
            if following is None:
                following = self.follow({"video": part[:, :1], **self.as_hints(hints or {})})
            yield following.push(part)

    def follow_video(self, videos: Videos, index: int, *, piece: int = 24) -> Iterator[Segments]:
        """Follow one of some videos; `piece` frames at a time are read."""
        following, name = None, videos.names[index]
        for start in range(0, videos.num_frames(index), piece):
            clip = videos.read(index, start, min(start + piece, videos.num_frames(index)))
            if following is None:
                fields = {key: value[None] for key, value in clip.items() if isinstance(value, Tensor)}
                following = self.follow({**fields, "name": [name]})
            yield following.push(clip["video"][None])

    @staticmethod
    def as_hints(known: Mapping[str, Any]) -> Batch:
        """What is known of one video's first frame as fields of a batch."""
        fields = {key: torch.as_tensor(np.asarray(value))[None, None] for key, value in known.items()}
        return {key: value[:, 0] if key == "points" else value for key, value in fields.items()}

    def foretell(self, batch: Batch, *, burn_in: int, steps: int) -> Segments:
        """`rollout` of one batch, as `Segments`; further fields and frames are not looked at."""
        return foretold(self, batch, burn_in=burn_in, steps=steps)[0]

    def rollout(
        self, inputs: Batch | Source | Videos, *, burn_in: int | None = None, steps: int = 10
    ) -> Prediction:
        """See the first `burn_in` frames, then go on without seeing.

        Returns
        -------
        As `predict` for the `steps` frames to come, and `output` (n, steps, c, h, w), what is decoded on the
        network's grid: colors in 0..1 where the model learned colors, else flow colors or depth.
        """
        seen: int = self.settings.burn_in if burn_in is None else burn_in
        return predict(self, inputs, burn_in=seen, steps=steps)

    def evaluate(self, data: Batch | Source | Videos) -> Scores:
        """Scores of whole videos, averaged over the videos that can be judged.

        With `segmentation`: `fg_ari`, `miou_conditioned`, `miou_hungarian`, `miou_overlap`, `reappearance_ari`,
        `identity_switches`, `identity_switches_after_gap`, `lost_after_gap`, `j`, `f`, `j_and_f`. With `boxes`:
        `box_iou`. With the targets: `loss`; for colors `psnr` and `ssim`. Scores that judge no video are left
        out.
        """
        return told(self.evaluate_each(data))

    def evaluate_each(
        self, data: Batch | Source | Videos, *, done: Callable[[int], None] | None = None
    ) -> dict[str, Tensor]:
        """The same scores video by video: name -> (n,) float64, nan where a video cannot be judged.

        `done` is told of the number of further videos whenever some are finished.
        """
        return evaluate_each(self, data, done=done)

    def evaluate_future(
        self, data: Batch | Source | Videos, *, burn_in: int | None = None, steps: int = 10
    ) -> Scores:
        """Scores of roll-outs against the frames that came: as `evaluate`, on the frames after `burn_in`, and
        `position_error`.
        """
        seen: int = self.settings.burn_in if burn_in is None else burn_in
        return evaluate_future(self, data, burn_in=seen, steps=steps)

    def remembering(self, frames: int | None) -> StatmTracker:
        """The same weights with another bound on the frames that are remembered."""
        made = StatmTracker(dataclasses.replace(self.settings, buffer=frames))
        made._restore(self._state())
        for name, part in made.parts().items():
            part.load_state_dict(self.parts()[name].state_dict())
            part.to(next(self.model().parameters()).device)
        return made

    def inputs(self, batch: Batch) -> Any:
        """A batch as the network reads it."""
        model, config = self.model(), self.settings
        return as_inputs(
            batch,
            size=config.image_size,
            hint=self.init_,
            objects=config.max_instances,
            device=next(model.parameters()).device,
        )

    # ---- parts and saving --------------------------------------------------------------------------------

    def model(self) -> SlotVideo:
        """The fitted video model."""
        self.parts()
        return self.model_

    def parts(self) -> dict[str, nn.Module]:
        """The video model and, where it was trained, the roll-out predictor."""
        if not hasattr(self, "model_"):
            super().parts()
        return {"model": self.model_, **({} if self.future_ is None else {"future": self.future_})}

    def _build(self) -> None:
        config: StatmConfig = self.settings
        self.model_ = model_of(config, self.init_, self.targets_)
        self.future_: Predictor | None = predictor_of(config) if config.future_steps else None

    def _state(self) -> dict[str, Any]:
        return {"init": self.init_, "targets": list(self.targets_)}

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.init_, self.targets_ = state["init"], tuple(state["targets"])
        self._build()

    # ---- data and claims ---------------------------------------------------------------------------------

    @classmethod
    def example(cls, part: Literal["train", "test"] = "train", *, seed: int = 0) -> Source:
        """Embedded data: short videos of moving objects behind panels, with everything that is known of them."""
        return example_videos(part, seed)

    @classmethod
    def claims(cls) -> Sequence[Claim]:
        """What the paper asserts, and controls, made measurable."""
        from visus.methods.statm.claims import CLAIMS

        return CLAIMS

    @classmethod
    def experiments(cls) -> Sequence[Experiment]:
        """How the claims are measured."""
        from visus.methods.statm.claims import EXPERIMENTS

        return EXPERIMENTS


@functools.cache
def example_videos(part: Literal["train", "test"], seed: int) -> Whole:
    """Small videos of the world of moving objects, kept in memory."""
    from visus.data.worlds.scenes import SceneVideos

    count = 20 if part == "train" else 6
    videos = SceneVideos(count, frames=12, seed=seed, part=part, size=24, objects=(2, 4))
    return Whole(Remembered(videos))


def _pieces(frames: Iterable[Any], size: int) -> Iterator[Tensor]:
    """Frames in batches of one video."""
    kept: list[Tensor] = []
    for number, frame in enumerate(frames):
        kept.append(torch.as_tensor(np.asarray(frame)))
        if kept[-1].shape != kept[0].shape:
            raise InputError(
                f"is {tuple(kept[-1].shape)}, the one before {tuple(kept[0].shape)}",
                field=f"frame {number}",
                remedy="give frames of one size",
            )
        if len(kept) == size:
            yield torch.stack(kept)[None]
            kept = []
    if kept:
        yield torch.stack(kept)[None]
