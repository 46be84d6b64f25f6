"""Videos of cubes, cylinders and spheres that fall, roll and collide: rigid-body physics by PyBullet.

The set-up is that of MOVi-A: 3 to 10 objects start within 10 x 10 x 4 units above a floor, move towards its
middle and are seen for two seconds at 12 frames per second by a camera that stands still.

Differs: the pictures come from exact ray casting (`rays`, `shading`) and not from a path tracer, so depth and
flow are exact; the floor is an endless plane, not a dome.
Source: MOVi-A of Kubric (Greff et al., 2203.03570). Needs the extra `physics`.
"""

from visus.data.worlds.tumble.videos import TumbleVideos

__all__ = ["TumbleVideos"]
