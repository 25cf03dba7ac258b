"""History: reprojection compared with geometry computed by hand, and what it gains."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from noisewalk.denoiser import DenoiserError
from noisewalk.denoiser.history import LONGEST, History, accumulate, from_tensors, to_tensors
from noisewalk.denoiser.inputs import InputMaker, PreparedPair
from noisewalk.denoiser.metrics import psnr
from noisewalk.denoiser.online import OnlineDenoiser
from noisewalk.denoiser.planes import AGE, COLOR, HISTORY, PAST, frame_planes, from_planes, part
from noisewalk.denoiser.trainer import TrainingSettings
from noisewalk.renderer.backend import Backend
from noisewalk.renderer.frame import Camera, Frame, NoisyPair
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.scene import open_scene

WIDTH, HEIGHT, FOV = 40, 30, 60.0
CPU = torch.device("cpu")
QUICK = TrainingSettings(pretrained=False, iterations=1, crop=32)


def wall(camera: Camera, color: torch.Tensor, distance: float = 2.0) -> Frame:
    """A wall at z = distance. The camera looks along +z from (x, y, 0)."""
    half = math.tan(math.radians(FOV) / 2)
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    left = (1 - 2 * x / WIDTH) * half * WIDTH / HEIGHT * distance + camera.to_world[0, 3]
    up = (1 - 2 * y / HEIGHT) * half * distance + camera.to_world[1, 3]
    position = torch.stack([left, up, torch.full_like(left, distance)], dim=-1).float()
    normal = torch.tensor([0.0, 0.0, -1.0]).expand(HEIGHT, WIDTH, 3)
    return Frame(color, torch.full_like(color, 0.5), normal, position)


def camera(pixels: float = 0.0, distance: float = 2.0) -> Camera:
    """A camera at the origin, or so far to the left that the picture of the wall moves by these pixels."""
    to_world = np.eye(4)
    to_world[0, 3] = pixels * 2 * distance * math.tan(math.radians(FOV) / 2) / HEIGHT
    return Camera(to_world, FOV, WIDTH, HEIGHT)


def history(color: torch.Tensor, age: float = 3.0) -> History:
    frame = wall(camera(), color)
    assert frame.position is not None
    ages = torch.full((HEIGHT, WIDTH, 1), age)
    return History(camera(), 0, color, ages, frame.position, frame.albedo, frame.normal)


def test_a_step_to_the_left_moves_the_picture_to_the_right() -> None:
    color = torch.rand(HEIGHT, WIDTH, 3)
    moved = wall(camera(3.0), torch.zeros_like(color))
    seen = history(color).reproject(moved)
    torch.testing.assert_close(seen[:, 3:, :3], color[:, :-3], atol=1e-3, rtol=0)
    torch.testing.assert_close(seen[:, 3:, 3], torch.full((HEIGHT, WIDTH - 3), 3.0))
    assert not seen[:, :3].any()  # this part was not in view before


@pytest.mark.parametrize("shift", [(0.1, 0.0), (0.0, -0.2), (-0.3, 0.2)])
def test_a_shifted_lens_moves_the_whole_picture(shift: tuple[float, float]) -> None:
    """By `shift` of its width and height; what was seen then is found in a frame of the lens without a shift."""
    color = torch.rand(HEIGHT, WIDTH, 3)
    right, down = round(shift[0] * WIDTH), round(shift[1] * HEIGHT)
    frame = wall(camera(), color)
    old, moved = history(color), {"shifts": (down, right), "dims": (0, 1)}
    shifted = replace(
        old,
        camera=replace(old.camera, principal_point=(0.5 + shift[0], 0.5 + shift[1])),
        radiance=torch.roll(old.radiance, **moved),
        position=torch.roll(old.position, **moved),
    )
    assert not old.reproject(frame)[..., 3].eq(0).any()
    seen = shifted.reproject(frame)
    inside = seen[..., 3] > 0
    assert inside.float().mean() >= (1 - abs(shift[0])) * (1 - abs(shift[1])) - 0.1
    torch.testing.assert_close(seen[inside][:, :3], color[inside], atol=1e-3, rtol=0)


def test_what_is_not_the_same_point_was_not_seen() -> None:
    color = torch.rand(HEIGHT, WIDTH, 3)
    frame = wall(camera(), color)
    old = history(color)
    assert old.reproject(frame)[..., 3].all()
    behind = replace(frame, position=frame.position * 1.1)
    turned = replace(frame, normal=-frame.normal)
    painted = replace(frame, albedo=frame.albedo + 0.3)
    background = replace(frame, position=torch.zeros_like(color))
    for other in (behind, turned, painted, background, replace(frame, position=None)):
        assert not old.reproject(other).any()
    # Behind the camera, and never in its picture.
    assert not old.reproject(replace(frame, position=-frame.position)).any()


def moved(color: torch.Tensor, right: float, down: float) -> Frame:
    """Without a position: all that is seen has come from so many pixels further right and down."""
    motion = torch.tensor([right, down]).expand(HEIGHT, WIDTH, 2).clone()
    return replace(wall(camera(), color), position=None, motion=motion)


def without_camera(color: torch.Tensor, **parts: torch.Tensor) -> History:
    return replace(history(color), camera=None, position=None, **parts)


def test_motion_leads_to_what_was_seen_before() -> None:
    color = torch.rand(HEIGHT, WIDTH, 3)
    for old in (without_camera(color), history(color)):
        seen = old.reproject(moved(torch.zeros_like(color), 3.0, -2.0))
        torch.testing.assert_close(seen[2:, :-3, :3], color[:-2, 3:], atol=1e-4, rtol=0)
        assert not seen[:2].any() and not seen[:, -3:].any()  # this came from outside


def test_motion_is_not_followed_to_something_else() -> None:
    color = torch.rand(HEIGHT, WIDTH, 3)
    frame, old = moved(color, 1.0, 0.0), without_camera(color)
    assert frame.motion is not None and old.reproject(frame)[:, :-1, 3].all()
    turned = replace(frame, normal=-frame.normal)
    painted = replace(frame, albedo=frame.albedo + 0.3)
    unknown = replace(frame, motion=torch.full_like(frame.motion, torch.nan))
    for other in (turned, painted, unknown):
        assert not old.reproject(other).any()
    nothing = torch.zeros_like(color)
    background = replace(frame, albedo=nothing, normal=nothing)
    assert not without_camera(color, albedo=nothing, normal=nothing).reproject(background).any()


def test_a_moving_thing_is_followed_unless_its_distance_differs() -> None:
    """Its position differs, so that without motion it would be taken for another one."""
    color = torch.rand(HEIGHT, WIDTH, 3)
    here = wall(camera(), color)
    assert here.position is not None
    nearer = replace(here, position=1.05 * here.position)
    assert not history(color).reproject(nearer, camera()).any()
    still = replace(nearer, motion=torch.zeros(HEIGHT, WIDTH, 2))
    assert history(color).reproject(still, camera())[..., 3].all()
    farther = replace(still, position=1.3 * here.position)
    assert not history(color).reproject(farther, camera()).any()


def test_the_history_is_the_mean_of_the_last_frames() -> None:
    colors = [torch.rand(HEIGHT, WIDTH, 3) for _ in range(8)]
    seen = torch.zeros(HEIGHT, WIDTH, 4)
    for index in range(0, 8, 2):
        frames = wall(camera(), colors[index]), wall(camera(), colors[index + 1])
        kept = accumulate(NoisyPair(*frames, camera(), 8, index), seen, seen)
        assert kept is not None
        seen = kept.reproject(frames[0])
    torch.testing.assert_close(seen[..., :3], torch.stack(colors).mean(dim=0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(seen[..., 3], torch.full((HEIGHT, WIDTH), 4.0))
    seen[..., 3] = LONGEST
    kept = accumulate(NoisyPair(*frames, camera(), 8, 9), seen, seen)
    assert kept is not None and (kept.age == LONGEST).all()


@pytest.mark.parametrize(("age_a", "age_b"), [(3.0, 0.0), (0.0, 5.0), (2.0, 6.0)])
def test_where_one_half_alone_has_seen_the_point_the_history_stays_as_bright(age_a: float, age_b: float) -> None:
    """0 means radiance that was not seen. It must not darken the mean."""
    radiance_a, radiance_b = 1.0 * (age_a > 0), 2.0 * (age_b > 0)
    past = [
        torch.tensor([r, r, r, age]).expand(HEIGHT, WIDTH, 4) for r, age in ((radiance_a, age_a), (radiance_b, age_b))
    ]
    before, age = (radiance_a * age_a + radiance_b * age_b) / (age_a + age_b), (age_a + age_b) / 2
    frame = wall(camera(), torch.full((HEIGHT, WIDTH, 3), 4.0))
    kept = accumulate(NoisyPair(frame, frame, camera(), 8, 0), *past)
    assert kept is not None and (kept.age == age + 1).all()
    torch.testing.assert_close(kept.radiance, torch.full_like(frame.color, (before * age + 4) / (age + 1)))


def test_broken_pixels_do_not_stay_in_the_history() -> None:
    color = torch.ones(HEIGHT, WIDTH, 3)
    color[4, 5, 1] = float("nan")
    frame = wall(camera(), color)
    kept = accumulate(NoisyPair(frame, frame, camera(), 8, 0), *2 * [torch.zeros(HEIGHT, WIDTH, 4)])
    assert kept is not None and kept.radiance.isfinite().all()


def test_a_half_never_sees_its_own_frame_in_the_history() -> None:
    """Noise2Noise's condition: the target must not be in what the network sees."""
    maker = InputMaker(CPU, guided=False, context=True)
    for index in range(3):
        frames = [wall(camera(), torch.full((HEIGHT, WIDTH, 3), float(2 * index + half))) for half in range(2)]
        pair = maker.prepare(NoisyPair(*frames, camera(), 8, index))
        # Frames before this one have the colors 0 .. 2 * index - 1.
        expected = (2 * index - 1) / 2 if index else 0.0
        for seen in (part(pair.a, HISTORY), part(pair.b, HISTORY)):
            torch.testing.assert_close(seen, torch.full_like(seen, expected))
        assert (part(pair.a, COLOR) == 2 * index).all() and (part(pair.b, COLOR) == 2 * index + 1).all()


def test_with_motion_alone_a_half_never_sees_its_own_frame() -> None:
    maker = InputMaker(CPU, guided=False, context=True)
    for index in range(3):
        a, b = (moved(torch.full((HEIGHT, WIDTH, 3), float(2 * index + half)), 0.0, 0.0) for half in range(2))
        pair = maker.prepare(NoisyPair(a, b, index=index))
        expected = (2 * index - 1) / 2 if index else 0.0
        for seen in (part(pair.a, HISTORY), part(pair.b, HISTORY)):
            torch.testing.assert_close(seen, torch.full_like(seen, expected))


def test_each_half_looks_back_by_its_own_motion() -> None:
    """So a half sees the same whatever the other one, its target, is."""
    color = torch.rand(HEIGHT, WIDTH, 3)
    still = moved(color, 0.0, 0.0)

    def seen(b: Frame) -> torch.Tensor:
        maker = InputMaker(CPU, guided=False, context=True)
        maker.prepare(NoisyPair(still, still, index=0))
        return part(maker.prepare(NoisyPair(moved(color, 2.0, 1.0), b, index=1)).a, PAST)

    assert torch.equal(seen(still), seen(moved(1 - color, -3.0, 2.0))) and seen(still).any()


def constant_pair(index: int) -> NoisyPair:
    frame = wall(camera(), torch.ones(HEIGHT, WIDTH, 3))
    return NoisyPair(frame, frame, camera(), 8, index)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_frame_that_is_not_newer_than_the_history_is_refused(device: str) -> None:
    """A copy too: its target would be in the history that the network sees."""
    pair = constant_pair(3)
    with OnlineDenoiser(QUICK, "cpu", "lockstep") as denoiser:
        denoiser.denoise(denoiser.prepare(pair))
        for again in (pair, replace(pair), pair.to(torch.device(device)), constant_pair(2)):
            with pytest.raises(DenoiserError, match=f"^frame {again.index} is not newer than frame 3, "):
                denoiser.prepare(again)
        seen = denoiser.prepare(constant_pair(4))
        assert (part(seen.a, AGE) == 1).all()
        denoiser.forget()
        assert not part(denoiser.prepare(pair).a, PAST).any()


def test_a_checkpoint_knows_which_frames_are_remembered(tmp_path: Path) -> None:
    with OnlineDenoiser(QUICK, "cpu", "lockstep") as denoiser:
        denoiser.submit(denoiser.prepare(constant_pair(3)))
        denoiser.save_checkpoint(tmp_path / "c.safetensors", {})
    with OnlineDenoiser(QUICK, "cpu", "lockstep") as resumed:
        resumed.load_checkpoint(tmp_path / "c.safetensors")
        with pytest.raises(DenoiserError, match="frame 3 is not newer"):
            resumed.prepare(constant_pair(3))
        assert (part(resumed.prepare(constant_pair(4)).a, AGE) == 1).all()


def test_previews_are_never_remembered_and_look_back_only() -> None:
    maker = InputMaker(CPU, guided=False, context=True)
    maker.prepare(constant_pair(1))
    small = Frame(*(torch.ones(5, 7, 3) for _ in range(4)))
    preview = maker.prepare(NoisyPair(small, small, Camera(np.eye(4), FOV, 7, 5), 1, 2), remember=False)
    assert not part(preview.a, PAST).any()
    assert (part(maker.prepare(constant_pair(2), remember=False).a, AGE) == 1).all()
    for index in (0, 1):  # their targets are in the history
        assert not part(maker.prepare(constant_pair(index), remember=False).a, PAST).any()
    assert maker.history is not None and maker.history.index == 1 and (maker.history.age == 1).all()


@pytest.mark.parametrize("guided", [True, False])
def test_the_guide_of_both_is_made_of_both_and_only_when_it_is_asked_for(guided: bool) -> None:
    asked: list[torch.Tensor] = []

    def darker(color: torch.Tensor, albedo: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
        asked.append(color)
        return color / 2 + albedo + normal

    planes = [frame_planes(wall(camera(), torch.full((HEIGHT, WIDTH, 3), radiance))) for radiance in (1.0, 3.0)]
    pair = PreparedPair(0, *planes, guide=darker if guided else None)
    assert pair.tensors == planes and pair.noisy.mean() == 2 and not asked
    if guided:
        made = pair.guide_of_both
        assert made is not None and made.mean(dim=(0, 2, 3)).tolist() == [1.5, 1.5, 0.5]
        assert pair.guide_of_both is made and len(asked) == 1
    else:
        assert pair.guide_of_both is None


def exponential_pair(index: int, pixels: float = 0.0) -> NoisyPair:
    random = torch.Generator().manual_seed(index)
    here = camera(pixels)
    a, b = (wall(here, torch.empty(HEIGHT, WIDTH, 3).exponential_(generator=random)) for _ in range(2))
    return NoisyPair(a, b, here, 8, index)


def test_what_was_shown_is_found_again_in_the_next_frame_and_no_previews_or_later_frames() -> None:
    with OnlineDenoiser(QUICK, "cpu", "lockstep") as denoiser:
        shown = denoiser.denoise(denoiser.prepare(exponential_pair(0)))
        denoiser.denoise(denoiser.prepare(exponential_pair(1, 5.0), remember=False))
        prepared = denoiser.prepare(exponential_pair(2, 3.0))
        before = prepared.shown_before
        assert before is not None
        image, seen = from_planes(before)[0].split([3, 1], dim=-1)
        torch.testing.assert_close(image[:, 3:], shown[:, :-3], atol=1e-3, rtol=1e-3)
        assert seen[:, 3:].all() and not seen[:, :3].any()
        assert denoiser.prepare(exponential_pair(3)).shown_before is None  # the frame before was not denoised


def test_a_frame_is_better_if_the_one_before_was_shown() -> None:
    truth = torch.ones(HEIGHT, WIDTH, 3)

    def last(shown_before: bool) -> float:
        with OnlineDenoiser(QUICK, "cpu", "lockstep") as denoiser:
            for index in range(4):
                prepared = denoiser.prepare(exponential_pair(index))
                if shown_before or index == 3:
                    picture = denoiser.denoise(prepared)
        return psnr(picture, truth)

    assert last(shown_before=True) > last(shown_before=False) + 0.2


def test_a_history_survives_a_file() -> None:
    shifted = replace(camera(1.5), principal_point=(0.4, 0.7))
    old = replace(history(torch.rand(HEIGHT, WIDTH, 3)), camera=shifted, shown=torch.rand(HEIGHT, WIDTH, 3))
    new = from_tensors(to_tensors(old))
    assert new.index == old.index and torch.equal(new.radiance, old.radiance) and torch.equal(new.age, old.age)
    assert new.camera.fov_y == FOV and new.camera.principal_point == (0.4, 0.7)
    assert np.array_equal(new.camera.to_world, old.camera.to_world)
    frame = wall(camera(), old.radiance)
    torch.testing.assert_close(new.reproject(frame), old.reproject(frame))
    torch.testing.assert_close(new.reproject_shown(frame), old.reproject_shown(frame))
    alone = from_tensors(to_tensors(without_camera(old.radiance)))
    assert alone.camera is None and alone.position is None
    torch.testing.assert_close(
        alone.reproject(moved(old.radiance, 1.0, 1.0)), old.reproject(moved(old.radiance, 1.0, 1.0))
    )


@pytest.mark.parametrize("bundled", ["cornell"])
def test_in_a_rendered_walk_it_is_much_less_noisy_than_one_frame(
    backend: Backend, bundled: str, tmp_path: Path
) -> None:
    scene = open_scene(bundled, backend.variant, 4)
    start = replace(scene.start, width=64, height=64)
    tracer, maker = PathTracer(scene, 64, 64, 4, 0), InputMaker(CPU, guided=False, context=True)
    for index in range(6):
        pose = start.to_world.copy()
        pose[:3, 3] += 0.01 * index * pose[:3, 0]
        pair = tracer.render_pair(replace(start, to_world=pose), index)
        planes = maker.prepare(pair).a
    truth = PathTracer(scene, 64, 64, 256, 1).render_pair(pair.camera, 0).a.color.cpu()
    seen = part(planes, AGE)[0, 0] > 0
    assert seen.float().mean() > 0.6
    history = from_planes(part(planes, HISTORY))[0]
    assert psnr(history[seen], truth[seen]) > psnr(pair.a.color.cpu()[seen], truth[seen]) + 4
