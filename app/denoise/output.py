"""The folder of denoised frames: what is done, a row for each frame, and the state to continue from."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from noisewalk.app.errors import UsageError
from noisewalk.app.files import read_json, write_json
from noisewalk.app.pictures import to_image
from noisewalk.renderer.files import written_aside

COLUMNS = ("file", "psnr_estimate", "psnr_estimate_error", "loss", "read_ms", "train_ms", "denoise_ms", "write_ms")


class OutputFolder:
    """An open folder. A lock keeps a second process out. Close when done. Raises UsageError if it cannot be used."""

    def __init__(self, folder: Path, inputs: set[Path]) -> None:
        if folder.resolve() in inputs:
            raise UsageError(f"{folder}: holds the frames themselves: name another folder with -o")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / ".lock")
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"{folder}: another process is writing there") from None
        except OSError as error:
            raise UsageError(f"{folder}: cannot write there: {error.strerror or error}") from error
        self.folder = folder
        self._rows = self._read_rows()

    @property
    def checkpoint(self) -> Path:
        """The file with training's whole state, while frames are missing."""
        return self.folder / "checkpoint.safetensors"

    @property
    def weights(self) -> Path:
        """The file with the trained network."""
        return self.folder / "weights.safetensors"

    def picture(self, file: Path) -> Path:
        """The file of the denoised frame, with the same name as `file`."""
        return self.folder / f"{file.stem}.exr"

    def add_row(self, row: Mapping[str, str]) -> None:
        """Writes the row of a frame to frames.csv at once. It replaces an earlier row of the same file."""
        self._rows[row["file"]] = dict(row)
        with written_aside(self.folder / "frames.csv") as temporary, open(temporary, "w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(self._rows[file] for file in sorted(self._rows))

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        """Writes the settings of the checkpoint."""
        write_json(self._settings, dict(settings))

    def goes_on(self, settings: Mapping[str, Any]) -> bool:
        """Whether a run with the same settings was stopped here."""
        if not (self.checkpoint.exists() and self._settings.exists()):
            return False
        return read_json(self._settings) == json.loads(json.dumps(dict(settings)))

    def write_preview(self, picture: Path, image: torch.Tensor) -> None:
        """Writes the image (H, W, 3) as PNG beside its EXR, in sRGB. What is brighter than 1 is white."""
        linear = image.clamp(0.0, 1.0)
        srgb = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.pow(1 / 2.4) - 0.055)  # IEC 61966-2-1
        with written_aside(picture.with_suffix(".png")) as temporary:
            to_image(srgb).save(temporary, format="PNG")

    def close(self) -> None:
        """Releases the lock."""
        self._lock.release()

    @property
    def _settings(self) -> Path:
        return self.folder / "denoise.json"

    def _read_rows(self) -> dict[str, dict[str, str]]:
        file = self.folder / "frames.csv"
        if not file.exists():
            return {}
        with open(file, newline="") as stream:
            return {row["file"]: row for row in csv.DictReader(stream) if row.keys() == set(COLUMNS)}
