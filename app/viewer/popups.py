"""Windows that ask or tell something, and wait for an answer: errors, what is not saved, a path field."""

from __future__ import annotations

import itertools
import os
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

from imgui_bundle import imgui

from noisewalk.app.flying.viewer import Viewer
from noisewalk.renderer.bundled import bundled_scenes

DIALOG_WIDTH = 460.0
MOST_COMPLETIONS, MOST_SCANNED = 6, 2000


def draw_popups(viewer: Viewer) -> None:
    """Draws those that are open."""
    _errors(viewer)
    _doubt(viewer)
    _question(viewer)


def _errors(viewer: Viewer) -> None:
    if viewer.errors and not imgui.is_popup_open("Error"):
        imgui.open_popup("Error")
    centre_window()
    shown, _ = imgui.begin_popup_modal("Error", flags=imgui.WindowFlags_.always_auto_resize)
    if not shown:
        return
    imgui.push_text_wrap_pos(DIALOG_WIDTH * imgui.get_style().font_scale_dpi)
    if viewer.errors:
        imgui.text_unformatted(viewer.errors[0])
    imgui.pop_text_wrap_pos()
    imgui.spacing()
    pressed = imgui.is_key_pressed(imgui.Key.enter) or imgui.is_key_pressed(imgui.Key.escape)
    if imgui.button("close", imgui.ImVec2(8 * imgui.get_font_size(), 0)) or pressed or not viewer.errors:
        viewer.errors = viewer.errors[1:]
        imgui.close_current_popup()
    imgui.end_popup()


def _doubt(viewer: Viewer) -> None:
    """Asks before something unsaved is lost."""
    doubt, title = viewer.doubt, "Not saved"
    if doubt is None:
        return
    if not imgui.is_popup_open(title):
        imgui.open_popup(title)
    centre_window()
    shown, _ = imgui.begin_popup_modal(title, flags=imgui.WindowFlags_.always_auto_resize)
    if not shown:
        return
    imgui.text_unformatted(doubt.text)
    imgui.spacing()
    width = imgui.ImVec2(8 * imgui.get_font_size(), 0)
    for label, action in (
        ("save...", lambda: viewer.ask.save_path(doubt.action)),
        ("lose them", doubt.action),
        ("cancel", lambda: None),
    ):
        if imgui.button(label, width) or (label == "cancel" and imgui.is_key_pressed(imgui.Key.escape)):
            viewer.doubt = None
            imgui.close_current_popup()
            action()
        imgui.same_line()
    imgui.end_popup()


def _question(viewer: Viewer) -> None:
    """A path field. It takes the place of the desktop's own file dialog where there is none."""
    question = viewer.question
    if question is None:
        return
    if not imgui.is_popup_open(question.title):
        imgui.open_popup(question.title)
        viewer.typed = question.default
    centre_window()
    shown, _ = imgui.begin_popup_modal(question.title, flags=imgui.WindowFlags_.always_auto_resize)
    if not shown:
        return
    imgui.text_disabled(f"{', '.join(question.patterns)} in {Path.cwd()}, or any path")
    imgui.set_next_item_width(DIALOG_WIDTH * imgui.get_style().font_scale_dpi)
    if imgui.is_window_appearing():
        imgui.set_keyboard_focus_here()
    flags = imgui.InputTextFlags_.enter_returns_true | imgui.InputTextFlags_.auto_select_all
    entered, viewer.typed = imgui.input_text("##file", viewer.typed, flags)
    file = Path(os.path.expanduser(viewer.typed.strip()))
    problem = _problem(file, question.save) if viewer.typed.strip() else "no name yet"
    imgui.text_disabled(problem or ("a new file" if question.save else "is there"))
    for name in [] if question.save else _completions(viewer.typed, question.patterns):
        if imgui.selectable(name, False, imgui.SelectableFlags_.no_auto_close_popups)[0]:
            viewer.typed = name
    width = imgui.ImVec2(8 * imgui.get_font_size(), 0)
    imgui.begin_disabled(bool(problem))
    accepted = imgui.button("save" if question.save else "open", width)
    imgui.end_disabled()
    imgui.same_line()
    cancelled = imgui.button("cancel", width) or imgui.is_key_pressed(imgui.Key.escape)
    if (accepted or entered) and not problem:
        viewer.question = None
        imgui.close_current_popup()
        question.answer(file)
    elif cancelled:
        viewer.question = None
        imgui.close_current_popup()
    imgui.end_popup()


def _completions(typed: str, patterns: tuple[str, ...]) -> list[str]:
    """Folders and fitting files that begin with what was typed, a few of them."""
    folder, _, start = os.path.expanduser(typed).rpartition("/")
    folder = f"{folder}/" if folder or typed.startswith("/") else "."
    try:
        seen = _entries(folder, os.stat(folder).st_mtime_ns)
    except (OSError, ValueError):
        return []
    prefix = typed[: len(typed) - len(start)]
    fitting = [
        f"{prefix}{name}{'/' if is_folder else ''}"
        for name, is_folder in seen
        if name.startswith(start) and (is_folder or any(fnmatch(name, pattern) for pattern in patterns))
    ]
    return [name for name in fitting if name != typed][:MOST_COMPLETIONS]


@lru_cache(maxsize=1)  # every drawn frame asks
def _entries(folder: str, changed_at: int) -> list[tuple[str, bool]]:
    """Names in a folder, and whether they are folders. changed_at: of the folder; another time is another list."""
    with os.scandir(folder) as entries:
        return sorted((entry.name, entry.is_dir()) for entry in itertools.islice(entries, MOST_SCANNED))


def _problem(file: Path, save: bool) -> str:
    if save:
        if os.path.exists(file):  # unlike Path.exists, it accepts any name
            return "exists already, and is not overwritten"
        return "" if os.path.isdir(file.absolute().parent) else f"no such folder: {file.absolute().parent}"
    return "" if os.path.exists(file) or str(file) in bundled_scenes() else "no such file"


def centre_window() -> None:
    """Puts the next ImGui window into the middle of the program's."""
    imgui.set_next_window_pos(imgui.get_main_viewport().get_center(), pivot=imgui.ImVec2(0.5, 0.5))
