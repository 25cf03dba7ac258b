"""The session thread with the real renderer and the real network, on a tiny scene."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from noisewalk.app.flying import engine as engine_module
from noisewalk.app.flying.engine import Engine
from noisewalk.app.flying.messages import Picture, Setup, Status, Wish
from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.layers import as_array
from noisewalk.app.options import WalkOptions
from noisewalk.app.session import Session
from noisewalk.denoiser.weights import load_weights
from noisewalk.renderer import path_tracer
from noisewalk.renderer.backend import Backend
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.reference import Accumulation
from tests.desktop import wait_for

Start = Callable[..., Engine]


@pytest.fixture
def options(tiny_xml: Path, backend: Backend, tmp_path: Path) -> WalkOptions:
    """The tiny scene in tiny frames."""
    small = WalkOptions(scene=str(tiny_xml), width=32, height=24, spp=2, iterations=1, crop=32)
    return replace(small, variant=backend.variant, cache_dir=tmp_path / "cache")


@pytest.fixture
def start(options: WalkOptions) -> Iterator[Start]:
    """Starts engines on the tiny scene; ends them after the test."""
    engines: list[Engine] = []

    def begin(**changes: object) -> Engine:
        engines.append(Engine(replace(options, **changes)))  # type: ignore[arg-type]
        engines[-1].start()
        return engines[-1]

    yield begin
    assert all(engine.close() for engine in engines)


def next_picture(engine: Engine, accepted: Callable[[Picture], bool] = lambda picture: not picture.preview) -> Picture:
    """The next one that is accepted, from now on."""
    before = engine.picture.number if engine.picture else -1

    def found() -> Picture | None:
        picture = engine.picture
        return picture if picture and picture.number > before and accepted(picture) else None

    return wait_for(found, "a picture")


def trains() -> bool:
    """Whether there is a training thread."""
    return any(thread.name == "trainer" for thread in threading.enumerate())


def errors(engine: Engine) -> list[str]:
    return [message.text for message in engine.messages() if message.error]


def test_a_resting_camera_gets_pictures_training_and_a_growing_reference(start: Start) -> None:
    engine = start(reference_spp=64)
    first = next_picture(engine)
    assert first.layers["denoised"].shape == (24, 32, 3) and "reference" not in first.layers and not first.decibels
    estimated = next_picture(engine, lambda p: p.steps > 0)
    assert estimated.estimate and estimated.layers["estimated_error"].shape == (24, 32, 3)
    measured = next_picture(engine, lambda p: bool(p.decibels) and p.steps > 0)
    # Four times the samples of the frame, at least, and the numbers are those of the pictures that are shown.
    assert measured.reference_spp >= 16 and measured.noise_floor
    pictures = [as_array(measured.layers[name]) for name in ("noisy", "reference")]
    t = [np.power(v / (1 + v), 1 / 2.2) for v in pictures]
    mse = np.square(t[0].astype(np.float64) - t[1]).mean()
    noise = 10 ** (-measured.noise_floor / 10)  # of the reference
    assert measured.decibels["noisy"] == pytest.approx(-10 * np.log10(mse - noise), abs=1e-3)
    complete = next_picture(engine, lambda p: p.reference_spp >= 64)
    assert next_picture(engine).reference_spp == complete.reference_spp  # it is not rendered on and on
    assert next_picture(engine, lambda p: p.steps > measured.steps).steps > measured.steps
    facts = engine.status.scene
    assert facts and facts.name == "tiny" and len(facts.path) > 1
    assert engine.close()
    # It is in the cache, and the next time this view has a reference from its first frame.
    again = start(reference_spp=64)
    assert next_picture(again).reference_spp >= 64


def test_another_setup_keeps_camera_and_weights_and_one_that_cannot_be_leaves_the_old(start: Start) -> None:
    engine = start(guide="none")
    learned = next_picture(engine, lambda p: p.steps > 0)
    scene = engine.status.scene
    assert scene and scene.setup == Setup(32, 24, "kernel", guide=False) and scene.film == (48, 32)
    pose = learned.viewpoint.to_world.copy()
    pose[1, 3] += 0.1
    engine.show(Wish(replace(engine.knobs, train=False), pose, 40.0))
    before = next_picture(engine, lambda p: p.viewpoint.fov_y == 40.0)

    wider = replace(scene.setup, width=40, max_depth=2)
    engine.reopen(wider)
    wide = next_picture(engine, lambda p: p.layers["denoised"].shape == (24, 40, 3) and not p.preview)
    assert wide.viewpoint.same_as(before.viewpoint) and wide.steps >= before.steps > 0
    assert engine.status.scene and engine.status.scene.setup == wider
    # Fewer bounces bring less light: the references of both depths are not mixed up.
    mean, deep = (as_array(picture.layers["noisy"]).mean() for picture in (wide, before))
    assert mean < 0.97 * deep

    engine.reopen(replace(wider, model="paper"))
    assert next_picture(engine, lambda p: not p.trained).steps == 0  # its weights do not fit
    engine.reopen(replace(wider, model="nobody"))
    assert wait_for(lambda: errors(engine), "an error")[0].endswith("are there")
    assert next_picture(engine).viewpoint.same_as(before.viewpoint) and engine.status.phase == "running"


@pytest.mark.parametrize("cold", [False, True])
def test_a_pretrained_network_is_shown_from_the_first_picture_on_and_a_fresh_one_is_not(
    start: Start, cold: bool
) -> None:
    engine = start(cold=cold)
    engine.show(Wish(replace(engine.knobs, train=False)))  # while the scene is being opened
    picture = next_picture(engine)
    assert picture.steps == 0 and picture.trained != cold
    noisy, shown = (as_array(picture.layers[name]) for name in ("noisy", "denoised"))
    assert np.array_equal(noisy, shown) == cold and (picture.estimate is None) == cold


def test_a_resting_camera_gets_a_wide_picture_of_its_view_once(start: Start) -> None:
    engine = start()
    around = wait_for(lambda: engine.around, "a wide picture")
    full = next_picture(engine)
    assert around.layers["denoised"].shape == (6, 8, 3) and around.viewpoint.to_world is full.viewpoint.to_world
    # Its middle is what the picture shows; albedo has no noise.
    wide, narrow = (as_array(one.layers["albedo"]) for one in (around, full))
    assert wide[2:4, 3:5].mean(axis=(0, 1)) == pytest.approx(narrow[6:18, 8:24].mean(axis=(0, 1)), abs=0.15)
    assert engine.around is around
    pose = full.viewpoint.to_world.copy()
    pose[0, 3] += 0.1
    engine.show(Wish(engine.knobs, pose, 50.0))
    wait_for(lambda: engine.around is not around and engine.around.viewpoint.to_world is pose, "another")  # type: ignore[union-attr]


def test_a_moving_camera_gets_small_frames_where_full_ones_are_slow(start: Start) -> None:
    engine = start()
    next_picture(engine)
    knobs = replace(engine.knobs, moving_ms=0)  # no frame is as quick as that
    pose = engine.status.scene.views["camera 1"][0].copy()  # type: ignore[union-attr]
    pose[0, 3] += 0.1
    engine.show(Wish(knobs, pose, 50.0, moving=True))
    preview = next_picture(engine, lambda p: p.preview)
    assert (
        preview.layers["noisy"].shape in ((6, 8, 3), (3, 4, 3))
        and preview.viewpoint.to_world is pose
        and not preview.decibels
    )
    frames = len(engine.series.curves().frame)
    next_picture(engine, lambda p: p.preview)
    assert len(engine.series.curves().frame) == frames  # previews are not in the graphs
    engine.show(Wish(engine.knobs, pose, 50.0, moving=False))
    full = next_picture(engine, lambda p: not p.preview)
    assert full.layers["noisy"].shape == (24, 32, 3) and full.viewpoint.to_world is pose


def test_the_newest_wish_is_rendered_and_those_before_it_are_left_out(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    next_picture(engine)
    go_on, inside, rendered = threading.Event(), threading.Event(), []
    render = PathTracer.render_pair

    def blocked(self: PathTracer, camera, index, check=lambda: None):  # type: ignore[no-untyped-def]
        inside.set()
        assert go_on.wait(60)
        rendered.append(camera.to_world)
        return render(self, camera, index, check)

    monkeypatch.setattr(PathTracer, "render_pair", blocked)
    assert inside.wait(60)
    poses = [engine.status.scene.views["camera 1"][0] + 0.0 for _ in range(20)]  # type: ignore[union-attr]
    for pose in poses:
        engine.show(Wish(engine.knobs, pose, 50.0))
    go_on.set()
    wait_for(lambda: any(r is poses[-1] for r in rendered), "the newest view")
    assert not any(r is pose for r in rendered for pose in poses[:-1])


def test_a_path_is_measured_against_its_cached_references(start: Start, options: WalkOptions) -> None:
    engine = start()
    next_picture(engine)
    scene = engine.status.scene
    assert scene
    session = Session(options, pacing="lockstep")
    try:
        session.references.get(scene.path.camera(3, 32, 24), 64)
    finally:
        session.close()
    for frame, cached in ((2, False), (3, True)):
        camera = scene.path.camera(frame, 32, 24)
        engine.show(Wish(engine.knobs, camera.to_world, camera.fov_y, path_frame=frame))
        picture = next_picture(engine, lambda p, frame=frame: p.path_frame == frame)
        assert bool(picture.decibels) == cached and picture.reference_spp == (64 if cached else 0)


def test_knobs_are_live(start: Start) -> None:
    engine = start()
    next_picture(engine, lambda p: p.steps > 0)
    engine.show(Wish(replace(engine.knobs, train=False)))
    for _ in range(2):  # the first of them may have been begun before
        next_picture(engine)
    engine.restart_network()  # after the iterations in hand; from then on nothing may be learned
    next_picture(engine, lambda p: p.steps == 0)
    assert [next_picture(engine).steps for _ in range(5)] == [0] * 5
    engine.show(Wish(replace(engine.knobs, iterations=5, learning_rate=1e-3, spp=3)))
    assert next_picture(engine, lambda p: p.steps > 5).steps % 5 == 0
    engine.restart_network()
    assert next_picture(engine, lambda p: p.steps <= 5).steps % 5 == 0


def test_weights_leave_and_come_back_with_a_warning_for_another_scene(
    start: Start, tmp_path: Path, tiny_xml: Path
) -> None:
    engine, file = start(), tmp_path / "w.safetensors"
    next_picture(engine, lambda p: p.steps >= 2)
    engine.save_weights(file)
    wait_for(file.exists, "the weights")
    assert load_weights(file)[1]["scene"] == "tiny"
    engine.load_weights(file)
    wait_for(lambda: any("loaded" in m.text for m in engine.messages()), "a word on it")
    other = tmp_path / "other.xml"
    other.write_text(tiny_xml.read_text().replace('value="12"', 'value="13"'))
    engine.open(str(other))
    wait_for(lambda: engine.status.scene and engine.status.scene.name == "other", "the other scene")
    engine.load_weights(file)
    wait_for(lambda: any("another scene (tiny)" in m.text for m in engine.messages()), "a warning")
    engine.load_weights(tmp_path / "nosuch.safetensors")
    wait_for(lambda: any("no such file" in e for e in errors(engine)), "an error")
    assert next_picture(engine).layers["noisy"].shape == (24, 32, 3)


def test_what_was_learned_is_in_the_cache_after_closing(start: Start) -> None:
    engine = start()
    next_picture(engine, lambda p: p.steps >= 1)
    assert engine.status.scene and engine.status.scene.saved_weights is None
    assert engine.close() and engine.status.phase == "closed"
    again = start()
    next_picture(again)
    assert again.status.scene and again.status.scene.saved_weights
    kept = again.status.scene.saved_weights
    assert load_weights(kept)[1]["scene"] == "tiny"
    # A network that learned less does not replace it.
    steps = load_weights(kept)[1]["steps"]
    again.show(Wish(replace(again.knobs, train=False)))
    again.restart_network()
    next_picture(again, lambda p: p.steps == 0)
    assert again.close() and load_weights(kept)[1]["steps"] == steps
    # And one that goes on from it does.
    more = start()
    next_picture(more)
    more.load_weights(kept)
    next_picture(more, lambda p: p.steps > int(str(steps)) + 1)
    assert more.close() and int(str(load_weights(kept)[1]["steps"])) > int(str(steps))


def test_a_scene_that_fails_leaves_the_old_one_running(start: Start, tmp_path: Path) -> None:
    engine = start()
    next_picture(engine)
    broken = tmp_path / "broken.xml"
    broken.write_text("<scene version='3.0.0'><sensor type='fisheye'/></scene>")
    engine.open(str(broken))
    text = wait_for(lambda: errors(engine), "an error")[0]
    assert "broken.xml" in text
    assert engine.status.phase == "running" and engine.status.scene and engine.status.scene.name == "tiny"
    next_picture(engine)


def test_while_the_camera_rests_the_samples_add_up_and_a_move_starts_afresh(start: Start) -> None:
    engine = start(reference_spp=64)
    assert next_picture(engine).spp == 4
    converged = next_picture(engine, lambda p: p.spp >= 200)
    assert converged.spp % 4 == 0 and not converged.preview
    measured = next_picture(engine, lambda p: "noisy" in p.decibels and p.spp > converged.spp)
    # What is shown is measured against other samples: the reference is apart from it.
    noisy, reference = (as_array(measured.layers[name]) for name in ("noisy", "reference"))
    assert not np.allclose(noisy, reference, rtol=1e-3)
    pose = engine.status.scene.views["camera 1"][0].copy()  # type: ignore[union-attr]
    pose[0, 3] += 0.01
    engine.show(Wish(engine.knobs, pose, 50.0))
    moved = next_picture(engine, lambda p: p.viewpoint.to_world is pose)
    assert moved.spp <= 16
    engine.show(Wish(engine.knobs, pose, 50.0, path_frame=1))
    assert next_picture(engine, lambda p: p.path_frame == 1).spp == 4  # a frame of a walk is one frame
    engine.show(Wish(engine.knobs, pose, 50.0, moving=True))
    assert {next_picture(engine, lambda p: p.path_frame is None).spp for _ in range(3)} <= {2, 4}


def test_the_first_picture_has_one_sample_per_pixel_and_the_stages_are_named(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    begin = Status.begun
    monkeypatch.setattr(Status, "begun", lambda self, stage, now: seen.append(stage) or begin(self, stage, now))
    published: list[Picture] = []
    publish = engine_module.picture_of
    monkeypatch.setattr(engine_module, "picture_of", lambda *args: published.append(publish(*args)) or published[-1])
    engine = start()
    next_picture(engine)
    assert published[0].preview and published[0].spp == 2 and published[0].layers["noisy"].shape == (24, 32, 3)
    assert seen == ["loading PyTorch", "opening tiny", "preparing kernels", "first full frame"]
    wait_for(lambda: not engine.status.stages and not engine.status.note, "the end of the last stage")


def test_open_image_denoise_is_measured_only_while_it_is_shown(start: Start) -> None:
    pytest.importorskip("pyoidn")
    engine = start(reference_spp=64)
    assert "oidn" not in next_picture(engine).layers
    engine.show(Wish(engine.knobs, oidn=True))
    picture = next_picture(engine, lambda p: "oidn" in p.decibels)
    assert picture.layers["oidn"].shape == (24, 32, 3) and picture.decibels["oidn"] > picture.decibels["noisy"] - 3
    engine.show(Wish(engine.knobs))
    next_picture(engine, lambda p: "oidn" not in p.layers)


def test_a_pause_of_training_is_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    from noisewalk.denoiser.trainer import Trainer

    engine = start(iterations=1000)
    next_picture(engine)
    go_on, steps, step = threading.Event(), [], Trainer.step

    def slow(self: Trainer, *images: object) -> object:
        steps.append(0)
        assert go_on.wait(60)
        return step(self, *images)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "step", slow)
    wait_for(lambda: steps, "a step")
    engine.show(Wish(replace(engine.knobs, train=False)))
    assert engine.in_hand
    count = len(steps)
    go_on.set()
    wait_for(lambda: not engine.in_hand, "the end of the step in hand")
    next_picture(engine)
    assert len(steps) == count  # of a thousand
    engine.show(Wish(engine.knobs))
    wait_for(lambda: len(steps) > count, "training")


def test_after_a_failure_of_training_the_picture_goes_on_and_training_can_be_restarted(
    start: Start, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from noisewalk.denoiser.trainer import Trainer

    engine = start()
    trained = next_picture(engine, lambda p: p.steps >= 1)

    def fail(self: Trainer, pair: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(Trainer, "train", fail)
        wait_for(lambda: engine.status.training_failure, "the failure")
        goes_on = [next_picture(engine) for _ in range(3)][-1]
    assert engine.status.phase == "running" and goes_on.trained and goes_on.steps >= trained.steps
    assert [text for text in errors(engine) if "out of memory" in text]
    assert "out of memory" in capfd.readouterr().err
    engine.restart_training()
    assert next_picture(engine, lambda p: p.steps > goes_on.steps).steps > goes_on.steps
    assert not engine.status.training_failure and not errors(engine)


def test_a_failing_thread_says_why_and_can_be_restarted(
    start: Start, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    engine = start()
    trained = next_picture(engine, lambda p: p.steps >= 1)

    def fail(self: PathTracer, *args: object) -> None:
        raise ValueError("no such ray")

    with monkeypatch.context() as broken:
        broken.setattr(PathTracer, "render_pair", fail)
        wait_for(lambda: engine.status.phase == "failed", "the failure")
    assert not trains()  # network and optimiser went with it
    assert list((tmp_path / "cache" / "weights").iterdir())  # what was learned before
    assert "no such ray" in engine.status.failure and any("no such ray" in e for e in errors(engine))
    engine.restart()
    wait_for(lambda: engine.status.phase == "running", "the restart")
    assert next_picture(engine).number > trained.number
    assert "no such ray" in capfd.readouterr().err
    assert engine.close() and not trains()


def test_more_samples_than_fit_into_a_frame_are_rendered_as_many_as_fit(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path_tracer, "MAX_SAMPLES", 32 * 24 * 4)
    engine = start()
    first = next_picture(engine)
    assert engine.status.scene and engine.status.scene.max_spp == 4
    engine.show(Wish(replace(engine.knobs, spp=200)))
    next_picture(engine, lambda p: p.number > first.number + 2)
    assert engine.status.phase == "running" and not errors(engine)


def test_the_reference_keeps_few_recordings_however_many_samples_are_tried(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, add = set(), Accumulation.add
    monkeypatch.setattr(Accumulation, "add", lambda self, spp: asked.add(spp) or add(self, spp))
    engine = start(reference_spp=100_000)
    next_picture(engine)
    for spp in (4, 5, 6, 7):
        engine.show(Wish(replace(engine.knobs, spp=spp)))
        before = next_picture(engine).reference_spp
        next_picture(engine, lambda p, before=before: p.reference_spp >= before + 16)  # type: ignore[misc]
    assert asked <= {2, 4}


def test_a_scene_that_never_opened_is_a_failure_with_its_cause(start: Start, tmp_path: Path) -> None:
    engine = start(scene=str(tmp_path / "nosuch.xml"))
    wait_for(lambda: engine.status.phase == "failed", "the failure")
    assert "nosuch.xml" in engine.status.failure and any("nosuch.xml" in e for e in errors(engine))


def test_orbit_picks_the_point_under_the_mouse(start: Start) -> None:
    engine = start()
    picture, found = next_picture(engine), []
    engine.pick(0.5, 0.5, picture, found.append)
    wait_for(lambda: found, "a point")
    # The middle of the picture shows the ball of radius 0.7 around (0, 0.7, 0).
    assert np.linalg.norm(found[0] - [0, 0.7, 0]) == pytest.approx(0.7, abs=0.01)
    engine.pick(0.5, 0.001, picture, found.append)  # the sky
    wait_for(lambda: len(found) == 2, "an answer")
    assert found[1] is None


def test_the_viewer_flies_plays_and_records_over_the_engine(start: Start, tmp_path: Path) -> None:
    from noisewalk.app.flying.controls import Steering
    from noisewalk.app.flying.preferences import Preferences

    engine = start()
    viewer = Viewer(engine, Preferences())
    next_picture(engine)
    viewer.tick(None)
    assert viewer.scene and viewer.camera.pose is viewer.scene.views["camera 1"][0]
    viewer.tick(Steering(0.0, 0.0, 1.0, False, 0.1))
    flown = viewer.camera.pose
    shown = next_picture(engine, lambda p: p.viewpoint.to_world is flown).viewpoint
    assert viewer.moving and shown.fov_y == viewer.camera.fov_y
    viewer.play(every_frame=True)
    frames = set()

    def three_frames() -> bool:
        viewer.tick(None)
        picture = engine.picture
        if picture and picture.path_frame is not None:
            frames.add(picture.path_frame)
        return len(frames) >= 3

    wait_for(three_frames, "three frames of the path")
    assert frames == {0, 1, 2}
    viewer.tick(Steering(1.0, 0.0, 0.0, False, 0.1))
    assert not viewer.flight.playing  # moving the camera stops the path
    (tmp_path / "broken.json").write_text("{}")
    viewer.save_path(tmp_path / "p.json")
    viewer.load_path(tmp_path / "broken.json")
    wait_for(lambda: viewer.tick(None) or any("broken.json" in e for e in viewer.errors), "an error")
    assert (tmp_path / "p.json").exists()
    assert viewer.close()
