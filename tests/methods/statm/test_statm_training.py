"""What passes between data and the network: sizes, hints, crops, windows, the two trainings."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from statm_clips import TINY, clip, read

from visus.data import Tensors
from visus.data.videos import Clips, Whole
from visus.errors import InputError
from visus.methods.statm.config import StatmConfig
from visus.methods.statm.estimator.building import chosen_hint, chosen_targets, model_of, predictor_of
from visus.methods.statm.losses import flow_to_rgb
from visus.methods.statm.training import (
    FutureTraining,
    Training,
    boxes_around,
    lessons,
    phase,
    targets_of,
    validated,
)
from visus.methods.statm.training.inputs import check_boxes, resize_flow, resize_ids


class Memories:
    """Videos of given lengths and sizes in memory."""

    def __init__(self, lengths: list[int], sides: list[int] | None = None) -> None:
        self.names = [f"v{i}" for i in range(len(lengths))]
        sides = sides or [12] * len(lengths)
        self.clips = [clip(1, t, side, side, seed=i) for i, (t, side) in enumerate(zip(lengths, sides))]

    def __len__(self) -> int:
        return len(self.names)

    def num_frames(self, index: int) -> int:
        return self.clips[index]["video"].shape[1]

    def read(self, index: int, start: int = 0, stop: int | None = None) -> dict:
        fields = {key: value[0] for key, value in self.clips[index].items() if key != "name"}
        return {**{key: value[start:stop] for key, value in fields.items()}, "name": self.names[index]}


# ---- sizes and targets --------------------------------------------------------------------------------------


def test_colors_are_shares_and_flow_keeps_its_share_of_the_picture():
    batch = clip(h=16, w=8)
    batch["backward_flow"][:, :, 0], batch["backward_flow"][:, :, 1] = 4.0, 3.0
    found = read(batch, size=(8, 16))
    assert found.video.shape == (2, 3, 3, 8, 16)
    assert 0 <= found.video.min() <= found.video.max() <= 1
    assert found.flow is not None
    assert found.flow.unique(dim=0).unique(dim=1).shape[2] == 2
    torch.testing.assert_close(found.flow[0, 0, :, 0, 0], torch.tensor([4.0 / 2, 3.0 * 2]))
    same = read(batch, size=(16, 8))
    assert torch.equal(same.video, batch["video"].float() / 255)
    assert torch.equal(same.flow, batch["backward_flow"])


def test_ids_are_those_in_the_middle_of_the_new_pixels():
    ids = torch.arange(12).view(1, 3, 4)
    slow = [
        [ids[0, int((y + 0.5) * 3 / 5), int((x + 0.5) * 4 / 2)].item() for x in range(2)] for y in range(5)
    ]
    assert resize_ids(ids, (5, 2))[0].tolist() == slow
    assert resize_ids(ids, (3, 4)) is ids
    assert resize_flow(torch.ones(1, 1, 2, 3, 4), (3, 4)).eq(1).all()


def test_targets_follow_the_settings_and_the_data():
    batch = clip()
    assert chosen_targets(TINY, batch) == ("flow",)
    del batch["backward_flow"]
    assert chosen_targets(TINY, batch) == ("rgb",)
    assert chosen_targets(StatmConfig(targets="depth"), batch) == ("depth",)
    with pytest.raises(InputError, match=r"backward_flow: is absent.*targets=rgb"):
        chosen_targets(StatmConfig(targets="flow+depth"), batch)
    assert chosen_hint(TINY, batch) == "boxes"
    assert chosen_hint(StatmConfig(init="points"), batch) == "points"
    assert chosen_hint(TINY, {"video": batch["video"]}) == "none"


def test_targets_stand_in_their_order_from_a_frame_on():
    inputs = read(clip())
    made = targets_of(inputs, ("flow", "depth"), first=1)
    assert made.shape == (2, 2, 4, 12, 12)
    torch.testing.assert_close(made[:, :, :3], flow_to_rgb(inputs.flow[:, 1:]))
    torch.testing.assert_close(made[:, :, 3:], inputs.depth[:, 1:].log1p())


@pytest.mark.parametrize(
    "video", [None, torch.zeros(2, 3, 4, 12, 12, dtype=torch.uint8), torch.zeros(2, 3, 3, 12, 12), [1, 2]]
)
def test_frames_of_another_form_are_refused(video):
    with pytest.raises(InputError, match="video"):
        read({**clip(), "video": video} if video is not None else {"name": ["a"]})


# ---- hints --------------------------------------------------------------------------------------------------


def test_boxes_reach_around_the_pixels_of_an_object():
    ids = clip(h=13, w=9)["segmentation"]
    boxes = boxes_around(ids, 3)
    assert boxes.shape == (2, 3, 3, 4)
    for item in range(2):
        for frame in range(3):
            for i in range(3):
                rows, columns = np.nonzero(ids[item, frame].numpy() == i + 1)
                slow = [0.0] * 4
                if len(rows):
                    slow = [
                        rows.min() / 13,
                        columns.min() / 9,
                        (rows.max() + 1) / 13,
                        (columns.max() + 1) / 9,
                    ]
                assert boxes[item, frame, i].tolist() == pytest.approx(slow)


def test_hints_are_made_from_segments_and_missing_objects_are_said():
    batch = clip()
    found = read(batch, objects=3)
    assert found.present.tolist() == [[True, False, False], [True, True, False]]
    torch.testing.assert_close(found.hints["boxes"], boxes_around(batch["segmentation"][:, 0], 3))
    points = read(batch, "points")
    torch.testing.assert_close(points.hints["points"][1], torch.tensor([[2.5, 1.5], [8.0, 2.0]]) / 12)
    assert points.hints["points"][0, 1].tolist() == [-1.0, -1.0]
    masks = read(batch, "masks", size=(24, 24), objects=1)
    assert masks.hints["masks"].shape == (2, 24, 24)
    assert masks.hints["masks"].unique().tolist() == [0, 1], "an object beyond the most is background"
    assert masks.present.tolist() == [[True], [True]]
    assert read(batch, "none").hints is None


def test_given_boxes_and_points_are_cut_and_filled_up():
    batch = {"video": clip()["video"], "boxes": torch.rand(2, 3, 3, 4).sort(-1).values}
    batch["boxes"] = batch["boxes"][..., [0, 1, 2, 3]]
    few, many = read(batch, objects=2), read(batch, objects=5)
    assert torch.equal(few.hints["boxes"], batch["boxes"][:, 0, :2])
    assert not many.hints["boxes"][:, 3:].any()
    clicks = {"video": batch["video"], "points": torch.tensor([[[0.2, 0.3]], [[-1.0, -1.0]]]), **batch}
    found = read(clicks, "points")
    assert found.present.tolist() == [[True, False], [False, False]]


GOOD = [0.1, 0.2, 0.4, 0.9]


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ([0.1, 0.2, math.nan, 0.9], "not finite"),
        ([10.0, 20.0, 40.0, 90.0], "in pixels"),
        ([0.1, 0.2, 0.4, 1.2], "outside of 0..1"),
        ([0.4, 0.2, 0.1, 0.9], "ends before it begins"),
    ],
)
def test_a_box_that_cannot_be_right_is_refused_with_its_video(box, says):
    boxes = torch.tensor([[GOOD, GOOD], [GOOD, box]])
    with pytest.raises(InputError, match=says) as caught:
        check_boxes(boxes, None, names=["first", "second"])
    assert caught.value.field == "video second, object 2"
    check_boxes(torch.tensor([[GOOD]]), None, names=[])


def test_rows_and_columns_exchanged_and_missing_boxes_are_noticed_beside_segments():
    batch = clip()
    right = boxes_around(batch["segmentation"], 2)
    read({**batch, "boxes": right})
    with pytest.raises(InputError, match=r"video clip 0, object 1: .*rows and columns exchanged"):
        read({**batch, "boxes": right[..., [1, 0, 3, 2]]})
    gone = right.clone()
    gone[1, 0, 1] = 0
    with pytest.raises(InputError, match=r"video clip 1, object 2: has no box, but the first frame shows it"):
        read({**batch, "boxes": gone})


@pytest.mark.parametrize("hint", ["boxes", "points", "masks"])
def test_absent_hints_are_named(hint):
    with pytest.raises(
        InputError, match=r"video a: lacks .*segmentation.*objects of the first frame.*init=none"
    ):
        read({"video": clip(1)["video"], "name": ["a"]}, hint)


# ---- windows ------------------------------------------------------------------------------------------------


def test_no_window_of_a_held_out_video_is_learned_from():
    found = lessons(Memories([9, 7, 3, 12, 6, 8], [12, 16, 12, 20, 12, 12]), length=3, size=(12, 12))
    assert len(found.clips) == 3 + 2 + 1 + 4 + 2 + 2
    learned, held = found.split(0.4, seed=0)
    names = [{name for i in range(len(part)) for name in part.batch([i])["name"]} for part in (learned, held)]
    assert len(names[1]) == 2
    assert not names[0] & names[1]
    assert len(learned) + len(held) == len(found.clips)
    longer = lessons(Memories([9, 7, 3, 12, 6, 8]), length=6, size=(12, 12)).split(0.4, seed=0)[0]
    assert not {name for i in range(len(longer)) for name in longer.batch([i])["name"]} & names[1]
    assert found.split(0.4, seed=0)[1].indices.equal(held.indices)


def test_short_videos_are_skipped_and_named_and_sizes_may_differ():
    found = lessons(Memories([9, 2, 4], [12, 12, 30]), length=4, size=(12, 12))
    assert found.skipped == ("v1",)
    assert found.clips.batch([0, 2])["video"].shape == (2, 4, 3, 12, 12)
    with pytest.raises(InputError, match="no video has 40 frames"):
        lessons(Memories([9, 2]), length=40, size=(12, 12))
    whole = lessons(Whole(Memories([9, 9, 9]), limit=2), length=9, size=(12, 12))
    assert whole.videos == len(whole.clips) == 2
    with pytest.raises(InputError, match="is empty"):
        lessons(Memories([]), length=3, size=(12, 12))


def test_clips_that_are_given_stay_as_they_are_and_names_group_them():
    batch = clip(4)
    batch["name"] = ["a", "a", "b", "b"]
    source = Tensors(batch)
    found = lessons(source, length=2, size=(12, 12))
    assert found.clips is source
    assert found.video_of.tolist() == [0, 0, 1, 1]
    learned, held = found.split(0.5, seed=0)
    assert len({*held.batch([0, 1])["name"]} | {*learned.batch([0, 1])["name"]}) == 2
    assert lessons(Tensors(clip(1)), length=2, size=(12, 12)).split(0.5, seed=0)[1] is None
    clips = Clips(Memories([9, 9]), length=3)
    assert lessons(clips, length=2, size=(12, 12)).video_of.tolist() == [0, 0, 0, 1, 1, 1]


# ---- trainings ----------------------------------------------------------------------------------------------


class Turns:
    """The engine's part of a step: backward, and no more."""

    device, seed, phase, epoch, step, progress = torch.device("cpu"), 3, "train", 0, 0, 0.0

    def mean(self, values: torch.Tensor, weight: None = None) -> torch.Tensor:
        return values.mean()

    def update(self, name: str, loss: torch.Tensor) -> None:
        loss.backward()


def test_a_step_is_the_mean_over_clips_of_the_summed_squared_error():
    torch.manual_seed(0)
    model = model_of(TINY, "boxes", ("flow",))
    training, turn, batch = Training(model, TINY, hint="boxes", targets=("flow",)), Turns(), clip()
    logs = {name: float(value.detach()) for name, value in training.step(batch, turn).items()}
    inputs = read(batch)
    output = model(inputs.video, inputs.hints).output
    slow = [float(((output.detach()[i] - flow_to_rgb(inputs.flow)[i]) ** 2).double().sum()) for i in range(2)]
    assert logs["loss"] == pytest.approx(sum(slow) / 2, rel=1e-5)
    scores = validated(training, Tensors(batch), torch.device("cpu"))
    assert scores["loss"] == pytest.approx(logs["loss"], rel=1e-5)


def test_crops_follow_the_turns_seed():
    torch.manual_seed(0)
    config = StatmConfig(size="tiny", image_size=(12, 12), max_instances=2, crop=0.3)
    training = Training(model_of(config, "boxes", ("rgb",)), config, hint="boxes", targets=("rgb",))
    one, same, other = Turns(), Turns(), Turns()
    other.seed = 4
    found = [float(training.step(clip(), turn)["loss"].detach()) for turn in (one, same, other)]
    assert found[0] == found[1] != found[2]


def test_noise_that_slots_start_from_follows_the_turns_seed_alone():
    torch.manual_seed(0)
    training = Training(model_of(TINY, "none", ("rgb",)), TINY, hint="none", targets=("rgb",))
    other = Turns()
    other.seed = 4
    found = []
    for number, turn in enumerate((Turns(), Turns(), other)):
        torch.manual_seed(number)  # what anything else draws must not matter
        found.append(float(training.step(clip(), turn)["loss"].detach()))
    assert found[0] == found[1] != found[2]


def test_a_roll_out_is_trained_on_frozen_slots_from_unseen_frames():
    torch.manual_seed(0)
    config = StatmConfig(size="tiny", image_size=(12, 12), max_instances=2, burn_in=2, horizon=3)
    model, future = model_of(config, "boxes", ("rgb",)), predictor_of(config)
    future.load_state_dict(model.predictor.state_dict())
    training, batch = FutureTraining(model, future, config, hint="boxes", targets=("rgb",)), clip(2, t=6)
    assert set(training.parts()) == {"future"}
    turn = Turns()
    logs = {name: float(value.detach()) for name, value in training.step(batch, turn).items()}
    assert all(weight.grad is None for weight in model.parameters())
    assert any(weight.grad is not None and weight.grad.any() for weight in future.parameters())
    inputs = read(batch)
    seen = model(inputs.video[:, :2], inputs.hints)
    slots, memory, made = seen.state.slots, seen.state.memory, []
    for _ in range(3):
        made.append(slots)
        slots, memory = model.predictor(slots, memory)
    real = model(inputs.video, inputs.hints).slots[:, 2:5]
    shown = model.decode(torch.stack(made, 1)).output
    wanted = {
        "slots": (torch.stack(made, 1) - real).square().mean(),
        "frames": (shown - inputs.video[:, 2:5]).square().mean(),
    }
    for name, value in wanted.items():
        assert logs[name] == pytest.approx(float(value.detach()), rel=1e-4)
    assert logs["loss"] == pytest.approx(float(sum(wanted.values()).detach()), rel=1e-4)
    changed = {**batch, "video": batch["video"].clone()}
    changed["video"][:, 5] = 0
    assert float(training.step(changed, Turns())["loss"].detach()) == logs["loss"], (
        "frames beyond the horizon count"
    )


def test_the_phase_keeps_the_best_weights_only_where_there_is_a_validation():
    held, whole = phase(TINY, validated=True), phase(TINY, validated=False)
    assert (held.monitor, held.better, whole.monitor) == ("loss", "lower", None)
    assert held.schedule == "cosine"
    assert held.clip_norm == 0.05
    assert phase(replace(TINY, clip_norm=0.0), validated=False).clip_norm is None
