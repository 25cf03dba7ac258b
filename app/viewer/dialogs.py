"""The desktop's own file dialogs. If there are none, the path field of `popups` takes their place."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from imgui_bundle import portable_file_dialogs as native

from noisewalk.app.flying.questions import Question
from noisewalk.app.flying.viewer import Viewer

_HELPERS = ("zenity", "kdialog", "matedialog", "qarma")


class NativeDialogs:
    """Shows the viewer's question as a native dialog, and never waits for it."""

    def __init__(self) -> None:
        self._available = sys.platform != "linux" or any(shutil.which(helper) for helper in _HELPERS)
        self._open: tuple[Question, native.open_file | native.save_file] | None = None

    def poll(self, viewer: Viewer) -> None:
        """To be called once a frame. Opens a dialog for a new question, or hands on the answer to the last one."""
        if self._open is None and self._available and viewer.question is not None:
            question, viewer.question = viewer.question, None
            patterns = [question.title, " ".join(question.patterns), "All files", "*"]
            if question.save:
                self._open = question, native.save_file(question.title, question.default, patterns)
            else:
                self._open = question, native.open_file(question.title, question.default, patterns)
        elif self._open is not None and self._open[1].ready(0):
            question, dialog = self._open
            self._open = None
            answer = dialog.result()
            if answer:
                question.answer(Path(answer if isinstance(answer, str) else answer[0]))
