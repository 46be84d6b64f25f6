"""Soft organs: painted from the skin inward, the belly before the lungs, the mediastinum after them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from visus.data.worlds.torso.canvas import (
    Box,
    Canvas,
    Point,
    Rods,
    bent,
    ellipsoid,
    smooth_field,
    together,
    tubes,
)
from visus.data.worlds.torso.chest import APEX_MM, PLEURA_MM, SKIN_MM, Chest
from visus.data.worlds.torso.labels import LUNGS, TISSUES
from visus.data.worlds.torso.skeleton import paint_skeleton, paint_spine

GAS_HU = -880.0
_TILT = np.radians(38.0)  # of the heart's long axis, to the left and downward


def paint_anatomy(
    canvas: Canvas, chest: Chest, *, cardiothoracic: float, congestion: float, rng: np.random.Generator
) -> None:
    """Paint a whole person.

    Parameters
    ----------
    cardiothoracic : width of the heart over the inner width of the chest.
    congestion : 0..1, widens the vessels of the upper lungs.
    rng : draws the vessels of the lungs.
    """
    _paint_wall(canvas, chest)
    _paint_cavity(canvas, chest)
    paint_skeleton(canvas, chest)
    _paint_belly(canvas, chest)
    _paint_lungs(canvas, chest)
    _paint_vessels(canvas, chest, congestion, rng)
    _paint_mediastinum(canvas, chest)
    _paint_heart(canvas, chest, cardiothoracic)
    _paint_aorta(canvas, chest)
    paint_spine(canvas, chest)
    _paint_airways(canvas, chest)


def lung_share(chest: Chest) -> Float32[np.ndarray, "2 x y z"]:
    """Share of every voxel inside the right and the left pleural cavity, organs inside it not cut out."""
    cavity = chest.grid.soft(chest.inner - PLEURA_MM)
    return chest.silhouettes[:, :, None, :] * cavity


def hilum(chest: Chest, side: int) -> np.ndarray:
    """Root of the right (1) or left (-1) lung, mm."""
    lung = chest.outlines[0 if side > 0 else 1]
    z = APEX_MM - (0.50 if side > 0 else 0.46) * chest.height
    medial = np.abs(lung[26:, 0]).min()
    return np.array([side * max(medial + 20, 34.0), -0.12 * chest.half_depth, z])


def _paint_wall(canvas: Canvas, chest: Chest) -> None:
    grid = chest.grid
    skin, fat, muscle, breast = (TISSUES[name] for name in ("skin", "fat", "muscle", "breasts"))
    canvas.paint(grid.soft(chest.outer), skin.hu, skin.number)
    canvas.paint(grid.soft(chest.outer - SKIN_MM), fat.hu, fat.number)
    # Coarse voxels are thicker than skin: its label takes the outermost voxels, its CT number only its share.
    edge = (chest.outer > 0) & (chest.outer < max(SKIN_MM, 0.7 * grid.step))
    np.copyto(canvas.labels, skin.number, where=edge)
    for filled, box in _breasts(chest):
        canvas.paint(filled, breast.hu, breast.number, box)
    layer = np.interp(grid.axis(2) - APEX_MM, [-300, -60, 0, 40], [1.4, 1, 0.7, 0.4]) * chest.fat_mm
    depth = chest.outer - (SKIN_MM + layer.astype(np.float32))
    np.maximum(depth, np.minimum(chest.inner + 12, chest.outer - SKIN_MM), out=depth)
    canvas.paint(grid.soft(depth), muscle.hu, muscle.number)


def _breasts(chest: Chest) -> list[tuple[np.ndarray, Box]]:
    """Filled fraction and box, right and left: mounds on the chest that fall smoothly to nothing at their edge."""
    grid, person, drawn = chest.grid, chest.person, []
    woman = person.sex == "F"
    size = person.organ_scale["breasts"] ** 3 * (0.9 + 0.018 * (person.bmi - 25))
    wide, up, down, high = (np.array((78, 94, 56, 52) if woman else (58, 66, 44, 13)) * size).tolist()
    z = APEX_MM - (0.70 if woman else 0.62) * chest.height
    places = chest.on_wall(z, 57.0, np.array([1, -1]), 16 + 0.9 * chest.fat_mm)
    for side, place in zip((1, -1), places):
        x, y, z = place + np.array(person.organ_shift["breasts"]) * [side, 0.3, 1]
        box = grid.box((x - wide, 0.0, z - down), (x + wide, y + 4 * high, z + up))
        across, _, along = grid.axes(box)
        along = (along - np.float32(z)) / np.where(along > z, np.float32(up), np.float32(down))
        away = np.clip(1 - ((across - np.float32(x)) / np.float32(wide)) ** 2 - along**2, 0, 1)
        mound = np.float32(high) * away * np.sqrt(away)
        skin = chest.outer[box]
        drawn.append((grid.soft(np.minimum(skin + mound, 0.4 * mound - skin)) * (mound > 0), box))
    return drawn


def _paint_cavity(canvas: Canvas, chest: Chest) -> None:
    """Fat and bowel below the diaphragm; above it the lungs cover all but the middle."""
    grid = chest.grid
    x, _, z = grid.axes()
    cavity = grid.soft(chest.inner)
    dome = (chest.base[0] + chest.base[1]) / 2
    below = grid.soft(dome - z)
    viscera, middle = TISSUES["viscera"], TISSUES["mediastinum"]
    canvas.paint(cavity * below, viscera.hu, viscera.number)
    between = np.clip((48 - np.abs(x)) / 8, 0, 1) * (1 - below) * grid.soft(APEX_MM + 5 - z)
    canvas.paint(cavity * between, middle.hu, middle.number)


def _paint_belly(canvas: Canvas, chest: Chest) -> None:
    """Liver, spleen, kidneys, stomach and colon; the lungs cut the domes out of them afterwards.

    Places follow the chest's size, sizes the body's height, so that wide chests do not mean huge organs.
    """
    w, d, (right, left) = chest.width / 2, chest.half_depth, chest.base
    top, size = (right + left) / 2, chest.person.height_cm / 172
    _solid(canvas, chest, "spleen", (-0.70 * w, -0.48 * d, left - 34), np.array([27, 34, 52]) * size, 12.0)
    _solid(canvas, chest, "stomach", (-0.42 * w, 0.06 * d, left - 34), np.array([41, 42, 47]) * size, -8.0)
    _solid(canvas, chest, "stomach", (-0.14 * w, 0.40 * d, left - 78), np.array([48, 27, 25]) * size, -22.0)
    _solid(canvas, chest, "liver", (0.46 * w, 0.04 * d, right - 52), np.array([68, 82, 72]) * size, 0.0)
    _solid(canvas, chest, "liver", (0.04 * w, 0.44 * d, top - 30), np.array([70, 40, 36]) * size, 10.0)
    for side, name, drop in ((1, "right kidney", 112), (-1, "left kidney", 102)):
        place = (side * 0.42 * w, -0.60 * d, top - drop)
        _solid(canvas, chest, name, place, np.array([27, 26, 54]) * size, side * 10.0)
    _paint_colon(canvas, chest, top)
    _gas(canvas, chest, left)


def _solid(canvas: Canvas, chest: Chest, name: str, center: Point, half: np.ndarray, lean: float) -> None:
    """Paint an ellipsoid, scaled and shifted as the person's organ is, inside the cavity; lean in degrees."""
    person, tissue = chest.person, TISSUES[name]
    c, s = np.cos(np.radians(lean)), np.sin(np.radians(lean))
    x, y, z = np.asarray(center) + person.organ_shift[name]
    a, b, height = half * person.organ_scale[name]
    axes = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    filled, box = ellipsoid(chest.grid, (x, y, z), (a, b, height), axes=axes)
    canvas.paint(filled * chest.grid.soft(chest.inner[box] - 3), tissue.hu, tissue.number, box)


def _paint_colon(canvas: Canvas, chest: Chest, top: float) -> None:
    """Ascending, transverse and descending part."""
    w, d, person, tissue = chest.width / 2, chest.half_depth, chest.person, TISSUES["colon"]
    way = [(0.72 * w, -0.05 * d, top - 260), (0.70 * w, 0.05 * d, top - 175), (0.50 * w, 0.50 * d, top - 160)]
    way += [
        (0.10 * w, 0.68 * d, top - 172),
        (-0.35 * w, 0.55 * d, top - 150),
        (-0.68 * w, 0.1 * d, top - 105),
    ]
    way += [(-0.74 * w, -0.15 * d, top - 160), (-0.74 * w, -0.15 * d, top - 260)]
    radius = np.array([24.0, 24.0, 21.0, 20.0, 20.0, 19.0, 17.0, 16.0]) * person.organ_scale["colon"]
    filled, box = tubes(chest.grid, bent(np.array(way) + person.organ_shift["colon"], radius))
    inside = chest.grid.soft(chest.inner[box] - 3)
    inside *= canvas.labels[box] == TISSUES["viscera"].number
    canvas.paint(filled * inside, tissue.hu, tissue.number, box)


def _gas(canvas: Canvas, chest: Chest, dome: float) -> None:
    """Swallowed air: a lens at the top of the stomach; its wall and the diaphragm stay above it."""
    grid, tissue = chest.grid, TISSUES["stomach"]
    scale, shift = chest.person.organ_scale["stomach"], np.array(chest.person.organ_shift["stomach"])
    x, y, z = np.array([-0.42 * chest.width / 2, 0.06 * chest.half_depth, dome - 26]) + shift
    half = np.array([33.0, 32.0, 17.0 + shift[0]]) * scale
    filled, box = ellipsoid(grid, (x, y, z), (half[0], half[1], half[2]))
    wall = max(1, round(6 / grid.spacing[2]))
    lung = chest.silhouettes[1][box[0]]  # painted later, it cuts off the stomach's top
    above = np.minimum(np.arange(box[2].start, box[2].stop) + wall, grid.shape[2] - 1)
    filled *= (1 - lung[:, above])[:, None] * grid.soft(chest.inner[box] - 6)
    canvas.paint(filled, GAS_HU, tissue.number, box)


def _paint_lungs(canvas: Canvas, chest: Chest) -> None:
    person, z = chest.person, chest.grid.axes()[2]
    middle = APEX_MM - chest.height / 2
    hu = person.lung_hu + 30 * np.clip((middle - z) / chest.height, -0.6, 0.6)
    for share, name in zip(lung_share(chest), ("right lung", "left lung")):
        canvas.paint(share, hu, TISSUES[name].number)


def _paint_vessels(canvas: Canvas, chest: Chest, congestion: float, rng: np.random.Generator) -> None:
    """Arteries and veins fan out of each hilum; what leaves the lungs is cut off."""
    rods, tissue = [], TISSUES["pulmonary vessels"]
    for side in (1, -1):
        root = hilum(chest, side)
        out = np.array([side, -1.0, 1.0])
        rods.append(bent([root * [0.3, 1, 1] + [0, 8, 10], root, root + out * [14, 3, -5]], [11.0, 9.0, 3.5]))
        down = root + out * np.array([[-2, 0, 24], [1, 1, 10], [4, 4, -16], [9, 9, -46]])
        rods.append(bent(down, [3.0, 7.0, 7.5, 3.5]))
        rods.extend(_branches(chest, root, side, congestion, rng))
    filled, box = tubes(chest.grid, together(rods))
    free = (canvas.labels[box] == LUNGS[0]) | (canvas.labels[box] == LUNGS[1])
    free |= np.abs(chest.grid.axes(box)[0]) < 40
    canvas.paint(filled * free, tissue.hu, tissue.number, box)


def _branches(
    chest: Chest, root: np.ndarray, side: int, congestion: float, rng: np.random.Generator
) -> list[Rods]:
    """Three generations of branches; thinner above, where less blood flows upright, unless it is congested."""
    fan = np.radians(np.linspace(75, -80, 8))
    way = np.stack([side * np.cos(fan), np.tile([0.5, -0.6], 4), np.sin(fan)], axis=1)
    start, radius = np.tile(root, (8, 1)), np.full((8, 1), 4.6)
    reach, rods = 0.22 * chest.height, []
    for children in (3, 2, 0):
        way = way / np.linalg.norm(way, axis=1, keepdims=True)
        end = start + way * (reach * rng.uniform(0.8, 1.2, (len(way), 1)))
        wide = radius * (1 - 0.3 * np.clip(way[:, 2:], 0, 1) * (1 - 2 * congestion)) * [1, 1]
        rods.append(Rods(start, end, wide, 0.62 * wide, np.broadcast_to([1.0, 0.4, 0.2], start.shape)))
        start, radius = np.repeat(end, children, axis=0), np.repeat(0.58 * radius, children, axis=0)
        way = np.repeat(way, children, axis=0) + 0.5 * rng.standard_normal((len(way) * children, 3))
        reach *= 0.8
    return rods


def _paint_mediastinum(canvas: Canvas, chest: Chest) -> None:
    """Great veins, pulmonary trunk, esophagus, thymus, from the diaphragm to the inlet of the chest."""
    d, h, low = chest.half_depth, chest.height, min(chest.base) - 8
    top, hila, arch = APEX_MM + 15, APEX_MM - 0.50 * h, APEX_MM - 0.29 * h
    tissue = TISSUES["mediastinum"]
    # A straight tube's discs would beat with the rows of voxels, so the column is drawn from its formula.
    box = chest.grid.box((-34.0, -165.0, low), (34.0, 165.0, top))
    x, y, z = chest.grid.axes(box)
    levels = [low, 0.5 * (low + hila), hila, arch - 14, arch + 14, top]
    wide, deep = (
        np.interp(z, levels, half).astype(np.float32)
        for half in ([21, 23, 28, 26, 23, 25], np.array([0.54, 0.62, 0.7, 0.66, 0.56, 0.35]) * d)
    )
    y = y + np.float32(0.07 * d)
    ratio = np.sqrt((x / wide) ** 2 + (y / deep) ** 2)
    filled = chest.grid.soft((1 / np.maximum(ratio, 1e-3) - 1) * np.sqrt(x * x + y * y))
    canvas.paint(filled * chest.grid.soft(chest.inner[box] - 2), tissue.hu + 20.0, tissue.number, box)

    rods = []
    cava = [(24, -0.12 * d, top), (21, 0.02 * d, arch + 16), (23, 0.10 * d, hila), (22, 0.10 * d, hila - 30)]
    rods.append(bent(cava, [9.0, 9.0, 10.5, 12.0]))
    rods.append(bent([(20, 0.0, hila - 40), (21, -0.06 * d, low)], [12.0, 12.5]))
    trunk = [(-20, 0.36 * d, hila - 36), (-23, 0.34 * d, hila - 8), (-27, 0.22 * d, hila + 8)]
    trunk += [(-32, 0.04 * d, hila + 13), (-37, -0.12 * d, hila + 8), (-43, -0.2 * d, hila - 4)]
    rods.append(bent(trunk, [20.0, 17.0, 14.5, 12.0, 10.0, 7.0]))
    rods.append(bent([(-20, -0.12 * d, arch), (-20, -0.22 * d, arch + 25), (-27, -0.28 * d, top)], 7.5))
    filled, box = tubes(chest.grid, together(rods))
    canvas.paint(filled * chest.grid.soft(chest.inner[box] - 2), tissue.hu + 20.0, tissue.number, box)


def heart_axes(chest: Chest, cardiothoracic: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Center, half axes and their directions (rows); the width in the frontal view is as asked for."""
    scale, shift = chest.person.organ_scale["heart"], np.array(chest.person.organ_shift["heart"])
    c, s = np.cos(_TILT), np.sin(_TILT)
    axes = np.array([[-c, 0.0, -s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    half_width = cardiothoracic * chest.width / 2
    short = 0.8 * min(half_width, 62.0) + 0.45 * max(
        half_width - 62.0, 0.0
    )  # large hearts are broad, not tall
    long = np.sqrt(half_width**2 - (short * s) ** 2) / c
    half = np.array([long, (0.36 * chest.half_depth + 0.12 * long) * scale, short])
    rise = np.sqrt((half[0] * s) ** 2 + (half[2] * c) ** 2)
    center = np.array([-0.36 * half_width, 0.26 * chest.half_depth, chest.base[1] + 0.80 * rise])
    return center + shift * [0.6, 0.5, 0.5], half, axes


def _paint_heart(canvas: Canvas, chest: Chest, cardiothoracic: float) -> None:
    center, half, axes = heart_axes(chest, cardiothoracic)
    place, size = (float(v) for v in center), (float(v) for v in half)
    filled, box = ellipsoid(chest.grid, tuple(place), tuple(size), axes=axes)  # type: ignore[arg-type]
    tissue = TISSUES["heart"]
    canvas.paint(filled * chest.grid.soft(chest.inner[box] - 4), tissue.hu, tissue.number, box)


def _paint_aorta(canvas: Canvas, chest: Chest) -> None:
    person, d = chest.person, chest.half_depth
    arch = APEX_MM - 0.29 * chest.height
    wide = (
        person.organ_scale["aorta"] * (13.0 if person.sex == "M" else 11.5) * (1 + 0.004 * (person.age - 50))
    )
    shift = np.array(person.organ_shift["aorta"]) * [0.5, 0.5, 1]
    low = -chest.grid.shape[2] * chest.grid.spacing[2] / 2
    way = [
        (6, 0.24 * d, arch - 75),
        (14, 0.22 * d, arch - 40),
        (8, 0.14 * d, arch - 8),
        (-10, -0.06 * d, arch),
    ]
    way += [(-29, -0.30 * d, arch - 12), (-28, -0.46 * d, arch - 45), (-22, -0.50 * d, arch - 120)]
    way += [(-12, -0.44 * d, arch - 190), (-8, -0.40 * d, low)]
    radius = wide * np.array([1.15, 1.15, 1.1, 1.0, 0.95, 0.92, 0.88, 0.8, 0.7])
    filled, box = tubes(chest.grid, bent(np.array(way) + shift, radius))
    canvas.paint(filled, TISSUES["aorta"].hu, TISSUES["aorta"].number, box)


def _paint_airways(canvas: Canvas, chest: Chest) -> None:
    """Trachea and main bronchi."""
    d, carina = chest.half_depth, APEX_MM - 0.40 * chest.height
    wide = 9.0 if chest.person.sex == "M" else 8.0
    fork = np.array([3.0, -0.16 * d, carina])
    rods = [bent([(0, -0.22 * d, APEX_MM + 70), (2, -0.20 * d, carina + 60), (3, -0.16 * d, carina)], wide)]
    rods += [
        bent(np.stack([fork, hilum(chest, side) + [0, -4, 6]]), [0.8 * wide, 0.6 * wide]) for side in (1, -1)
    ]
    filled, box = tubes(chest.grid, together(rods))
    canvas.paint(filled, TISSUES["airways"].hu, TISSUES["airways"].number, box)


def add_texture(canvas: Canvas, rng: np.random.Generator, noise_hu: float) -> None:
    """Slowly varying texture of every tissue and a scanner's noise."""
    spread = np.zeros(256, dtype=np.float32)
    for tissue in TISSUES.values():
        spread[tissue.number] = tissue.texture_hu
    texture = smooth_field(canvas.grid, 14.0, rng) + 0.6 * smooth_field(canvas.grid, 45.0, rng)
    texture *= spread[canvas.labels]
    hu = canvas.hu
    hu += texture
    if noise_hu > 0:
        hu += np.float32(noise_hu) * rng.standard_normal(hu.shape, dtype=np.float32)
    np.clip(hu, -1024, 3071, out=hu)
