"""What lies around a view: a small, wide picture of it, for what a moving camera uncovers before the next picture."""

from __future__ import annotations

import math

from noisewalk.app.flying.messages import Viewpoint

WIDER = 2.0  # times as wide and as high
WIDEST = 150.0  # degrees
SCALE = 1 / 4  # of the frame's width and height, as of a first preview, so that its kernels are there


def widened(view: Viewpoint) -> Viewpoint:
    """The same camera, which sees WIDER times as much to all sides."""
    half = math.tan(math.radians(view.fov_y) / 2)
    wide = max(half, min(WIDER * half, math.tan(math.radians(WIDEST) / 2)))
    x, y = (0.5 + (middle - 0.5) * half / wide for middle in view.principal_point)
    return Viewpoint(view.to_world, math.degrees(2 * math.atan(wide)), (x, y))
