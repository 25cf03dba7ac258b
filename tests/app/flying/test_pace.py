"""Pictures in motion are as large as the time for them allows."""

from noisewalk.app.flying.pace import SCALES, TARGET_MS, Pace


def settled(milliseconds_at_full_size: float, target: float = TARGET_MS) -> list[float]:
    pace, scales = Pace(target), []
    for _ in range(60):
        scales.append(pace.scale)
        pace.took(milliseconds_at_full_size * pace.scale**2)
    return scales[-20:]


def test_quick_machines_show_whole_frames_and_slow_ones_small_ones() -> None:
    assert set(settled(5.0)) == {SCALES[-1]}
    assert set(settled(1e5)) == {SCALES[0]}
    for cost in (150.0, 350.0, 3000.0):
        (scale,) = set(settled(cost))  # it does not go to and fro
        assert cost * scale**2 <= TARGET_MS


def test_the_first_picture_of_a_size_is_no_measure() -> None:
    pace = Pace()
    before = pace.scale
    pace.took(60_000.0)  # a kernel was compiled
    assert pace.scale == before
    pace.took(60_000.0)
    assert pace.scale < before


def test_more_time_gives_larger_pictures_from_then_on() -> None:
    assert settled(1000.0, 20.0)[0] < settled(1000.0)[0] < settled(1000.0, 1000.0)[0]
    pace = Pace(20.0)
    assert pace.too_slow(50.0)
    pace.target = 100.0
    assert not pace.too_slow(50.0) and pace.too_slow(250.0)
