"""The wide view holds the narrow one."""

from __future__ import annotations

import numpy as np
import pytest

from noisewalk.app.flying.around import WIDER, WIDEST, widened
from noisewalk.app.flying.controls import reprojection
from noisewalk.app.flying.messages import Viewpoint


@pytest.mark.parametrize("fov_y", [5.0, 45.0, 90.0])
@pytest.mark.parametrize("principal_point", [(0.5, 0.5), (0.3, 0.6)])
def test_the_narrow_picture_is_the_middle_of_the_wide_one(fov_y: float, principal_point: tuple[float, float]) -> None:
    view = Viewpoint(np.eye(4), fov_y, principal_point)
    matrix = reprojection(view, widened(view), 1.5, distance=4.0)
    for u, v in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.25)):
        x, y, z = matrix @ (u, v, 1.0)
        assert (x / z, y / z) == pytest.approx((0.5 + (u - 0.5) / WIDER, 0.5 + (v - 0.5) / WIDER))


def test_no_view_becomes_too_wide_or_narrower() -> None:
    assert widened(Viewpoint(np.eye(4), 130.0)).fov_y == pytest.approx(WIDEST)
    assert widened(Viewpoint(np.eye(4), 170.0)).fov_y == pytest.approx(170.0)
