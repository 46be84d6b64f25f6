"""The commands, on files in the layouts people have."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from visus.data.corpora.davis import write_davis
from visus.data.formats.video import probe_video, read_video, write_video
from visus.data.worlds.scenes import SceneVideos
from visus.errors import InputError
from visus.methods.statm import StatmTracker, verbs
from visus.methods.statm.verbs.files import whole_folder
from visus.methods.statm.verbs.overlay import color_of, outlines, overlay, palette

pytest.importorskip("av", reason='video files need: pip install "visus[video]"')

MICRO = ["image_size=[12,12]", "steps=3", "clip_length=3", "batch_size=4"]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """The example's videos with their boxes and masks, and a model of them in `run`."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("statm") / "files"
    verbs.example(out=folder)
    verbs.fit(folder, out=folder / "run", preset="smoke", set=MICRO, device="cpu")
    return folder


@pytest.fixture(scope="module")
def video(files) -> Path:
    return sorted((files / "test").glob("*.mp4"))[0]


@pytest.fixture
def first(files) -> pd.DataFrame:
    """The boxes in the first frame of that video."""
    return pd.read_csv(files / "first.csv")


def ids_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.asarray(image)


# ---- example and fit ----------------------------------------------------------------------------------------


def test_the_example_is_what_a_person_would_have(files, video):
    assert len(list((files / "train").glob("*.mp4"))) == 12
    info = probe_video(video)
    assert (info.frames, info.height, info.width, info.rate_hz) == (12, 48, 48, pytest.approx(12))
    boxes = pd.read_csv(files / "test" / "boxes.csv")
    assert list(boxes.columns) == ["video", "frame", "object", "ymin", "xmin", "ymax", "xmax"]
    assert set(pd.read_csv(files / "first.csv")["frame"]) == {0}
    assert len(list((files / "test" / "masks" / video.stem).glob("*.png"))) == 12


def test_the_layout_of_the_paper_brings_flow(tmp_path, capsys):
    torch.set_num_threads(1)
    commands = verbs.example(out=tmp_path / "movi", layout="movi")
    assert {command[2] for command in commands} == {"fit", "predict", "evaluate"}
    assert sorted(path.name for path in (tmp_path / "movi").glob("*tfrecord*")) == [
        "movi_scenes-test.tfrecord-00000-of-00001",
        "movi_scenes-train.tfrecord-00000-of-00001",
    ]
    verbs.fit(tmp_path / "movi", out=tmp_path / "run", preset="smoke", set=MICRO, device="cpu")
    assert "decoded is flow" in capsys.readouterr().out
    scores = verbs.evaluate(tmp_path / "movi", model=tmp_path / "run", device="cpu")
    assert {"fg_ari", "loss", "box_iou"} <= set(scores)


def test_fit_says_what_it_learned_and_what_it_left_out(files, video, tmp_path, capsys):
    folder = tmp_path / "own"
    folder.mkdir()
    frames, _ = read_video(video)
    for name, count in (("long", 12), ("longer", 11), ("short", 2)):
        write_video(folder / f"{name}.mp4", frames[:count])
    write_video(folder / "wide.mp4", frames[:, :, :, :40])
    verbs.fit(folder, out=tmp_path / "run", preset="smoke", set=MICRO, device="cpu", predictor="savi")
    said = capsys.readouterr().out
    assert "note: 1 of 4 videos have fewer than 3 frames: short" in said
    assert "slots start from noise" in said
    assert "decoded is rgb" in said
    made = StatmTracker.load(tmp_path / "run" / "model")
    assert made.settings.predictor == "savi"


def test_folders_of_pictures_are_videos_too(tmp_path):
    torch.set_num_threads(1)
    videos = SceneVideos(3, frames=12, size=24, objects=(2, 3))
    write_davis(tmp_path / "davis", videos, split="train")
    write_davis(tmp_path / "davis", videos, split="val")
    verbs.fit(tmp_path / "davis", out=tmp_path / "run", preset="smoke", set=MICRO, device="cpu")
    verbs.predict(
        tmp_path / "davis", model=tmp_path / "run", out=tmp_path / "p.csv", part="validation", device="cpu"
    )
    assert set(pd.read_csv(tmp_path / "p.csv")["video"]) <= set(videos.names)


# ---- predict and evaluate -----------------------------------------------------------------------------------


def test_predictions_are_a_table_and_masks(files, tmp_path):
    verbs.predict(files, model=files / "run", out=tmp_path / "p.csv", masks=tmp_path / "masks", device="cpu")
    rows = pd.read_csv(tmp_path / "p.csv")
    assert list(rows.columns) == ["video", "frame", "object", "ymin", "xmin", "ymax", "xmax", "pixels"]
    row = rows.iloc[len(rows) // 2]
    ids = ids_of(tmp_path / "masks" / row["video"] / f"{row['frame']:05d}.png")
    assert (ids == row["object"]).sum() == row["pixels"]
    lines, columns = np.nonzero(ids == row["object"])
    exact = [lines.min() / 48, columns.min() / 48, (lines.max() + 1) / 48, (columns.max() + 1) / 48]
    assert row[["ymin", "xmin", "ymax", "xmax"]].tolist() == pytest.approx(exact, abs=1e-5)


def test_predictions_are_those_of_the_estimator(files, tmp_path):
    from visus.data.corpora.videos import read_videos

    verbs.predict(files, model=files / "run", out=tmp_path / "p.csv", device="cpu")
    made = StatmTracker.load(files / "run" / "model")
    found = made.predict(read_videos(files, split="test", max_instances=4))
    rows = pd.read_csv(tmp_path / "p.csv")
    assert rows["pixels"].sum() == (found["segmentation"] > 0).sum()


def test_scores_are_printed_and_written(files, tmp_path, capsys):
    verbs.evaluate(files, model=files / "run", out=tmp_path / "s.json", burn_in=6, steps=4, device="cpu")
    scores = json.loads((tmp_path / "s.json").read_text())
    assert {"fg_ari", "psnr", "future_psnr", "future_position_error"} <= set(scores)
    assert f"{scores['fg_ari']:.4f}" in capsys.readouterr().out
    with pytest.raises(InputError, match="--steps"):
        verbs.evaluate(files, model=files / "run", steps=-1, device="cpu")


# ---- track --------------------------------------------------------------------------------------------------


def test_tracking_writes_masks_boxes_and_an_overlay(files, video, tmp_path, capsys):
    out = tmp_path / "tracked"
    verbs.track(video, model=files / "run", boxes=files / "first.csv", out=out, device="cpu")
    assert {path.name for path in out.iterdir()} == {"masks", "boxes.csv", "overlay.mp4"}
    assert sorted(path.name for path in (out / "masks").iterdir()) == [f"{k:05d}.png" for k in range(12)]
    info = probe_video(out / "overlay.mp4")
    assert (info.frames, info.height, info.width) == (12, 240, 240)
    assert info.rate_hz == pytest.approx(12, rel=1e-3)
    found = StatmTracker.load(files / "run" / "model").predict(batch_of(video, files / "first.csv"))
    whole = found["segmentation"][0].numpy()
    agree = [(ids_of(out / "masks" / f"{k:05d}.png") == whole[k]).mean() for k in range(12)]
    assert min(agree) > 0.99
    assert "followed through 12 frames" in capsys.readouterr().out
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def batch_of(video: Path, boxes: Path) -> dict:
    from visus.data.corpora.video_files import VideoFiles

    clip = VideoFiles(video, max_instances=4, boxes=boxes).read(0)
    return {key: value[None] for key, value in clip.items() if isinstance(value, torch.Tensor)}


def test_pieces_and_boxes_in_pixels_change_nothing_and_masks_are_hints_too(files, video, tmp_path):
    pixels = pd.read_csv(files / "first.csv")
    pixels[["ymin", "xmin", "ymax", "xmax"]] *= 48
    pixels.drop(columns="video").to_csv(tmp_path / "pixels.csv", index=False)
    first = files / "test" / "masks" / video.stem / "00000.png"
    ways = {
        "plain": {"boxes": files / "first.csv"},
        "pieces": {"boxes": files / "first.csv", "piece": 5},
        "pixels": {"boxes": tmp_path / "pixels.csv"},
        "mask": {"mask": first},
    }
    tables = {}
    for name, options in ways.items():
        verbs.track(video, model=files / "run", out=tmp_path / name, device="cpu", **options)
        tables[name] = pd.read_csv(tmp_path / name / "boxes.csv")
    for name in ("pieces", "pixels", "mask"):
        assert abs(tables[name]["pixels"].sum() - tables["plain"]["pixels"].sum()) <= 3, name


def test_long_videos_are_followed_with_bounded_memory(files, video, tmp_path, capsys):
    options = {"model": files / "run", "boxes": files / "first.csv", "device": "cpu"}
    verbs.track(video, out=tmp_path / "short", memory=2, **options)
    assert "12 frames; the last 2 are remembered" in capsys.readouterr().out
    verbs.track(video, out=tmp_path / "all", memory=12, **options)
    assert "remembered" not in capsys.readouterr().out
    few, every = (pd.read_csv(tmp_path / name / "boxes.csv") for name in ("short", "all"))
    assert not few.equals(every)
    assert few[few["frame"] < 1].equals(every[every["frame"] < 1])


def test_an_interrupted_command_leaves_nothing(files, video, tmp_path, monkeypatch):
    from visus.methods.statm.verbs import overlay as drawing

    calls = []

    def stop(*_: object) -> np.ndarray:
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return np.zeros((3, 240, 240), np.uint8)

    monkeypatch.setattr(drawing, "overlay", stop)
    with pytest.raises(KeyboardInterrupt):
        verbs.track(
            video, model=files / "run", boxes=files / "first.csv", out=tmp_path / "a" / "b", device="cpu"
        )
    assert not list(tmp_path.iterdir())


# ---- rollout ------------------------------------------------------------------------------------------------


def test_a_roll_out_writes_the_frames_to_come_and_compares_where_it_can(files, video, tmp_path, capsys):
    options = {"model": files / "run", "boxes": files / "first.csv", "device": "cpu"}
    verbs.rollout(video, out=tmp_path / "within", burn_in=6, steps=8, **options)
    names = {path.name for path in (tmp_path / "within").iterdir()}
    assert names == {"future.mp4", "compared.mp4", "boxes.csv", "masks", "scores.json"}
    assert probe_video(tmp_path / "within" / "future.mp4").frames == 8
    compared = probe_video(tmp_path / "within" / "compared.mp4")
    assert (compared.frames, compared.width) == (6, 480)
    assert sorted(path.name for path in (tmp_path / "within" / "masks").iterdir())[0] == "00006.png"
    scores = json.loads((tmp_path / "within" / "scores.json").read_text())
    assert {"psnr", "ssim", "position_error"} <= set(scores)
    assert f"psnr {scores['psnr']:.3f}" in capsys.readouterr().out
    verbs.rollout(video, out=tmp_path / "beyond", burn_in=12, steps=3, **options)
    assert {path.name for path in (tmp_path / "beyond").iterdir()} == {"future.mp4", "boxes.csv", "masks"}
    with pytest.raises(InputError, match="fewer than the 13 to be seen"):
        verbs.rollout(video, out=tmp_path / "no", burn_in=13, **options)
    assert not (tmp_path / "no").exists()


def test_a_roll_out_may_start_from_a_mask_or_from_some_of_the_objects(files, video, first, tmp_path):
    first.iloc[1:2].to_csv(tmp_path / "one.csv", index=False)
    mask = files / "test" / "masks" / video.stem / "00000.png"
    bare = tmp_path / "without masks" / video.name
    bare.parent.mkdir()
    bare.write_bytes(video.read_bytes())
    ways = {
        "mask": (video, {"mask": mask}, True),
        "one": (video, {"boxes": tmp_path / "one.csv"}, True),
        "bare": (bare, {"mask": mask}, False),
    }
    for name, (file, options, known) in ways.items():
        verbs.rollout(
            file, model=files / "run", out=tmp_path / name, burn_in=4, steps=3, device="cpu", **options
        )
        scores = json.loads((tmp_path / name / "scores.json").read_text())
        assert "psnr" in scores
        assert ("position_error" in scores) == known
    assert set(pd.read_csv(tmp_path / "one" / "boxes.csv")["object"]) <= {2}
    with pytest.raises(InputError, match="0 is not 1 or more"):
        verbs.rollout(
            video,
            model=files / "run",
            boxes=files / "first.csv",
            out=tmp_path / "no",
            burn_in=0,
            device="cpu",
        )


# ---- folders and drawings -----------------------------------------------------------------------------------


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with whole_folder(tmp_path / "deep" / "out") as draft:
        (draft / "a.txt").write_text("a")
        assert not (tmp_path / "deep" / "out").exists()
    assert [path.name for path in (tmp_path / "deep" / "out").iterdir()] == ["a.txt"]
    with pytest.raises(InputError, match="is not empty"), whole_folder(tmp_path / "deep" / "out"):
        pass
    (tmp_path / "empty").mkdir()
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "empty"):
        raise RuntimeError
    assert not list((tmp_path / "empty").iterdir())
    with whole_folder(tmp_path / "empty") as draft:
        (draft / "b").touch()
    with pytest.raises(InputError, match="is a file"), whole_folder(tmp_path / "empty" / "b"):
        pass
    with pytest.raises(InputError, match="lies below a file"), whole_folder(tmp_path / "empty" / "b" / "c"):
        pass


def test_an_overlay_tints_outlines_and_leaves_the_rest():
    frame = np.full((3, 10, 11), 100, np.uint8)
    ids = np.zeros((10, 11), np.uint8)
    ids[2:7, 3:8] = 2
    drawn = overlay(frame, ids, np.array([[0, 0, 0, 0], [0.2, 0.3, 0.7, 0.8]]))
    assert drawn.shape == (3, 240, 264)
    assert drawn[:, 0, 0].tolist() == [100] * 3
    assert drawn[:, 24 * 7 - 1, 24 * 5].tolist() == list(color_of(2))
    inside = drawn[:, 24 * 5, 24 * 6]
    assert inside.tolist() == [round(0.55 * 100 + 0.45 * value) for value in color_of(2)]
    assert overlay(np.zeros((3, 301, 300), np.uint8), np.zeros((301, 300), np.uint8)).shape == (3, 302, 300)


def test_outlines_are_the_pixels_that_touch_another_id():
    ids = np.zeros((5, 5), np.uint8)
    ids[1:4, 1:4] = 3
    edge = outlines(ids)
    assert edge.sum() == 8
    assert not edge[2, 2]
    assert not outlines(np.ones((4, 4), np.uint8)).any(), "the picture's border is no outline"


def test_neighboring_objects_differ_in_color():
    colors = palette().astype(int)
    assert colors[0].tolist() == [0, 0, 0]
    assert len({tuple(color) for color in colors[1:25].tolist()}) == 24
    gaps = np.abs(colors[1:24] - colors[2:25]).sum(1)
    assert gaps.min() > 120


# ---- hints that cannot be used, and pictures of an evaluation -----------------------------------------------


SIDES = ["ymin", "xmin", "ymax", "xmax"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.assign(video="street"), r"column video: tells of other videos \(street"),
        (lambda table: table.assign(frame=3), "has no box in frame 0"),
        (lambda table: table.assign(object=table["object"] + 7), "has no object up to number 4"),
        (lambda table: table.drop(columns="ymax"), "column ymax: no such column"),
        (
            lambda table: table.assign(
                **dict(zip(SIDES, table[["xmin", "ymin", "xmax", "ymax"]].to_numpy().T))
            ),
            "rows and columns exchanged",
        ),
    ],
)
def test_boxes_that_cannot_be_meant_are_refused(files, video, first, tmp_path, change, says):
    change(first).to_csv(tmp_path / "boxes.csv", index=False)
    with pytest.raises(InputError, match=says):
        verbs.track(
            video, model=files / "run", boxes=tmp_path / "boxes.csv", out=tmp_path / "out", device="cpu"
        )
    assert not (tmp_path / "out").exists()


def test_objects_without_a_slot_are_named_and_some_objects_may_be_followed_alone(
    files, video, first, tmp_path, capsys
):
    more = pd.concat([first.iloc[:1], first.iloc[1:2].assign(object=9)])
    more.to_csv(tmp_path / "boxes.csv", index=False)
    options = {"model": files / "run", "boxes": tmp_path / "boxes.csv", "device": "cpu"}
    verbs.track(video, out=tmp_path / "out", **options)
    assert "note: object 9 is left out: this model follows objects 1 to 4" in capsys.readouterr().out
    assert set(pd.read_csv(tmp_path / "out" / "boxes.csv")["object"]) <= {1}
    with pytest.raises(InputError, match="give one of the two"):
        verbs.track(video, out=tmp_path / "both", mask=video, **options)


def test_masks_of_the_first_frame_are_checked(files, video, tmp_path):
    cases = {"no object": np.zeros((48, 48), np.uint8), "up to number 4": np.full((48, 48), 9, np.uint8)}
    cases["frames are 48x48"] = np.ones((24, 48), np.uint8)
    for says, ids in cases.items():
        Image.fromarray(ids).save(tmp_path / "mask.png")
        with pytest.raises(InputError, match=says):
            verbs.track(
                video, model=files / "run", mask=tmp_path / "mask.png", out=tmp_path / "out", device="cpu"
            )


def test_a_damaged_video_leaves_nothing(files, video, tmp_path):
    (tmp_path / video.name).write_bytes(video.read_bytes()[: video.stat().st_size // 3])
    with pytest.raises(InputError, match=rf"{video.name}: .*cut off"):
        verbs.track(
            tmp_path / video.name,
            model=files / "run",
            boxes=files / "first.csv",
            out=tmp_path / "out",
            device="cpu",
        )
    assert [path.name for path in tmp_path.iterdir()] == [video.name]


def test_an_evaluation_shows_its_worst_video(files, tmp_path, capsys):
    verbs.evaluate(files, model=files / "run", pictures=tmp_path / "seen", device="cpu")
    table = pd.read_csv(tmp_path / "seen" / "videos.csv", index_col="video")
    assert len(table) == 4
    worst = table["miou_conditioned"].idxmin()
    assert f"worst video: {worst} ({table['miou_conditioned'].min():.4f})" in capsys.readouterr().out
    for name in ("worst", "middle", "best"):
        assert (tmp_path / "seen" / f"{name}.svg").read_text().startswith("<svg")
        assert "frame" in (tmp_path / "seen" / f"{name}-timeline.svg").read_text()
    with pytest.raises(InputError, match="--pictures: is not empty"):
        verbs.evaluate(files, model=files / "run", pictures=tmp_path / "seen", device="cpu")
