"""Volumes of people: findings are where they belong, seeds decide, files keep everything."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from visus.data.worlds import torso
from visus.data.worlds.torso.canvas import Grid
from visus.data.worlds.torso.chest import Chest
from visus.data.worlds.torso.findings import DISTRACTORS, Lobe, lobe_share
from visus.data.worlds.torso.labels import LUNGS
from visus.errors import InputError

Finding = torso.Finding


@pytest.fixture(scope="module")
def person() -> torso.Person:
    return torso.draw_person(np.random.default_rng(4), sex="M", age=60)


@pytest.fixture(scope="module")
def healthy(person) -> torso.Torso:
    return torso.build(person, texture=False)


def _pair(person, *findings: Finding) -> torso.Torso:
    return torso.build(person, findings=findings, texture=False)


def test_axes_are_ras_in_millimeters(healthy):
    nibabel = pytest.importorskip("nibabel")
    assert nibabel.aff2axcodes(healthy.affine) == ("R", "A", "S")
    np.testing.assert_allclose(np.diag(healthy.affine)[:3], healthy.spacing_mm)
    middle = (np.array(healthy.hu.shape) - 1) / 2
    np.testing.assert_allclose(healthy.affine @ [*middle, 1], [0, 0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(np.array(healthy.spacing_mm) * healthy.hu.shape, (440, 330, 440))
    assert healthy.hu.dtype == np.float32
    assert healthy.labels.dtype == healthy.findings.dtype == np.uint8
    assert not healthy.findings.any()


def test_the_seed_decides_everything(person):
    findings = torso.draw_findings("CHF", np.random.default_rng(0))
    one, same = (torso.build(person, findings=findings, seed=3) for _ in range(2))
    other = torso.build(person, findings=findings, seed=4)
    for name in ("hu", "labels", "findings"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert (one.hu != other.hu).any()
    outside = (one.labels != other.labels) & ~np.isin(one.labels, (*LUNGS, torso.LABELS["pulmonary vessels"]))
    assert outside.sum() < 40  # other vessels, the same anatomy
    drawn = [torso.draw_person(np.random.default_rng(i)) for i in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    a, b = (torso.build(p, texture=False).labels for p in drawn[1:])
    assert (a != b).mean() > 0.05


def test_texture_and_noise_can_be_left_off(person, healthy):
    noisy, quiet = torso.build(person), torso.build(person, noise_hu=0.0)
    np.testing.assert_array_equal(noisy.labels, healthy.labels)
    air = healthy.hu == -1000
    assert (quiet.hu[air] == -1000).all()
    liver = (healthy.labels == torso.LABELS["liver"]) & (healthy.hu > 57.5)
    assert (noisy.hu - quiet.hu)[liver].std() == pytest.approx(12, rel=0.1)
    assert 2 < quiet.hu[liver].std() < 10


def test_an_enlarged_heart_is_wider_than_half_the_chest(person, healthy):
    assert torso.cardiothoracic_ratio(healthy) < 0.5
    ratios = []
    for severity in (0.0, 0.4, 0.8):
        ill = _pair(person, Finding(kind="cardiomegaly", severity=severity))
        ratios.append(torso.cardiothoracic_ratio(ill))
        np.testing.assert_array_equal(ill.findings == 1, ill.labels == torso.LABELS["heart"])
    assert 0.49 < ratios[0] < ratios[1] < ratios[2] < 0.66
    rng = np.random.default_rng(0)
    for _ in range(6):
        other = torso.draw_person(rng)
        asked = torso.draw_findings("CHF", rng)
        wide = torso.build(other, findings=asked, texture=False)
        normal = torso.build(other, texture=False)
        assert torso.cardiothoracic_ratio(wide) > 0.5 > torso.cardiothoracic_ratio(normal) - 0.01


@pytest.mark.parametrize(
    "finding",
    [
        Finding(kind="haze"),
        Finding(kind="effusion", side="both", severity=0.6),
        Finding(kind="consolidation", side="right", place=(0.5, 0.4, 0.4)),
        Finding(kind="consolidation", side="left", place=(0.1, 0.9, 0.1)),
        Finding(kind="consolidation", side="right", lobe="middle"),
        Finding(kind="nodule", side="left", size_mm=6),
        Finding(kind="granuloma", side="right", size_mm=3),
    ],
    ids=lambda f: f"{f.kind}-{f.side}-{f.lobe}",
)
def test_findings_of_the_lungs_lie_in_lungs_and_brighten_them(person, healthy, finding):
    ill = _pair(person, finding)
    changed = ill.labels != healthy.labels
    assert np.isin(healthy.labels[changed], (*LUNGS, torso.LABELS["pulmonary vessels"])).all()
    assert changed.sum() < (80 if finding.kind == "haze" else 1)  # congested vessels are wider
    (lesion,) = ill.lesions
    np.testing.assert_array_equal(ill.findings == torso.FINDINGS[finding.kind], lesion.mask)
    inside = ill.labels[lesion.mask]
    assert np.isin(inside, (*LUNGS, torso.LABELS["pulmonary vessels"])).all()
    if finding.side != "both":
        other = torso.LABELS["left lung" if finding.side == "right" else "right lung"]
        assert (inside != other).all()
        assert (lesion.center_mm[0] > 0) == (finding.side == "right")
    lung = lesion.mask & np.isin(ill.labels, LUNGS)
    change = (ill.hu - healthy.hu)[lung]
    assert change.mean() > 30
    voxel = np.prod(ill.spacing_mm) / 1000
    assert lesion.volume_ml == pytest.approx(lesion.mask.sum() * voxel)
    assert lesion.kind == finding.kind
    assert lesion.severity == finding.severity


def test_severity_makes_findings_denser_or_larger(person, healthy):
    for kind, side in (("haze", "both"), ("effusion", "right"), ("consolidation", "left")):
        added = [
            (_pair(person, Finding(kind=kind, side=side, severity=s)).hu - healthy.hu).sum()  # type: ignore[arg-type]
            for s in (0.2, 0.5, 0.9)
        ]
        assert 0 < 1.3 * added[0] < added[1] < added[2] / 1.1, kind


def test_an_effusion_fills_the_base_and_climbs_at_the_wall(person):
    ill = _pair(person, Finding(kind="effusion", side="right", severity=0.5))
    (lesion,) = ill.lesions
    chest = Chest(person, Grid(ill.hu.shape, ill.spacing_mm))
    z = np.broadcast_to(chest.grid.axes()[2], ill.hu.shape)
    right = ill.labels == torso.LABELS["right lung"]
    dry = right & ~lesion.mask
    assert z[lesion.mask].mean() < z[dry].mean() - 50
    wall, middle = (lesion.mask & part for part in (chest.inner < 12, chest.inner > 35))
    assert z[wall].max() > z[middle].max()


def test_lobes_part_the_lungs(person):
    chest = Chest(person, Grid((64, 48, 64), (6.875, 6.875, 6.875)))
    lobes: tuple[tuple[Lobe, ...], ...] = (("upper", "middle", "lower"), ("upper", "lower"))
    for side, names in enumerate(lobes):
        shares = [lobe_share(chest, side, name).sum() for name in names]
        whole = sum(shares)
        lung = chest.silhouettes[side][:, None, :] * chest.grid.soft(chest.inner - 2)
        assert whole == pytest.approx(lung.sum(), rel=0.03)
        assert min(shares) > 0.05 * whole
    y = chest.grid.axes()[1]
    lower, middle = lobe_share(chest, 0, "lower"), lobe_share(chest, 0, "middle")
    assert (y * lower).sum() / lower.sum() < (y * middle).sum() / middle.sum() - 20


def test_fractures_and_pacemakers_are_outside_the_lungs(person, healthy):
    ill = _pair(
        person,
        Finding(kind="fracture", side="right", size_mm=8),
        Finding(kind="device", side="left", size_mm=22),
    )
    callus, pacemaker = ill.lesions
    assert ill.labels[callus.mask].tolist().count(torso.LABELS["ribs"]) >= 1
    assert callus.center_mm[0] > 50
    assert ill.hu[pacemaker.mask].max() > 2000
    assert pacemaker.center_mm[0] < -20
    assert (ill.hu >= healthy.hu - 400).all()


def test_diagnoses_have_their_findings_and_share_the_meaningless_ones():
    rng, n = np.random.default_rng(8), 1500
    drawn = {name: [torso.draw_findings(name, rng) for _ in range(n)] for name in torso.CLASSES}
    kinds = {name: [{f.kind for f in found} for found in rows] for name, rows in drawn.items()}
    assert all({"cardiomegaly", "haze"} <= row for row in kinds["CHF"])
    assert all("consolidation" in row for row in kinds["pneumonia"])
    for name in ("Normal", "pneumonia"):
        assert not any({"cardiomegaly", "haze"} & row for row in kinds[name])
    assert not any("consolidation" in row for name in ("Normal", "CHF") for row in kinds[name])
    for kind, chance in DISTRACTORS.items():
        for name in torso.CLASSES:
            share = np.mean([kind in row for row in kinds[name]])
            assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / n), (kind, name)
    lobar = np.mean([any(f.lobe for f in found) for found in drawn["pneumonia"]])
    assert lobar == pytest.approx(0.3, abs=0.05)
    assert any(f.kind == "effusion" for found in drawn["Normal"] for f in found)
    easy, hard = (
        [f.severity for _ in range(200) for f in torso.draw_findings("CHF", rng, d) if f.kind == "haze"]
        for d in (0.0, 1.0)
    )
    assert min(easy) >= 0.55 > max(hard)
    again = [torso.draw_findings("CHF", np.random.default_rng(1)) for _ in range(2)]
    assert again[0] == again[1]


def test_wrong_requests_are_named(person):
    rng = np.random.default_rng(0)
    for call, field in (
        (lambda: torso.draw_findings("flu", rng), "diagnosis"),
        (lambda: torso.draw_findings("CHF", rng, 2.0), "difficulty"),
        (lambda: Finding(kind="haze", severity=1.5), "severity"),
        (lambda: Finding(kind="consolidation", side="left", lobe="middle"), "lobe"),
        (lambda: Finding(kind="nodule"), "side"),
        (lambda: torso.build(person, shape=(16, 16, 16)), "shape"),
        (lambda: torso.build(dataclasses.replace(person, lung_scores=(0.0,))), "scores"),
    ):
        with pytest.raises(InputError, match=field):
            call()


def test_files_keep_the_torso(tmp_path, person):
    nibabel = pytest.importorskip("nibabel")
    findings = (Finding(kind="cardiomegaly"), Finding(kind="effusion", side="right"))
    made = torso.build(person, findings=findings)
    folder = torso.write_torso(tmp_path / "one", made)
    assert sorted(p.name for p in folder.iterdir()) == [
        *("findings.nii.gz", "hu.nii.gz", "labels.json", "labels.nii.gz", "person.json")
    ]
    stored = nibabel.load(folder / "labels.nii.gz")
    assert stored.get_data_dtype() == np.uint8
    assert nibabel.aff2axcodes(stored.affine) == ("R", "A", "S")
    assert stored.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(stored.header.get_zooms(), made.spacing_mm, rtol=1e-6)
    read = torso.read_torso(folder)
    np.testing.assert_array_equal(read.labels, made.labels)
    np.testing.assert_array_equal(read.findings, made.findings)
    np.testing.assert_allclose(read.hu, made.hu, atol=0.5)
    np.testing.assert_allclose(read.affine, made.affine, atol=1e-3)
    np.testing.assert_allclose(read.spacing_mm, made.spacing_mm, rtol=1e-6)
    assert read.person == made.person
    assert [lesion.finding for lesion in read.lesions] == list(findings)
    assert read.lesions[1].center_mm == pytest.approx(made.lesions[1].center_mm)
    np.testing.assert_array_equal(read.lesions[1].mask, made.lesions[1].mask)
    again = torso.write_torso(tmp_path / "two", made)
    assert (folder / "hu.nii.gz").read_bytes() == (again / "hu.nii.gz").read_bytes()
    names = json.loads((folder / "labels.json").read_text())
    assert names["labels"]["8"] == "heart"
    assert names["findings"]["3"] == "effusion"


def test_broken_folders_are_named(tmp_path, healthy):
    pytest.importorskip("nibabel")
    folder = torso.write_torso(tmp_path / "t", healthy)
    person = (folder / "person.json").read_text()
    (folder / "person.json").write_text(person.replace('"sex": "M"', '"sex": "Q"'))
    with pytest.raises(InputError, match=r"person\.json: sex"):
        torso.read_torso(folder)
    (folder / "person.json").write_text(person)
    (folder / "labels.json").write_text('{"labels": {"1": "heart"}}')
    with pytest.raises(InputError, match=r"labels\.json: labels: names other labels"):
        torso.read_torso(folder)
    (folder / "labels.nii.gz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"labels\.nii\.gz: is not a NIfTI"):
        torso.read_torso(folder)
    (folder / "hu.nii.gz").unlink()
    with pytest.raises(InputError, match=r"hu\.nii\.gz: does not exist"):
        torso.read_torso(folder)
