"""`noisewalk video RUN|SCENE -o FILE`: flies a path once, from its first frame to its last, and keeps the pictures."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import EXIT_INTERRUPTED, Interrupted, UsageError
from noisewalk.app.files import read_json, require_folder, write_json
from noisewalk.app.options import WalkOptions
from noisewalk.app.session import Session, open_session
from noisewalk.app.video.film import picture, write_film, write_layers
from noisewalk.denoiser.guide import require_guide
from noisewalk.renderer.bundled import bundled_scenes
from noisewalk.renderer.files import written_aside
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.reference import CacheError, Reference

CHECKPOINT_SECONDS = 20.0
DIGITS = 5
# Options that a run decides, unless the command names them.
OF_A_RUN = ("model", "guide", "cold", "width", "height", "spp", "max_depth", "seed", "path")


def video(options: WalkOptions, output: Path, split: str | None, fps: float | None, talk: Talk) -> int:
    """Begins or continues one film (.mp4) or series of pictures (.png, .exr). Returns the exit code."""
    require_folder(output)
    if output.suffix == ".mp4" and output.exists():
        raise UsageError(f"{output}: exists already, and is not overwritten")
    if split == "oidn":
        require_guide()
    if split is not None and output.suffix == ".exr":
        raise UsageError("--split is for .mp4 and .png: an EXR has the noisy picture as layers of its own")
    options, scene_hash = of_run(options)
    session = open_session(options, talk)
    try:
        if scene_hash not in (None, session.scene.content_hash):
            raise UsageError(f"{options.scene}: not the scene of this run any more")
        if fps is not None:
            session.path = replace(session.path, fps=fps)
        identity = _identity(session, output, split)
        with Shoot(session, output, split, identity) as shoot, StopSignal("stopping after this frame") as stop:
            try:
                shoot.frames(talk, stop)
            except Interrupted:
                talk.note("interrupted: the same command goes on from here")
                return EXIT_INTERRUPTED
            made = shoot.finish()
    finally:
        session.close()
    talk.note(f"{made}: {len(session.path)} frames, {session.path.fps:g} a second")
    talk.result({"file": str(made), "frames": len(session.path), "fps": session.path.fps})
    return 0


def of_run(options: WalkOptions) -> tuple[WalkOptions, str | None]:
    """The options with a run's scene and settings, its trained network and no more training.

    Also the run's hash of the scene. Raises UsageError if the scene is not found.
    """
    run = Path(options.scene)
    if not (run / "run.json").exists():
        return options, None
    settings = read_json(run / "run.json").get("settings", {})
    weights = run / "weights.safetensors"
    if settings.get("scene") not in bundled_scenes():
        raise UsageError(
            f"{run}: its scene '{settings.get('scene')}' is not a bundled one: "
            f"name its file instead, with --weights {weights} --iterations 0"
        )
    defaults = {field.name: field.default for field in fields(WalkOptions)}
    taken = {name: settings.get(name) for name in OF_A_RUN if getattr(options, name) == defaults[name]}
    if taken.get("path"):
        taken["path"] = Path(taken["path"])
    return replace(options, scene=settings["scene"], weights=weights, iterations=0, **taken), settings["scene_hash"]


class Shoot:
    """The files of one flight: finished frames, and a folder beside the output, with which the flight can continue.

    A lock keeps a second process out. Raises UsageError if the output exists, or belongs to another flight.
    """

    def __init__(self, session: Session, output: Path, split: str | None, identity: dict[str, Any]) -> None:
        self._session, self._output, self._split, self._identity = session, output, split, identity
        self._folder = output.with_name(output.name + ".part")
        self._film = output.suffix == ".mp4"
        self._lock = FileLock(output.with_name(output.name + ".lock"))

    def __enter__(self) -> Shoot:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"{self._output}: another process is writing it") from None
        try:
            self._claim()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)

    def frames(self, talk: Talk, stop: StopSignal) -> None:
        """Renders, trains on, denoises and writes the missing frames. Raises Interrupted; nothing is lost then."""
        session, total = self._session, len(self._session.path)
        first = self._done()
        if first:
            talk.note(f"going on at frame {first}")
        saved_at = time.monotonic()
        with talk.progress() as progress:
            task = progress.add_task("frames", total=total, completed=first, note="")
            for index in range(first, total):
                camera = session.camera(index)
                try:
                    result = session.advance(camera, index, _cached(session, camera), session.options.iterations > 0)
                except Interrupted:
                    self._save(index)
                    raise
                if self._output.suffix == ".exr":
                    write_layers(self._file(index), result)
                else:
                    with written_aside(self._file(index)) as temporary:
                        picture(result, self._split).save(temporary, format="PNG")
                progress.update(task, completed=index + 1, note=f"{sum(result.milliseconds.values()):.0f} ms/frame")
                if stop.requested or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    self._save(index + 1)
                    saved_at = time.monotonic()
                if index + 1 < total:
                    stop.check()

    def finish(self) -> Path:
        """Makes the film, and deletes all files that were not asked for."""
        if self._film:
            files = [self._file(index) for index in range(len(self._session.path))]
            write_film(self._output, files, self._session.path.fps)
        shutil.rmtree(self._folder)
        return self._output if self._film else self._file(0)

    def _claim(self) -> None:
        state = self._folder / "state.json"
        if state.exists():
            if read_json(state) != json.loads(json.dumps(self._identity)):
                raise UsageError(f"{self._folder}: an unfinished flight of other settings: delete it, or go on with it")
            return
        if self._file(0).exists():
            raise UsageError(f"{self._file(0)}: exists already, and is not overwritten")
        self._folder.mkdir(exist_ok=True)
        write_json(state, self._identity)

    def _file(self, index: int) -> Path:
        """The file of a frame. For a film it is in the folder that `finish` deletes."""
        name = f"{self._output.stem}-{index:0{DIGITS}d}{'.png' if self._film else self._output.suffix}"
        return self._folder / name if self._film else self._output.with_name(name)

    def _done(self) -> int:
        checkpoint = self._folder / "checkpoint.safetensors"
        if not checkpoint.exists():
            return 0
        return int(str(self._session.denoiser.load_checkpoint(checkpoint)["frames"]))

    def _save(self, frames: int) -> None:
        self._session.denoiser.save_checkpoint(self._folder / "checkpoint.safetensors", {"frames": frames})


def _identity(session: Session, output: Path, split: str | None) -> dict[str, Any]:
    """All that decides the pictures."""
    unused = ("out", "cache_dir", "frames", "reference_every")
    settings = {name: value for name, value in asdict(session.options).items() if name not in unused}
    settings |= {name: str(value) for name, value in settings.items() if isinstance(value, Path)}
    content = {"scene_hash": session.scene.content_hash, "path_hash": session.path.digest()}
    return settings | content | {"split": split, "format": output.suffix}


def _cached(session: Session, camera: Camera) -> Reference | None:
    """The reference of this view if the cache has it. None is rendered for a caption."""
    spp = session.options.reference_spp
    if not session.references.file(camera, spp).exists():
        return None
    try:
        accumulation = session.references.accumulation(camera, spp)
    except CacheError:
        return None
    return accumulation.reference() if accumulation.spp >= spp else None
