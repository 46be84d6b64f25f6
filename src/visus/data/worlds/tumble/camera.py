"""A camera that stands still, and how points of moving bodies cross its picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

FOCAL_LENGTH, SENSOR_WIDTH = 35.0, 32.0
POSITION = (7.48113, -6.50764, 5.34367)


@dataclass(frozen=True)
class Camera:
    """A pinhole at `position` that looks at the origin; z is up. Pictures are squares of `size` pixels.

    The center of the pixel in row r and column c lies at (r + 0.5, c + 0.5).
    """

    position: Float[np.ndarray, " 3"]
    size: int

    @property
    def axes(self) -> Float[np.ndarray, "3 3"]:
        """Rows: to the right, down, forward; unit vectors of the world."""
        forward = -self.position / np.linalg.norm(self.position)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    @property
    def focal(self) -> float:
        """Pixels from the pinhole to the picture."""
        return self.size * FOCAL_LENGTH / SENSOR_WIDTH

    def rays(self, oversampling: int = 1) -> Float[np.ndarray, "h w 3"]:
        """Unit vectors from the pinhole through the centers of the pixels, each cut into several both ways."""
        place = (np.arange(self.size * oversampling) + 0.5) / oversampling - self.size / 2
        down, right = np.meshgrid(place, place, indexing="ij")
        ways = np.stack([right, down, np.full_like(right, self.focal)], axis=-1) @ self.axes
        return ways / np.linalg.norm(ways, axis=-1, keepdims=True)

    def project(self, points: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 2"]:
        """Row and column, in pixels, at which points before the camera appear."""
        right, down, forward = np.moveaxis((points - self.position) @ self.axes.T, -1, 0)
        return self.size / 2 + self.focal * np.stack([down, right], axis=-1) / forward[..., None]


def moved(
    points: Float[np.ndarray, "n 3"],
    body: Int[np.ndarray, " n"],
    here: tuple[Float[np.ndarray, "k 3"], Float[np.ndarray, "k 3 3"]],
    there: tuple[Float[np.ndarray, "k 3"], Float[np.ndarray, "k 3 3"]],
) -> Float[np.ndarray, "n 3"]:
    """Where points fixed to rigid bodies are once the bodies have moved.

    `here` and `there` are positions and rotations (body to world) of all bodies; `body` says to which body a
    point belongs.
    """
    local = np.einsum("nij,ni->nj", here[1][body], points - here[0][body])
    return np.einsum("nij,nj->ni", there[1][body], local) + there[0][body]
