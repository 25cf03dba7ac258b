"""What a person is asked: for files, and before something is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noisewalk.app.flying.viewer import Viewer

SCENE_FILES, PATH_FILES, WEIGHT_FILES = ("*.xml",), ("*.json",), ("*.safetensors",)


@dataclass(frozen=True)
class Doubt:
    """What would be lost by an action, which is done when the person wants it."""

    text: str
    action: Callable[[], None]


@dataclass(frozen=True)
class Question:
    """A question for a file: an existing one, or one to `save`. patterns: such as `*.json`."""

    title: str
    save: bool
    patterns: tuple[str, ...]
    default: str
    answer: Callable[[Path], None]


class Asking:
    """Puts questions for files to the viewer, which acts on the answers."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    def scene(self) -> None:
        """Asks which scene to open."""
        viewer = self._viewer
        where = viewer.scene.file if viewer.scene else ""
        viewer.question = Question("Open scene", False, SCENE_FILES, where, lambda f: viewer.open_scene(str(f)))

    def load_path(self) -> None:
        """Asks which path to fly."""
        self._viewer.question = Question("Load path", False, PATH_FILES, "path.json", self._viewer.load_path)

    def save_path(self, then: Callable[[], None] = lambda: None) -> None:
        """Asks where to save the path. then: what to do when it is saved."""
        viewer = self._viewer
        if viewer.flight.path is not None:
            default = f"{self._name()}-path.json"
            viewer.question = Question(
                "Save path", True, PATH_FILES, default, lambda file: viewer.save_path(file, then)
            )

    def load_weights(self) -> None:
        """Asks which weights to continue from."""
        viewer = self._viewer
        viewer.question = Question("Load weights", False, WEIGHT_FILES, self._weights(), viewer.load_weights)

    def save_weights(self) -> None:
        """Asks where to export the weights."""
        viewer = self._viewer
        viewer.question = Question("Export weights", True, WEIGHT_FILES, self._weights(), viewer.engine.save_weights)

    def _name(self) -> str:
        return self._viewer.scene.name if self._viewer.scene else "noisewalk"

    def _weights(self) -> str:
        return f"{self._name()}.safetensors"
