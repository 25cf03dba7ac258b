"""What the browser's server is made of, without a browser: axes, link, wheel, and where it listens."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from noisewalk.app.browser.axes import Axes
from noisewalk.app.browser.guard import is_loopback, require_free
from noisewalk.app.browser.link import LEVELS, Link
from noisewalk.app.browser.visitor import framed
from noisewalk.app.browser.wheel import IDLE_SECONDS, Wheel
from noisewalk.app.errors import UsageError


def poses(mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """A level start pose with up along z, and another after a flight, both (4, 4) in Mitsuba's axes."""
    start = np.eye(4)
    start[:3, :3] = np.column_stack([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
    flown = start.copy()
    flown[:3, :3] = Rotation.from_euler("xz", [20, 70], degrees=True).as_matrix() @ start[:3, :3]
    flown[:3, 3] = 3.0, -4.0, 5.0
    if mirrored:
        start[:3, 0] *= -1
        flown[:3, 0] *= -1
    return start, flown


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_pose_goes_to_viser_and_comes_back(mirrored: bool) -> None:
    start, flown = poses(mirrored)
    axes = Axes(start, unit=0.25)
    assert axes.up == pytest.approx([0, 0, 1])
    place = axes.place(flown, look_distance=2.0)
    forward = place.look_at - place.position
    assert np.linalg.norm(forward) == pytest.approx(8.0)
    assert np.linalg.norm(place.position) == pytest.approx(4 * 50**0.5)
    # viser's camera, from what it was told (right, down, forward): a rotation, also where the scene's camera mirrors.
    z = forward / 8.0
    x = np.cross(z, place.up)
    x /= np.linalg.norm(x)
    wxyz = np.roll(Rotation.from_matrix(np.column_stack([x, np.cross(z, x), z])).as_quat(), 1)
    back = axes.pose(place.position, wxyz)
    assert back is not None and back == pytest.approx(flown, abs=1e-9)
    assert axes.same(back, flown)
    flown[0, 3] += 0.01
    assert not axes.same(back, flown)


def test_numbers_that_are_no_camera_are_not_followed() -> None:
    axes = Axes(np.eye(4), 1.0)
    assert axes.pose(np.array([np.nan, 0, 0]), np.array([1.0, 0, 0, 0])) is None
    assert axes.pose(np.zeros(3), np.zeros(4)) is None


def test_a_slow_link_gets_less_at_once_and_a_good_one_more_after_a_while() -> None:
    link = Link()
    first = link.scale, link.quality
    link.answered(1.0)
    assert (link.scale, link.quality) < first
    for _ in LEVELS:
        link.answered(1.0)
    assert (link.scale, link.quality) == LEVELS[0]
    link.answered(0.01)
    assert (link.scale, link.quality) == LEVELS[0]
    for _ in range(100):
        link.answered(0.01)
    assert (link.scale, link.quality) == LEVELS[-1]


def test_one_flies_and_the_wheel_goes_on() -> None:
    wheel = Wheel()
    for visitor in (1, 2, 3):
        wheel.join(visitor, now=0.0)
    assert wheel.pilot == 1 and wheel.asking is None
    wheel.ask(3)
    wheel.ask(3)
    wheel.ask(2)
    wheel.moved(now=10.0)
    wheel.tick(now=10.0 + IDLE_SECONDS - 1)
    assert wheel.pilot == 1 and wheel.asking == 3  # who is active decides
    wheel.hand_over(now=20.0)
    assert wheel.pilot == 3 and wheel.asking == 2
    wheel.tick(now=20.0 + IDLE_SECONDS + 1)  # who does nothing keeps nobody waiting
    assert wheel.pilot == 2
    wheel.leave(2, now=60.0)
    assert wheel.pilot == 1  # nobody has asked: the longest there
    wheel.leave(3, now=60.0)
    wheel.leave(1, now=60.0)
    assert wheel.pilot is None
    wheel.join(4, now=70.0)
    assert wheel.pilot == 4


def test_pictures_keep_their_shape_on_any_canvas() -> None:
    picture = np.full((20, 30, 3), 200, np.uint8)
    for aspect, shape in ((3.0, (20, 60)), (1.5, (20, 30)), (0.5, (60, 30))):
        ground = framed(picture, aspect)
        assert ground.shape[:2] == shape
        rows, columns = np.nonzero((ground == 200).all(axis=-1))
        assert (rows.min(), np.ptp(rows) + 1) == ((shape[0] - 20) // 2, 20)
        assert (columns.min(), np.ptp(columns) + 1) == ((shape[1] - 30) // 2, 30)


def test_where_it_cannot_listen_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)
    with pytest.raises(UsageError, match="cannot listen on"):
        require_free("192.0.2.1", port)  # not this machine's: RFC 5737
    assert is_loopback("localhost") and is_loopback("::1") and not is_loopback("0.0.0.0")
