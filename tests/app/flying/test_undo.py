"""Undo and redo, and questions before something unsaved is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from noisewalk.app.flying.messages import Status
from noisewalk.app.flying.undo import MOST, PAUSE, Undo
from noisewalk.app.flying.viewer import Viewer
from tests.app.viewer.test_drawing import facts, picture, running
from tests.desktop import wait_for


def test_steps_go_back_and_forth_and_a_new_change_ends_the_future() -> None:
    undo: Undo[str] = Undo()
    assert undo.back() is None and undo.forth() is None
    for second, state in enumerate("aabbc"):
        undo.see(state, float(second))
    assert [undo.back(), undo.back(), undo.back()] == ["b", "a", None]
    assert [undo.forth(), undo.forth(), undo.forth()] == ["b", "c", None]
    assert undo.back() == "b"
    undo.see("d", 9.0)
    assert undo.forth() is None and undo.back() == "b"


def test_a_dragged_slider_is_one_step_and_steps_are_bounded() -> None:
    undo: Undo[int] = Undo()
    undo.begin(0)
    for tick in range(1, 50):
        undo.see(tick, 10 + tick * 0.9 * PAUSE)
    assert undo.back() == 0 and undo.back() is None
    undo.begin(0)
    for tick in range(1, 2 * MOST):
        undo.see(tick, tick * 2 * PAUSE)
    steps = 0
    while undo.back() is not None:
        steps += 1
    assert steps == MOST


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    """In the middle of a walk."""
    made = running(picture())
    made.tick(None, now=0.0)
    yield made
    made.close()


def test_path_and_knobs_are_undone_in_their_order(viewer: Viewer) -> None:
    path, knobs = viewer.flight.path, viewer.knobs
    viewer.flight.add(viewer.camera.viewpoint)
    longer = viewer.flight.path
    viewer.tick(None, now=10.0)
    viewer.knobs = replace(knobs, iterations=2)
    viewer.tick(None, now=20.0)
    viewer.undo()
    assert viewer.knobs == knobs and viewer.flight.path is longer
    viewer.undo()
    assert viewer.flight.path is path
    viewer.tick(None, now=30.0)
    viewer.redo()
    viewer.redo()
    assert viewer.flight.path is longer and viewer.knobs.iterations == 2
    viewer.redo()
    assert viewer.toasts[-1][0] == "nothing to redo"


def test_another_scene_has_steps_of_its_own(viewer: Viewer) -> None:
    viewer.flight.add(viewer.camera.viewpoint)
    viewer.tick(None, now=10.0)
    other = replace(facts(), name="other", file="other")
    viewer.engine.state = Status("running", "", other)  # type: ignore[attr-defined]
    viewer.tick(None, now=20.0)
    viewer.undo()
    assert viewer.toasts[-1][0] == "nothing to undo" and viewer.flight.path is other.path


def test_what_is_unsaved_is_asked_about_and_saved_before_it_is_left(viewer: Viewer, tmp_path: Path) -> None:
    viewer.carefully(viewer.quit)
    assert viewer.quitting and viewer.doubt is None  # nothing was edited
    viewer.quitting = False
    viewer.flight.add(viewer.camera.viewpoint)
    viewer.carefully(viewer.quit)
    assert not viewer.quitting and viewer.doubt is not None
    viewer.ask.save_path(viewer.doubt.action)
    assert viewer.question is not None
    viewer.question.answer(tmp_path / "kept.json")
    wait_for(lambda: viewer.tick(None) or viewer.quitting, "the end")
    assert (tmp_path / "kept.json").exists() and not viewer.flight.edited
