"""What a visitor sees beside the picture: who flies, the state, the graph, and the controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import viser
from viser import uplot

from noisewalk.app.browser.downloads import Downloads
from noisewalk.app.browser.visitor import Visitor
from noisewalk.app.flying.controls import FOV_RANGE
from noisewalk.app.flying.flight import ENDS
from noisewalk.app.flying.series import STAGES, Curves
from noisewalk.app.flying.view import MODES, TONES
from noisewalk.app.flying.viewer import MAX_CROP, MAX_ITERATIONS, MAX_SPP, Viewer

T = TypeVar("T")
Act = Callable[[], None]
DRAGS = ("orbit", "look around")
CURVES = {"noisy": "#b8621b", "denoised": "#1b6ca8", "estimate": "#5b8c3a"}
MOST_POINTS = 400  # of a graph


class Panel:
    """The panel of one visitor. Changes go through `do`, which makes them if the visitor may fly.

    `refresh`, on the main thread, shows their result, and what others did.
    """

    def __init__(
        self,
        visitor: Visitor,
        viewer: Viewer,
        downloads: Downloads,
        do: Callable[[Act], None],
        ask: Act,
        hand_over: Act,
    ) -> None:
        self._visitor, self._viewer, self._do = visitor, viewer, do
        self._gui = gui = visitor.client.gui
        self._shown: dict[str, Any] = {}
        self._inputs: dict[str, tuple[Any, Callable[[], Any]]] = {}
        self._state = gui.add_markdown("")
        self._ask = gui.add_button("ask for the wheel")
        self._hand_over = gui.add_button("hand over the wheel", visible=False)
        self._click(self._ask, ask)
        self._click(self._hand_over, hand_over)
        self._graph = gui.add_uplot(
            _points(None), _series(), scales=_scales(None), aspect=1.8, title="PSNR (dB) over frames"
        )
        with gui.add_folder("Picture"):
            self._picture(downloads)
        self._flying = [gui.add_folder(label) for label in ("Camera", "Path", "Training")]
        for folder, build in zip(self._flying, (self._camera, self._path, self._training), strict=True):
            with folder:
                build(downloads)
        with gui.add_folder("Keep"):
            self._keep(downloads)

    def refresh(self, flies: bool, pilot: int | None, asking: int | None) -> None:
        """Shows the present state. To be called now and then, on the main thread."""
        self._set("ask", self._ask, "visible", not flies)
        self._set("hand over", self._hand_over, "visible", flies and asking is not None)
        self._set("hand over to", self._hand_over, "label", f"hand the wheel over to visitor {asking}")
        for index, folder in enumerate(self._flying):
            self._set(f"folder {index}", folder, "visible", flies)
        who = "You fly" if flies else f"Visitor {pilot} flies, you watch"
        text = f"**{who}** (you are visitor {self._visitor.client.client_id})\n\n{_state(self._viewer, self._visitor)}"
        self._set("state", self._state, "content", text)
        path = self._viewer.flight.path
        if path is not None:
            self._set("last frame", self._frame, "max", max(1, len(path) - 1))
        self._set("play", self._play, "label", "pause" if self._viewer.flight.playing else "play")
        self._set("restart", self._restart, "visible", bool(self._viewer.engine.status.training_failure))
        recording = self._viewer.flight.recording
        label = f"stop recording ({self._viewer.flight.recorded_keyframes})" if recording else "record"
        self._set("record", self._record, "label", label)
        for name, (handle, current) in self._inputs.items():
            self._set(name, handle, "value", current())

    def draw(self, curves: Curves) -> None:
        """Draws the graph of what was measured so far."""
        points = _points(curves)
        self._set("scales", self._graph, "scales", _scales(points))
        self._graph.data = points

    def _set(self, name: str, handle: Any, attribute: str, value: Any) -> None:
        """Sets a control if the value is new. What a visitor is changing now must not be set back."""
        if self._shown.get(name) != value:
            self._shown[name] = value
            setattr(handle, attribute, value)

    def _picture(self, downloads: Downloads) -> None:
        view = self._visitor.view
        self._view(self._gui.add_dropdown("shown", tuple(MODES.values())), lambda v: _set(view, "left", _key(MODES, v)))
        self._view(self._gui.add_checkbox("split", view.split_on), lambda v: _set(view, "split_on", v))
        right = self._gui.add_dropdown("split with", tuple(MODES.values()), initial_value=MODES[view.right])
        self._view(right, lambda v: _set(view, "right", _key(MODES, v)))
        self._view(self._gui.add_slider("split at", 0.0, 1.0, 0.01, view.split), lambda v: _set(view, "split", v))
        exposure = self._gui.add_slider("exposure", -8.0, 8.0, 0.1, view.exposure, hint="stops")
        self._view(exposure, lambda v: _set(view, "exposure", v))
        self._view(
            self._gui.add_dropdown("tone map", tuple(TONES.values())), lambda v: _set(view, "tone", _key(TONES, v))
        )
        scale = self._gui.add_slider("error scale", 0.01, 1.0, 0.01, view.error_scale)
        self._view(scale, lambda v: _set(view, "error_scale", v))

    def _camera(self, downloads: Downloads) -> None:
        viewer = self._viewer
        assert viewer.scene
        views = tuple(viewer.scene.views)
        self._input("sensor", self._gui.add_dropdown("sensor", views), viewer.go_to_view)
        fov = self._gui.add_slider("field of view", *FOV_RANGE, 0.5, viewer.camera.fov_y, hint="degrees")
        self._input("fov", fov, viewer.set_fov, lambda: viewer.camera.fov_y)
        speed = self._gui.add_slider("speed", 0.01, 4.0, 0.01, viewer.camera.speed, hint="viewing distances a second")
        self._input("speed", speed, lambda v: _set(viewer.camera, "speed", v), lambda: viewer.camera.speed)
        drag = self._gui.add_dropdown("mouse", DRAGS, hint="keys: W A S D, Q E; right button: pan; wheel: to and fro")
        self._input("mouse", drag, lambda v: _set(self._visitor, "looks_around", v == DRAGS[1]))
        self._click(self._gui.add_button("reset camera"), lambda: self._do(viewer.reset_camera))

    def _path(self, downloads: Downloads) -> None:
        viewer, flight = self._viewer, self._viewer.flight
        self._play = self._gui.add_button("play")
        self._click(self._play, lambda: self._do(viewer.play))
        self._click(
            self._gui.add_button("train along the path"), lambda: self._do(lambda: viewer.play(every_frame=True))
        )
        at_end = self._gui.add_dropdown("at its end", tuple(ENDS.values()), initial_value=ENDS[flight.at_end])
        self._input("at its end", at_end, lambda v: _set(flight, "at_end", _key(ENDS, v)), lambda: ENDS[flight.at_end])
        self._frame = self._gui.add_slider("frame", 0, 1, 1, 0)
        self._input("frame", self._frame, viewer.scrub, lambda: flight.frame)
        self._record = self._gui.add_button("record")
        self._click(self._record, lambda: self._do(viewer.record))
        upload = self._gui.add_upload_button("upload a path", mime_type="application/json")
        self._upload(upload, lambda content: downloads.take_path(content))

    def _training(self, downloads: Downloads) -> None:
        viewer = self._viewer
        self._input(
            "train", self._gui.add_checkbox("training", viewer.knobs.train), viewer.train, lambda: viewer.knobs.train
        )
        self._click(self._gui.add_button("start afresh"), lambda: self._do(viewer.restart_network))
        self._restart = self._gui.add_button("restart training", visible=False)
        self._click(self._restart, lambda: self._do(viewer.engine.restart_training))
        most = min(MAX_SPP, viewer.scene.max_spp) if viewer.scene else MAX_SPP
        for name, low, high in (("iterations", 0, MAX_ITERATIONS), ("spp", 1, max(2, most)), ("crop", 32, MAX_CROP)):
            slider = self._gui.add_slider(name, low, high, 1, getattr(viewer.knobs, name))
            self._input(name, slider, self._knob(name), partial(self._knob_now, name))
        rate = self._gui.add_slider("learning rate", -6.0, -1.0, 0.1, np.log10(viewer.knobs.learning_rate), hint="10^x")
        self._input("learning rate", rate, lambda v: self._knob("learning_rate")(10.0**v))
        upload = self._gui.add_upload_button("upload weights", mime_type=".safetensors")
        self._upload(upload, lambda content: downloads.take_weights(content))

    def _keep(self, downloads: Downloads) -> None:
        visitor = self._visitor
        self._click(self._gui.add_button("download weights"), lambda: downloads.weights(visitor))
        self._click(self._gui.add_button("download path"), lambda: downloads.path(visitor))
        self._click(self._gui.add_button("screenshot"), lambda: downloads.screenshot(visitor))

    def _knob(self, name: str) -> Callable[[Any], None]:
        return lambda value: _set(self._viewer, "knobs", replace(self._viewer.knobs, **{name: value}))

    def _knob_now(self, name: str) -> Any:
        return getattr(self._viewer.knobs, name)

    def _view(self, handle: viser.GuiInputHandle[T], act: Callable[[T], None]) -> None:
        """Controls for what each visitor decides alone."""

        @handle.on_update
        async def _(event: viser.GuiEvent[Any]) -> None:
            if _makes_sense(handle):
                act(handle.value)
                self._visitor.wake()

    def _input(
        self, name: str, handle: Any, act: Callable[[Any], None], current: Callable[[], Any] | None = None
    ) -> None:
        if current is not None:
            self._inputs[name] = handle, current
            self._shown[name] = current()

        @handle.on_update
        async def _(event: viser.GuiEvent[Any]) -> None:
            if event.client is None or not _makes_sense(handle):
                return  # `refresh` has set it, or it does not come from our page
            value = handle.value
            self._shown[name] = value
            self._do(lambda: act(value))

    def _upload(self, handle: viser.GuiUploadButtonHandle, take: Callable[[bytes], None]) -> None:
        @handle.on_upload
        async def _(event: viser.GuiEvent[Any]) -> None:
            content = handle.value.content
            self._do(lambda: take(content))

    def _click(self, handle: viser.GuiButtonHandle, act: Callable[[], None]) -> None:
        @handle.on_click
        def _(event: viser.GuiEvent[Any]) -> None:
            act()


def _state(viewer: Viewer, visitor: Visitor) -> str:
    """The numbers, as lines of Markdown."""
    scene, picture, engine = viewer.scene, viewer.picture, viewer.engine
    if scene is None or picture is None:
        return engine.status.failure or engine.status.note
    decibels = [f"{name} {value:.2f} dB" for name, value in picture.decibels.items()] or [viewer.unmeasured(picture)]
    estimate = [f"estimate {picture.estimate}"] if picture.estimate else []
    curves = engine.series.curves().milliseconds
    last = np.diff(curves[:, -1:], axis=0, prepend=0.0)[:, 0] if curves.shape[1] else np.zeros(0)
    stages = [f"{name} {ms:.0f}" for name, ms in zip(STAGES, last, strict=False)]
    link = visitor.link
    lines = (
        f"{scene.name}, {scene.width}x{scene.height}, 2 x {viewer.knobs.spp} spp, {scene.variant}, {scene.device}",
        ", ".join([f"{picture.spp} spp shown", *decibels, *estimate]),
        f"{engine.frame_ms:.0f} ms a frame ({', '.join(stages)})",
        engine.status.training_failure or f"{picture.steps} training steps",
        f"picture to the browser: {1e3 * link.seconds:.0f} ms ({link.scale:.0%} size, JPEG {link.quality})",
    )
    return "\n\n".join(lines)


def _points(curves: Curves | None) -> tuple[np.ndarray, ...]:
    """x and the curves, (N,) each with N in [2, MOST_POINTS]. At first there is nothing on them."""
    if curves is None or len(curves.frame) < 2:
        return tuple(np.arange(2.0) if i == 0 else np.full(2, np.nan) for i in range(1 + len(CURVES)))
    step = -(-len(curves.frame) // MOST_POINTS)
    first = (len(curves.frame) - 1) % step  # so that the last one is among them
    return tuple(line[first::step] for line in (curves.frame, *(getattr(curves, name) for name in CURVES)))


def _scales(points: tuple[np.ndarray, ...] | None) -> dict[str, uplot.Scale]:
    """The range of the axes. uPlot cannot find it if there are gaps."""
    known = np.concatenate(points[1:]) if points else np.zeros(0)
    known = known[np.isfinite(known)]
    low, high = (np.floor(known.min()), np.ceil(known.max())) if len(known) else (0.0, 1.0)
    return {"x": {"time": False}, "y": {"range": (float(low), float(max(high, low + 1)))}}


def _series() -> tuple[uplot.Series, ...]:
    lines = [uplot.Series(label=name, stroke=color, width=2, spanGaps=True) for name, color in CURVES.items()]
    return (uplot.Series(label="frame"), *lines)


def _makes_sense(handle: Any) -> bool:
    """Whether the page offers this value. viser hands on anything that it is sent."""
    if hasattr(handle, "options"):
        return handle.value in handle.options
    return not hasattr(handle, "min") or bool(handle.min <= handle.value <= handle.max)


def _key(choices: dict[str, str], name: str) -> str:
    return next(key for key, value in choices.items() if value == name)


def _set(thing: object, name: str, value: object) -> None:
    setattr(thing, name, value)
