"""Files to and from a browser, through a folder whose name only this program knows."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image

from noisewalk.app.browser.visitor import Visitor
from noisewalk.app.flying.develop import develop
from noisewalk.app.flying.file_jobs import write_layers
from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.layers import as_array

MAX_PATH_BYTES = 4 * 2**20


class Downloads:
    """Reads and writes as the window does. Uploads are data only: safetensors and JSON. Close when done."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._folder = tempfile.TemporaryDirectory(prefix="noisewalk-")

    def close(self) -> None:
        """Deletes the folder."""
        self._folder.cleanup()

    def without_folder(self, text: str) -> str:
        """A message about the visitor's file, without the name of our folder."""
        return text.replace(f"{self._folder.name}/", "")

    def weights(self, visitor: Visitor) -> None:
        """Sends the published network. Any thread may call this."""
        self._viewer.engine.save_weights(self._file(f"{self._name}.safetensors"), lambda file: _send(visitor, file))

    def path(self, visitor: Visitor) -> None:
        """Sends the present path. Any thread may call this."""
        from noisewalk.renderer.camera_path import save_path

        path = self._viewer.flight.path
        if path is not None:
            file = self._file(f"{self._name}-path-{visitor.client.client_id}.json")
            save_path(path, file)
            _send(visitor, file)

    def screenshot(self, visitor: Visitor) -> None:
        """Sends what this visitor sees, as PNG at full size, and all layers as EXR. Any thread may call this."""
        picture, scene = self._viewer.picture, self._viewer.scene
        if picture is None or scene is None:
            return
        png, name = io.BytesIO(), f"{scene.name}-{picture.number}"
        Image.fromarray(develop(picture, visitor.view)).save(png, "PNG")
        visitor.client.send_file_download(f"{name}.png", png.getvalue(), save_immediately=True)
        exr = self._file(f"{name}-{visitor.client.client_id}.exr")
        write_layers(exr, scene, {name: as_array(image) for name, image in picture.layers.items()})
        _send(visitor, exr)

    def take_weights(self, content: bytes) -> None:
        """Continues from uploaded weights."""
        self._viewer.load_weights(self._taken("uploaded.safetensors", content))

    def take_path(self, content: bytes) -> None:
        """Flies an uploaded path."""
        if len(content) > MAX_PATH_BYTES:
            self._viewer.report(f"a path of {len(content) / 2**20:.0f} MiB: the most is {MAX_PATH_BYTES >> 20}")
        else:
            self._viewer.load_path(self._taken("uploaded.json", content))

    @property
    def _name(self) -> str:
        return self._viewer.scene.name if self._viewer.scene else "noisewalk"

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _taken(self, name: str, content: bytes) -> Path:
        from noisewalk.renderer.files import written_aside

        file = self._file(name)
        with written_aside(file) as temporary:  # a reader of the old file can still read it
            temporary.write_bytes(content)
        return file


def _send(visitor: Visitor, file: Path) -> None:
    content = file.read_bytes()
    file.unlink()
    visitor.client.send_file_download(file.name, content, save_immediately=True)
