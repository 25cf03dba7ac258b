"""The window goes on with any text in its fields, and any values in the preferences."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imgui_bundle import imgui

from noisewalk.app.flying.flight import ENDS
from noisewalk.app.flying.messages import Setup
from noisewalk.app.flying.preferences import MAX_RECENT, Preferences, load_preferences
from noisewalk.app.flying.questions import Question
from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.viewer.interface import Interface
from tests.app.viewer.test_drawing import draw, picture, running

SIZE = (1280, 1080)  # all widgets are in sight
FIELDS = ("slider_float", "slider_int", "input_float")
LABELS = {
    *("exposure", "error scale", "field of view", "speed", "frame", "seconds"),
    *("iterations", "spp", "crop", "learning rate", "in motion"),
}


def assert_sane(viewer: Viewer) -> None:
    """All numbers that a person can set are within their bounds."""
    view, camera, knobs, path = viewer.view, viewer.camera, viewer.knobs, viewer.flight.path
    assert -12 <= view.exposure <= 12 and 0.01 <= view.error_scale <= 1
    assert 5 <= camera.fov_y <= 140 and 1e-3 <= camera.speed <= 10
    assert path and 0 < path.seconds <= 3600 and 0 <= viewer.flight.frame < len(path)
    assert 0 <= knobs.iterations <= 64 and 1 <= knobs.spp <= 256 and 32 <= knobs.crop <= 1024
    assert 20 <= knobs.moving_ms <= 1000
    assert 1e-7 < knobs.learning_rate <= 0.11  # as float32


def all_widgets() -> Viewer:
    viewer = running(picture())
    viewer.view.left = "error"  # has a field of its own
    return viewer


@pytest.mark.parametrize("typed", [2000.0, -2000.0, 1e38, -1e38, math.inf, -math.inf, math.nan, 0.0])
def test_no_value_that_a_field_may_return_ends_the_window(
    gl: Any, typed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = 2**31 - 1 if typed > 0 else -(2**31)
    for name in FIELDS:
        value = whole if name == "slider_int" else typed
        monkeypatch.setattr(imgui, name, lambda *_, value=value, **__: (True, value))
    viewer = all_widgets()
    assert draw(gl, viewer).std() > 0
    viewer.play()
    viewer.tick(None)
    assert_sane(viewer)


@contextmanager
def drawn(gl: Any) -> Iterator[Any]:
    """A function that makes one turn of the main loop, without the pixels."""
    interface = Interface(1.0, layout="")
    imgui.backends.opengl3_init("#version 330")

    def turn(viewer: Viewer) -> None:
        io = imgui.get_io()
        io.display_size, io.delta_time = imgui.ImVec2(*SIZE), 1 / 60
        imgui.backends.opengl3_new_frame()
        imgui.new_frame()
        interface.draw(viewer)
        viewer.tick(None, now=0.0)
        imgui.render()

    try:
        yield turn
    finally:
        imgui.backends.opengl3_shutdown()
        interface.close()


def test_what_is_typed_by_ctrl_click_is_clamped(gl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    places: dict[str, tuple[float, float]] = {}

    def watched(field: Any) -> Any:
        def draw_and_note(label: str, *rest: Any, **more: Any) -> Any:
            result = field(label, *rest, **more)
            low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
            places[label] = low.x + 0.1 * (high.x - low.x), (low.y + high.y) / 2
            return result

        return draw_and_note

    for name in FIELDS:
        monkeypatch.setattr(imgui, name, watched(getattr(imgui, name)))
    viewer = all_widgets()
    with drawn(gl) as turn:
        for _ in range(4):
            turn(viewer)
        assert set(places) == LABELS
        io, keys = imgui.get_io(), imgui.Key
        for label, typed in [(label, text) for label in sorted(LABELS) for text in ("2000", "-1e30", "1e999")]:
            io.add_mouse_pos_event(*places[label])
            turn(viewer)
            io.add_key_event(keys.mod_ctrl, True)
            io.add_mouse_button_event(0, True)
            turn(viewer)
            io.add_mouse_button_event(0, False)
            io.add_key_event(keys.mod_ctrl, False)
            turn(viewer)
            assert io.want_text_input, label
            io.add_input_characters_utf8(typed)
            turn(viewer)
            for down in (True, False):
                io.add_key_event(keys.enter, down)
                turn(viewer)
            assert_sane(viewer)
            if (label, typed) == ("exposure", "2000"):
                assert viewer.view.exposure == 12.0  # so it was typed


@pytest.mark.parametrize(
    ("film_aspect", "typed", "expected"), [(True, "96", (96, 64)), (False, "96", (96, 32)), (True, "-7", (16, 16))]
)
def test_a_typed_width_opens_the_scene_anew(
    gl: Any, film_aspect: bool, typed: str, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    place: list[tuple[float, float]] = []
    field = imgui.input_int2

    def watched(*given: Any) -> Any:
        result = field(*given)
        low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
        place[:] = [(low.x + 0.1 * (high.x - low.x), (low.y + high.y) / 2)]
        return result

    monkeypatch.setattr(imgui, "input_int2", watched)
    viewer = all_widgets()
    viewer.film_aspect = film_aspect
    asked: list[Setup] = []
    monkeypatch.setattr(viewer.engine, "reopen", asked.append)
    with drawn(gl) as turn:
        for _ in range(4):
            turn(viewer)
        io = imgui.get_io()
        io.add_mouse_pos_event(*place[0])
        for down in (True, False, True, False):  # a double click selects the number
            io.add_mouse_button_event(0, down)
            turn(viewer)
        io.add_input_characters_utf8(typed)
        for down in (True, False):
            io.add_key_event(imgui.Key.enter, down)
            turn(viewer)
            turn(viewer)
    assert [(setup.width, setup.height) for setup in asked] == [expected]


@pytest.mark.parametrize("name", ["x" * 300, "\0", "~nobody/\udcff", "a/" * 3000, "..", ""])
@pytest.mark.parametrize("save", [True, False])
def test_a_file_may_be_called_whatever_is_typed(gl: Any, name: str, save: bool) -> None:
    answers: list[Path] = []
    viewer = all_widgets()
    viewer.question = Question("Save path", save, ("*.json",), "", answers.append)
    viewer.typed = name.encode("utf-8", "replace").decode()
    with drawn(gl) as turn:
        for _ in range(3):
            turn(viewer)
        viewer.drop([name + "p.json"])
        viewer.drop([name + "w.safetensors"])
        assert len(viewer.errors) == 2 and not answers
        viewer.question = None
        for _ in range(3):
            turn(viewer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=6,
)
NAMES = list(vars(Preferences()))


@settings(max_examples=100, deadline=None)
@given(stored=st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)) | JSON)
def test_any_json_is_taken_for_preferences_that_can_be_used(stored: object) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "viewer.json"
        file.write_text(json.dumps(stored))
        loaded = load_preferences(file)
    assert -12 <= loaded.exposure <= 12 and 1e-3 <= loaded.error_scale <= 1 and 1e-3 <= loaded.speed <= 1e3
    assert loaded.at_end in ENDS and all(200 <= side <= 16384 for side in loaded.window)
    assert len(loaded.recent) <= MAX_RECENT
    for text in (loaded.layout, *loaded.recent):
        text.encode()


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_taken_for_preferences(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "viewer.json"
        file.write_bytes(content)
        load_preferences(file)
