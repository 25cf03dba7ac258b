"""The run folder: the results of a walk, complete or interrupted. With it, the same command can continue the walk."""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from noisewalk.app.errors import UsageError
from noisewalk.app.files import read_json, write_json
from noisewalk.app.options import ResolvedOptions
from noisewalk.renderer.files import naming, written_aside

COLUMNS = (
    "frame",
    "psnr_noisy",
    "psnr_shown",
    "psnr_clean_targets",
    "psnr_noisy_corrected",
    "psnr_shown_corrected",
    "psnr_clean_targets_corrected",
    "psnr_untrained",
    "psnr_untrained_corrected",
    "psnr_oidn",
    "psnr_oidn_corrected",
    "noise_floor",
    "psnr_estimate",
    "psnr_estimate_error",
    "psnr_at_least",
    "loss",
    "render_ms",
    "train_ms",
    "denoise_ms",
    "measure_ms",
    "skipped_steps",
    "memory_mb",
)
# These options say where files are. They do not change what is computed.
_NOT_IDENTITY = ("out", "cache_dir", "save_frames")
MAX_SIBLINGS = 1000


class RunFolder:
    """An open run folder. A lock keeps a second process out. `state` in run.json: running, interrupted or complete."""

    def __init__(self, folder: Path, identity: dict[str, Any], lock: FileLock) -> None:
        self.folder, self._identity, self._lock = folder, identity, lock
        (folder / "images").mkdir(exist_ok=True)
        for file in folder.rglob("*.tmp"):
            file.unlink()  # a killed process left it

    @property
    def checkpoint(self) -> Path:
        """The file with the whole state of training. From it a stopped run goes on, and a complete one is extended."""
        return self.folder / "checkpoint.safetensors"

    def twin_checkpoint(self, frames: int) -> Path:
        """The same for the twin of `--targets clean`, with the number of frames done.

        It is written before `checkpoint`, and counts only when that has the same number.
        """
        return self.folder / f"checkpoint-clean-{frames}.safetensors"

    def drop_twin_checkpoints(self, but: int) -> None:
        """Deletes the twin's checkpoints, except the one of `but` frames."""
        for file in self.folder.glob("checkpoint-clean-*.safetensors"):
            if file != self.twin_checkpoint(but):
                file.unlink()

    @property
    def _frames(self) -> Path:
        return self.folder / "frames.csv"

    def rows(self) -> list[dict[str, str]]:
        """The rows of all frames so far."""
        return read_rows(self._frames)

    @property
    def weights(self) -> Path:
        """The file with the trained network."""
        return self.folder / "weights.safetensors"

    def start(self, frames_done: int) -> None:
        """Begins frames.csv with the first `frames_done` rows of a stopped run. Raises UsageError if any is missing."""
        file = self._frames
        rows = read_rows(file)[:frames_done] if frames_done else []
        if len(rows) < frames_done:
            raise UsageError(f"{file}: damaged: it has {len(rows)} of the {frames_done} frames that were done")
        with written_aside(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def append(self, row: dict[str, str]) -> None:
        """Writes the row of a frame to disk at once. It is not kept in memory: walks can be long."""
        with naming(self._frames), open(self._frames, "a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, COLUMNS).writerow(row)

    def write_state(self, state: str, **about: Any) -> None:
        """Writes run.json."""
        write_json(self.folder / "run.json", {"state": state, "settings": self._identity, **about})

    def close(self) -> None:
        """Releases the lock."""
        _release(self._lock)


def open_run(options: ResolvedOptions, scene_name: str, content: dict[str, str]) -> RunFolder:
    """The folder to run in: a stopped run of the same settings, else a new one (runs/SCENE, runs/SCENE-2, ...).

    content: hashes of the scene and the path, which the options only name. A finished run is never overwritten, but the
    one that `--out` names can be extended by more frames.
    Raises UsageError if `--out` names a folder that cannot be used.
    """
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(options).items() if k not in _NOT_IDENTITY}
    identity = settings | content | {"scene": scene_name}
    if options.out is not None:
        return _claim(options.out, identity, extends=True)
    for number in range(1, MAX_SIBLINGS):
        try:
            folder = Path("runs") / (scene_name if number == 1 else f"{scene_name}-{number}")
            return _claim(folder, identity, extends=False)
        except _Taken:
            continue
    raise UsageError(f"runs: more than {MAX_SIBLINGS} runs of {scene_name}: delete some, or name a folder with --out")


class _Taken(UsageError):
    pass


def _claim(folder: Path, identity: dict[str, Any], extends: bool) -> RunFolder:
    try:
        _check_usable(folder, identity, extends)  # a folder that is not ours stays as it is
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise _Taken(f"{folder}: another process is running there") from None
    except OSError as error:
        raise UsageError(f"{folder}: cannot write the run there: {error.strerror or error}") from error
    try:
        _check_usable(folder, identity, extends)  # another process may have finished it just now
        return RunFolder(folder, identity, lock)
    except BaseException:
        _release(lock)
        raise


def _release(lock: FileLock) -> None:
    """Releases the lock and deletes its file. Whoever locks it next checks that the file is still there."""
    with suppress(OSError):  # on Windows a file in use cannot be deleted; there, releasing deletes it
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _check_usable(folder: Path, identity: dict[str, Any], extends: bool) -> None:
    if not (folder / "run.json").exists():
        if folder.exists() and any(not _left_by_a_start(file) for file in folder.iterdir()):
            raise _Taken(f"{folder}: not empty, and not a run: choose another folder with --out")
        return
    stored = read_json(folder / "run.json")
    wanted = json.loads(json.dumps(identity))
    if extends and _has_fewer_frames(stored.get("settings"), wanted):
        return
    if stored.get("state") == "complete":
        hint = "choose another folder with --out, delete it, or extend it: the same settings with more --frames"
        raise _Taken(f"{folder}: holds a finished run: {hint}")
    if stored.get("settings") != wanted:
        raise _Taken(f"{folder}: holds an unfinished run of other settings: choose another folder, or delete it")


def _has_fewer_frames(settings: Any, wanted: dict[str, Any]) -> bool:
    """Whether the settings are those that are wanted, except for the number of frames, and that is lower."""
    same = isinstance(settings, dict) and settings | {"frames": wanted["frames"]} == wanted
    return same and isinstance(settings.get("frames"), int) and settings["frames"] < wanted["frames"]


def _left_by_a_start(file: Path) -> bool:
    """Whether the file may be from a process that was killed before it wrote its run.json."""
    return file.name in (".lock", "images") or (file.name.startswith("run.json.") and file.suffix == ".tmp")


def read_rows(file: Path) -> list[dict[str, str]]:
    """The complete rows of a frames.csv; none where there is no file."""
    if not file.exists():
        return []
    with open(file, newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if row.keys() == set(COLUMNS) and None not in row.values()]
