"""The controls of the session: size, model, guide, path depth. Each opens the scene anew."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import imgui

from noisewalk.app.flying.messages import SceneFacts
from noisewalk.app.flying.pace import TARGET_RANGE
from noisewalk.app.flying.setup import DEPTHS, MODELS, can_be_guided, resized, sizes
from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.viewer.sliders import LOGARITHMIC, whole_slider
from noisewalk.app.viewer.tips import tip

OWN_DEPTH = "the scene's own"


def draw_session(viewer: Viewer) -> None:
    """Draws the section. While a scene is being opened, nothing can be changed."""
    scene = viewer.scene
    if scene is None:
        return
    imgui.begin_disabled(viewer.engine.status.phase == "opening")
    _size(viewer, scene)
    _model(viewer, scene)
    _depth(viewer, scene)
    imgui.end_disabled()
    moving = whole_slider("in motion", viewer.knobs.moving_ms, TARGET_RANGE, LOGARITHMIC, "%d ms")
    viewer.knobs = replace(viewer.knobs, moving_ms=moving)


def _size(viewer: Viewer, scene: SceneFacts) -> None:
    setup = scene.setup
    if imgui.begin_combo("size", f"{setup.width} x {setup.height}"):
        for width, height in sizes(scene, viewer.film_aspect):
            chosen = (width, height) == (setup.width, setup.height)
            name = f"{width} x {height}" + "  (film)" * ((width, height) == scene.film)
            if imgui.selectable(name, chosen)[0]:
                viewer.reopen(replace(setup, width=width, height=height))
        imgui.end_combo()
    tip("size")
    sides = [setup.width, setup.height]
    changed, (width, height) = imgui.input_int2("pixels", sides, imgui.InputTextFlags_.enter_returns_true)
    tip("pixels")
    if changed:
        viewer.reopen(resized(scene, width, height, viewer.film_aspect))
    _, viewer.film_aspect = imgui.checkbox("film's aspect", viewer.film_aspect)
    tip("film's aspect")


def _model(viewer: Viewer, scene: SceneFacts) -> None:
    setup = scene.setup
    changed, index = imgui.combo("model", MODELS.index(setup.model) if setup.model in MODELS else -1, list(MODELS))
    tip("model")
    if changed:
        viewer.reopen(replace(setup, model=MODELS[index], guide=can_be_guided(scene, MODELS[index])))
    imgui.begin_disabled(not can_be_guided(scene, setup.model))
    changed, guide = imgui.checkbox("guide", setup.guide)
    imgui.end_disabled()
    tip("guide")
    if changed:
        viewer.reopen(replace(setup, guide=guide))


def _depth(viewer: Viewer, scene: SceneFacts) -> None:
    depth = scene.setup.max_depth
    if imgui.begin_combo("path depth", OWN_DEPTH if depth is None else str(depth)):
        for offered in DEPTHS:
            if imgui.selectable(OWN_DEPTH if offered is None else str(offered), offered == depth)[0]:
                viewer.reopen(replace(scene.setup, max_depth=offered))
        imgui.end_combo()
    tip("path depth")
