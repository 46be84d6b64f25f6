"""`StatmTracker`: fit, follow, foretell, score."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visus.data import Subset, Tensors
from visus.data.videos import Clips, Whole
from visus.engine import Run
from visus.errors import InputError
from visus.methods.statm import StatmTracker
from visus.methods.statm.estimator import scores
from visus.methods.statm.estimator.segments import centers, divide, ids_of_slots, last_known
from visus.records import override

MICRO = [
    *("image_size=[12,12]", "clip_length=3", "steps=4", "batch_size=4", "max_instances=4", "slots=4"),
    *("future_steps=2", "burn_in=2", "horizon=2", "validation=0.2"),
]


def fit(*settings: str, data=None) -> StatmTracker:
    torch.set_num_threads(1)
    config = override(StatmTracker.preset("smoke"), [*MICRO, *settings])
    data = StatmTracker.example("train") if data is None else data
    return StatmTracker(config).fit(data, Run(device="cpu", progress=False))


@pytest.fixture(scope="module")
def made() -> StatmTracker:
    return fit()


@pytest.fixture(scope="module")
def free() -> StatmTracker:
    """Without hints, decoding colors."""
    return fit("init=none", "targets=rgb", "future_steps=0")


def test_what_the_data_have_decides_and_is_written_down(made, free):
    assert (made.init_, made.targets_) == ("boxes", ("flow",))
    assert (free.init_, free.targets_) == ("none", ("rgb",))
    colors = Tensors({"video": StatmTracker.example("train").batch(range(6))["video"][:, :4]})
    plain = fit(data=colors)
    assert (plain.init_, plain.targets_) == ("none", ("rgb",))
    assert plain.predict(colors)["boxes"].shape == (6, 4, 4, 4)


def test_the_roll_out_has_a_predictor_of_its_own_that_starts_as_the_trackers(made, free):
    assert free.future_ is None
    assert set(free.parts()) == {"model"}
    assert set(made.parts()) == {"model", "future"}
    own, other = made.future_.state_dict(), made.model_.predictor.state_dict()
    assert own.keys() == other.keys()
    change = max(float((own[key] - other[key]).abs().max()) for key in own)
    assert 0 < change < 0.05
    torch.manual_seed(0)
    without = fit("future_steps=0")
    assert all(
        torch.equal(value, without.model_.state_dict()[key])
        for key, value in made.model_.state_dict().items()
    )


# ---- following ----------------------------------------------------------------------------------------------


def test_pieces_of_any_length_give_what_one_pass_gives(made):
    batch = StatmTracker.example("test").batch([0, 1])
    whole = made.predict(batch)
    for piece in (1, 5, 7):
        following = made.follow(batch)
        parts = [following.push(frames) for frames in batch["video"].split(piece, dim=1)]
        slots = torch.cat([part.slots for part in parts], dim=1)
        torch.testing.assert_close(slots, whole["slots"], atol=1e-5, rtol=1e-5)
        ids = torch.cat([part.segmentation for part in parts], dim=1)
        assert (ids == whole["segmentation"]).float().mean() > 0.999
    pushed = made.follow(batch)
    with pytest.raises(InputError, match="push one or more"):
        pushed.foretell(whole["slots"][:, :1], 2, size=(12, 12), predictor=None)


def test_a_stream_of_frames_is_followed_like_a_video(made):
    batch = StatmTracker.example("test").batch([2])
    whole = made.predict(batch)
    hints = {"boxes": batch["boxes"][0, 0].numpy()}
    frames = (frame.numpy() for frame in batch["video"][0])
    found = list(made.track(frames, hints, piece=5))
    assert [part.segmentation.shape[1] for part in found] == [5, 5, 2]
    torch.testing.assert_close(
        torch.cat([part.slots for part in found], 1), whole["slots"], atol=1e-5, rtol=1e-5
    )
    segments = {"segmentation": batch["segmentation"][0, 0]}
    other = next(iter(made.track(batch["video"][0], segments, piece=12)))
    torch.testing.assert_close(other.slots, whole["slots"], atol=1e-5, rtol=1e-5)
    videos = StatmTracker.example("test").videos
    read = list(made.follow_video(videos, 2, piece=5))
    torch.testing.assert_close(
        torch.cat([part.slots for part in read], 1), whole["slots"], atol=1e-5, rtol=1e-5
    )


def test_a_stream_says_what_is_wrong_with_it(made):
    hints = {"boxes": np.zeros((2, 4), np.float32)}
    frame = np.zeros((3, 12, 12), np.uint8)
    with pytest.raises(InputError, match=r"frame 2: is \(3, 12, 14\)"):
        list(made.track([frame, frame, np.zeros((3, 12, 14), np.uint8)], hints))
    with pytest.raises(InputError, match="piece"):
        next(made.track([frame], hints, piece=0))
    with pytest.raises(InputError, match="lacks boxes or segmentation"):
        next(made.track([frame], {}, piece=1))
    assert list(made.track([], hints)) == []


def test_memory_is_bounded_on_request_and_the_bound_decides():
    made, batch = fit("future_steps=0"), StatmTracker.example("test").batch([0])
    short, long = made.remembering(3), made.remembering(50)
    whole = made.predict(batch)["slots"]
    torch.testing.assert_close(long.predict(batch)["slots"], whole, atol=1e-5, rtol=1e-5)
    bounded = short.predict(batch)["slots"]
    torch.testing.assert_close(bounded[:, :3], whole[:, :3], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(bounded[:, 5:], whole[:, 5:], atol=1e-4)
    following = short.follow(batch)
    sizes = []
    for frame in batch["video"].split(1, dim=1):
        following.push(frame)
        sizes.append(sum(value.numel() for value in following.state.memory.values()))
    assert sizes[2] == sizes[-1]
    assert made.settings.buffer is None


def test_absent_objects_have_slots_of_the_background(made):
    batch = StatmTracker.example("test").batch(range(6))
    absent = ~(batch["boxes"][:, 0] != 0).any(-1)
    assert absent.any()
    found = made.predict(batch)
    for item, i in absent.nonzero().tolist():
        assert not (found["segmentation"][item] == i + 1).any()
        assert not found["boxes"][item, :, i].any()


def test_segments_are_drawn_on_the_frames_grid(made):
    batch = StatmTracker.example("test").batch([0])
    large = {**batch, "video": batch["video"].repeat_interleave(3, -1).repeat_interleave(2, -2)}
    del large["segmentation"]
    assert made.predict(large)["segmentation"].shape == (1, 12, 48, 72)


def test_videos_of_different_lengths_or_sizes_do_not_make_one_prediction(made):
    batch = StatmTracker.example("test").batch([0, 1])
    with pytest.raises(InputError, match="12 and of 5 frames"):
        made.predict(_Videos([batch["video"][0], batch["video"][1, :5]], batch["boxes"]))
    with pytest.raises(InputError, match="differ in size"):
        made.predict(_Videos([batch["video"][0], batch["video"][1, :, :, :20]], batch["boxes"]))
    with pytest.raises(InputError, match="is empty"):
        made.predict(_Videos([], batch["boxes"]))


class _Videos:
    def __init__(self, videos: list, boxes: torch.Tensor) -> None:
        self.videos, self.boxes, self.names = videos, boxes, [f"v{i}" for i in range(len(videos))]

    def __len__(self) -> int:
        return len(self.videos)

    def num_frames(self, index: int) -> int:
        return len(self.videos[index])

    def read(self, index: int, start: int = 0, stop: int | None = None) -> dict:
        fields = {"video": self.videos[index], "boxes": self.boxes[index, : len(self.videos[index])]}
        return {**{key: value[start:stop] for key, value in fields.items()}, "name": self.names[index]}


# ---- roll-outs ----------------------------------------------------------------------------------------------


def test_a_roll_out_does_not_see_what_comes(made, free):
    batch = StatmTracker.example("test").batch([0, 1])
    for model in (made, free):
        found = model.rollout(batch, burn_in=5, steps=4)
        assert found["segmentation"].shape == (2, 4, 24, 24)
        assert found["output"].shape == (2, 4, 3, 12, 12)
        blind = {**batch, "video": batch["video"].clone()}
        blind["video"][:, 5:] = 0
        other = model.rollout(blind, burn_in=5, steps=4)
        assert all(torch.equal(value, other[key]) for key, value in found.items())
        longer = model.rollout(batch, burn_in=5, steps=9)
        torch.testing.assert_close(longer["slots"][:, :4], found["slots"], atol=1e-5, rtol=1e-5)
        beyond = model.rollout(batch, burn_in=12, steps=3)
        assert beyond["slots"].shape[1] == 3
    with pytest.raises(InputError, match="fewer than the 13 to be seen"):
        made.rollout(batch, burn_in=13)
    with pytest.raises(InputError, match="steps"):
        made.rollout(batch, burn_in=3, steps=0)


def test_the_roll_out_uses_its_own_predictor(made):
    batch = StatmTracker.example("test").batch([0])
    following = made.follow(batch)
    seen = following.push(batch["video"][:, :5])
    own = following.foretell(seen.slots, 3, size=(24, 24), predictor=made.future_)
    model = following.foretell(seen.slots, 3, size=(24, 24), predictor=None)
    found = made.rollout(batch, burn_in=5, steps=3)["slots"]
    torch.testing.assert_close(own.slots, found, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model.slots, found, atol=1e-5)


# ---- scores -------------------------------------------------------------------------------------------------


def test_scores_name_what_the_data_allow(made, free):
    data = StatmTracker.example("test")
    hinted = made.evaluate(data)
    assert {
        "fg_ari",
        "miou_conditioned",
        "miou_hungarian",
        "miou_overlap",
        "j_and_f",
        "box_iou",
        "loss",
    } <= set(hinted)
    assert {"reappearance_ari", "identity_switches"} <= set(hinted)
    assert "psnr" not in hinted
    loose = free.evaluate(data)
    assert {"psnr", "ssim", "fg_ari", "loss"} <= set(loose)
    assert not {"miou_conditioned", "j"} & set(loose)
    assert all(math.isfinite(value) for value in (hinted | loose).values())
    future = free.evaluate_future(data, burn_in=5, steps=30)
    assert {"position_error", "psnr", "ssim", "fg_ari"} <= set(future)
    batch = data.batch([0])
    boxes = {key: batch[key] for key in ("video", "boxes")}
    assert set(made.evaluate(boxes)) == {"box_iou"}
    assert set(free.evaluate({"video": batch["video"]})) == {"psnr", "ssim", "loss"}
    with pytest.raises(InputError, match="nothing to score"):
        made.evaluate({"video": batch["video"][:, :1], "boxes": batch["boxes"][:, :1]})
    with pytest.raises(InputError, match="none is left to compare"):
        made.evaluate_future(data, burn_in=12)


def test_the_mean_over_videos_is_the_mean_of_the_videos(made):
    data = StatmTracker.example("test")
    every = [made.evaluate(Subset(data, [i])) for i in range(3)]
    first = made.evaluate(Subset(data, range(3)))
    counts: list[int] = []
    each = made.evaluate_each(Subset(data, range(3)), done=counts.append)
    assert sum(counts) == 3
    for name in ("fg_ari", "miou_conditioned", "loss"):
        assert first[name] == pytest.approx(np.mean([one[name] for one in every]), rel=1e-5)
        assert each[name].tolist() == pytest.approx([one[name] for one in every], rel=1e-5)
    by_video = made.evaluate(Whole(data.videos, limit=3))
    assert by_video["loss"] == pytest.approx(first["loss"], rel=1e-5)


def test_a_perfect_division_scores_perfectly_and_exchanged_slots_do_not():
    ids = torch.zeros(1, 4, 8, 8, dtype=torch.uint8)
    ids[:, :, 1:4, 1:4], ids[:, :, 5:8, 4:8] = 1, 2
    best = scores.of_segments(ids, ids, hinted=True)
    for name in ("fg_ari", "miou_conditioned", "miou_hungarian", "j_and_f"):
        assert float(best[name]) == 1.0
    assert float(best["identity_switches"]) == 0.0
    turned = ids.clone()
    turned[:, 2:] = torch.tensor([0, 2, 1], dtype=torch.uint8)[ids[:, 2:].long()]
    worse = scores.of_segments(ids, turned, hinted=True)
    assert float(worse["fg_ari"]) < 0.5
    # of 36 and 48 pixels each slot keeps half, and takes half of the other object's
    wanted = (18 / (36 + 42 - 18) + 24 / (48 + 42 - 24)) / 2
    assert float(worse["miou_conditioned"]) == pytest.approx(wanted)
    assert float(worse["identity_switches"]) == pytest.approx(2 / 6)
    behind = ids.clone()
    behind[:, 1][ids[:, 1] == 1] = 0
    assert float(scores.of_segments(behind, behind, hinted=True)["lost_after_gap"]) == 0
    assert float(scores.of_segments(behind, turned, hinted=True)["lost_after_gap"]) == 1
    assert "lost_after_gap" not in scores.of_segments(behind, turned, hinted=False)
    nothing = scores.of_segments(torch.zeros_like(ids), ids, hinted=True)
    assert nothing["fg_ari"].isnan().all()


def test_scores_that_some_videos_lack_are_nan_there_and_averaged_over_the_rest():
    one, two = torch.tensor([1.0, 2.0]).double(), torch.tensor([torch.nan]).double()
    each = scores.joined([(2, {"a": one}), (1, {"b": two})])
    assert each["a"].tolist()[:2] == [1.0, 2.0]
    assert each["a"].isnan().tolist() == [False, False, True]
    assert scores.averaged(each) == {"a": 1.5}


def test_box_iou_is_the_mean_over_frames_then_objects():
    truth = torch.zeros(1, 3, 2, 4)
    truth[0, :, 0] = torch.tensor([0.0, 0.0, 0.5, 0.5])
    truth[0, 2, 1] = torch.tensor([0.5, 0.5, 1.0, 1.0])
    found = truth.clone()
    found[0, 1, 0] = torch.tensor([0.0, 0.25, 0.5, 0.75])
    value = scores.of_boxes(truth, found)["box_iou"]
    assert float(value) == pytest.approx(((1 / 3 + 1) / 2 + 1) / 2)
    found[0, 0] = 0.9
    assert torch.equal(scores.of_boxes(truth, found)["box_iou"], value), "the first frame was given"


def test_psnr_is_that_of_the_formula():
    torch.manual_seed(0)
    truth = torch.randint(0, 256, (1, 2, 3, 16, 16), dtype=torch.uint8)
    made = (truth / 255 + 0.1 * torch.randn(1, 2, 3, 16, 16)).clamp(0, 1)
    errors = [float((truth[0, t] / 255 - made[0, t]).double().square().mean()) for t in range(2)]
    found = scores.of_frames(truth, made)
    assert float(found["psnr"]) == pytest.approx(
        np.mean([-10 * math.log10(error) for error in errors]), rel=1e-5
    )
    same = scores.of_frames(truth, truth / 255)
    assert float(same["psnr"]) == pytest.approx(100)
    assert float(same["ssim"]) == pytest.approx(1)


def test_position_error_is_in_diagonals_and_a_vanished_slot_stays_where_it_was():
    truth = torch.zeros(1, 4, 6, 8, dtype=torch.uint8)
    for frame in range(4):
        truth[0, frame, 2, 2 + frame] = 1
    found = truth.clone()
    assert float(scores.of_places(truth, found, first=2, hinted=True)["position_error"]) == 0
    found[0, 2:] = 0
    wanted = math.sqrt((1 + 4) / 2) / 10
    assert float(scores.of_places(truth, found, first=2, hinted=True)["position_error"]) == pytest.approx(
        wanted
    )
    renamed = torch.where(found == 1, 3, 0).to(torch.uint8)
    loose = scores.of_places(truth, renamed, first=2, hinted=False)["position_error"]
    assert float(loose) == pytest.approx(wanted)
    never = scores.of_places(truth, torch.zeros_like(found), first=2, hinted=True)
    assert never["position_error"].isnan().all()


def test_centers_and_last_known_places():
    ids = torch.zeros(1, 2, 3, 4, dtype=torch.uint8)
    ids[0, 0, 1, 1:3] = 1
    found = centers(ids, 1)
    assert found[0, 0, 0].tolist() == pytest.approx([0.5, 0.5])
    assert found[0, 1].isnan().all()
    kept = last_known(torch.tensor([[[[1.0]], [[math.nan]], [[3.0]], [[math.nan]]]]))
    assert kept.flatten().tolist() == [1.0, 1.0, 3.0, 3.0]


def test_pixels_go_to_the_greatest_alpha_and_absent_slots_to_the_background():
    logits = torch.tensor([0.0, 1.0, 5.0]).view(1, 1, 3, 1, 1).expand(1, 1, 3, 2, 2)
    ids, boxes = divide(logits, torch.tensor([[True, True]]), (4, 4))
    assert ids.unique().tolist() == [2]
    assert boxes[0, 0].tolist() == [[0.0] * 4, [0.0, 0.0, 1.0, 1.0]]
    assert divide(logits, torch.tensor([[True, False]]), (2, 2))[0].unique().tolist() == [0]
    assert divide(logits, None, (2, 2))[0].unique().tolist() == [3]
    assert ids_of_slots(None, 1, 2, torch.device("cpu")).tolist() == [[1, 2]]


# ---- data ---------------------------------------------------------------------------------------------------


def test_clips_of_videos_are_learned_from_as_they_are():
    clips = Clips(StatmTracker.example("train").videos, length=4, stride=4, limit=8)
    made = fit("future_steps=0", data=clips)
    assert made.predict(clips)["segmentation"].shape == (8, 4, 24, 24)
    with pytest.raises(InputError, match="clips of 4 frames are too short"):
        fit("future_steps=1", "burn_in=3", data=clips)


def test_impossible_data_bind_no_folder(tmp_path):
    batch = StatmTracker.example("train").batch(range(3))
    for fields, settings, says in (
        ({"video": batch["video"][:, :4]}, "targets=flow", "backward_flow"),
        ({"video": batch["video"][:, :4]}, "init=boxes", "lacks boxes"),
        ({"video": batch["video"].float()}, "init=none", "expected bytes"),
    ):
        config = override(StatmTracker.preset("smoke"), [*MICRO, settings])
        with pytest.raises(InputError, match=says):
            StatmTracker(config).fit(Tensors(fields), Run(tmp_path / "run", device="cpu", progress=False))
        assert not (tmp_path / "run" / "run.json").exists()
