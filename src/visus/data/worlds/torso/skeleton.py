"""Bones of the trunk as bent rods along the chest's wall."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from visus.data.worlds.torso.canvas import Box, Canvas, Rods, bent, ellipsoid, together, tubes
from visus.data.worlds.torso.chest import APEX_MM, RIB_MM, Chest
from visus.data.worlds.torso.labels import TISSUES

_RIBS = (  # drop from the head to the front end in lung heights; angle of the front end, degrees (90 is the front)
    *((0.15, 56), (0.22, 56), (0.28, 57), (0.33, 57), (0.37, 56), (0.41, 54), (0.44, 50)),
    *((0.43, 41), (0.41, 30), (0.37, 17), (0.24, -14), (0.13, -42)),
)
_PITCH = 1 / 9.4  # of a lung's height: ten ribs' backs above the diaphragm
_HEADS = -78.0
_TRUE_RIBS = 7
_LEAN = np.radians(38.0)  # of a shoulder blade against the frontal plane


def rib_paths(chest: Chest) -> Float[np.ndarray, "2 12 14 3"]:
    """Middle lines of the ribs from the spine to their front ends, right side first."""
    height, s = chest.height, np.linspace(0, 1, 14)
    drop, end = (column[:, None] for column in np.array(_RIBS).T)
    number = np.arange(12)[:, None]
    z = APEX_MM + 4 - height * (_PITCH * number + drop * s**1.25)
    angle = _HEADS + (end - _HEADS) * s
    return chest.on_wall(z, angle, np.array([1, -1])[:, None, None], RIB_MM / 2)


def paint_skeleton(canvas: Canvas, chest: Chest) -> None:
    """Everything but the spine, which stands inside the cavity and is painted after the lungs."""
    robust = 1.0 if chest.person.sex == "M" else 0.9
    ribs = rib_paths(chest)
    _paint(canvas, chest, "ribs", bent(ribs, np.full((14, 2), (6.2, 4.2)) * robust))
    top, length = _sternum(chest)
    line = chest.on_wall(np.linspace(top, top - length, 12), 90.0, 1, 5.0) * [0, 1, 1]

    ends = ribs[:, :_TRUE_RIBS, -1]
    joints = line[np.round(np.linspace(0.08, 0.88, _TRUE_RIBS) * 11).astype(int)]
    joints = joints + np.array([14.0, -14.0])[:, None, None] * [1, 0, 0]
    height = 0.6 * ends[..., 2] + 0.4 * joints[..., 2]
    bends = chest.on_wall(height, 70.0, np.array([[1], [-1]]), RIB_MM / 2)
    _paint(
        canvas,
        chest,
        "costal cartilage",
        bent(np.stack([ends, bends, joints], axis=2), np.full((3, 2), (5.5, 4.0))),
    )

    breadth = np.interp(np.linspace(0, 1, 12), [0, 0.25, 0.35, 0.8, 1], [27, 20, 16, 18, 7]) * robust
    _paint(
        canvas, chest, "sternum", bent(line, np.stack([breadth, np.full(12, 6.0)], axis=1), (1.0, 0.0, 0.0))
    )
    _paint_shoulders(canvas, chest, line[0], robust)


def paint_spine(canvas: Canvas, chest: Chest) -> None:
    """Vertebral bodies with discs between them, arches with spinous processes."""
    grid, spine, side = chest.grid, TISSUES["spine"], (1.0, 0.0, 0.0)
    z = np.linspace(-grid.shape[2] * grid.spacing[2] / 2, APEX_MM + 70, 24)
    _, _, half, middle = chest.wall(z)
    back, zero = middle - half, np.zeros_like(z)
    wide = np.interp(z, [APEX_MM - 270, APEX_MM], [22, 15]) * (1.0 if chest.person.sex == "M" else 0.9)
    level = np.abs((grid.axis(2) - APEX_MM) / (chest.height * _PITCH) % 1 - 0.5)

    body = np.stack([zero, back + 0.62 * wide, z], axis=1)
    filled, box = tubes(grid, bent(body, np.stack([wide, 0.78 * wide], axis=1), side))
    disc, plate = level[box[2]] < 0.11, level[box[2]] < 0.19
    hu = np.where(disc, 90, np.where(plate, spine.hu + 60, spine.hu)).astype(np.float32)
    canvas.paint(filled, hu, spine.number, box)

    arch = np.stack([zero, back - 0.75 * wide, z - 6], axis=1)
    filled, box = tubes(grid, bent(arch, np.stack([1.35 * wide, np.full(24, 7.0)], axis=1), side))
    canvas.paint(filled * (level[box[2]] > 0.2), spine.hu + 120, spine.number, box)


def _paint(canvas: Canvas, chest: Chest, name: str, rods: Rods) -> None:
    filled, box = tubes(canvas.grid, rods)
    canvas.paint(filled * _under_skin(chest, box), TISSUES[name].hu, TISSUES[name].number, box)


def _under_skin(chest: Chest, box: Box) -> np.ndarray:
    """Share of every voxel in which a bone may lie: in lean people it pushes the skin no further."""
    return chest.grid.soft(chest.outer[box] - 5)


def _sternum(chest: Chest) -> tuple[float, float]:
    """Height of its upper edge, its length."""
    return APEX_MM - 0.17 * chest.height, 1.01 * chest.person.height_cm


def _paint_shoulders(canvas: Canvas, chest: Chest, notch: np.ndarray, robust: float) -> None:
    """Collar bones from the sternum outward, shoulder blades flat on the back."""
    reach, blades, collars = 0.98 * chest.person.height_cm, TISSUES["scapulae"], []
    way = np.array([[22, 2, 2], [0.36 * reach, 6, 8], [0.66 * reach, -22, 18], [0.97 * reach, -48, 20]])
    places = chest.on_wall(APEX_MM - 0.33 * chest.height, -47.0, np.array([1, -1]), 19.0)
    for side, place in zip((1, -1), places):
        path = (way + [0, notch[1], notch[2]]) * [side, 1, 1]
        collars.append(bent(path, np.array([7.5, 6.0, 5.5, 6.5]) * robust))
        out = np.array([side * np.cos(_LEAN), np.sin(_LEAN), 0.0])
        rise = np.array([side * 0.17, 0.0, 1.0])
        rise -= out * (rise @ out)
        rise /= np.linalg.norm(rise)
        axes = np.stack([out, rise, np.cross(out, rise)])
        half = (47 * robust, 74 * robust, max(3.5, 0.55 * canvas.grid.step))
        filled, box = ellipsoid(canvas.grid, (place[0], place[1], place[2]), half, axes=axes)
        canvas.paint(filled * _under_skin(chest, box), blades.hu, blades.number, box)
    _paint(canvas, chest, "clavicles", together(collars))
