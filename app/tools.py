"""The small commands: reference, scenes, path, export, cache."""

from __future__ import annotations

from pathlib import Path

from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import EXIT_INTERRUPTED, Interrupted, UsageError
from noisewalk.app.options import WalkOptions
from noisewalk.app.references import measured_frames, render_references
from noisewalk.app.session import flight, open_session, reference_folder
from noisewalk.renderer.backend import choose_backend
from noisewalk.renderer.camera_path import save_path
from noisewalk.renderer.reference import being_written, cached_files
from noisewalk.renderer.scene import open_scene


def reference(options: WalkOptions, cluster: str | None, talk: Talk) -> int:
    """Renders and caches the references of a path, here or by a cluster. Returns the exit code."""
    session = open_session(options, talk)
    try:
        frames = measured_frames(session.options)
        with StopSignal("stopping after this pass; what is rendered is kept") as stop:
            try:
                render_references(session, frames, talk, stop, cluster)
            except Interrupted:
                talk.note("interrupted: the same command goes on from here")
                return EXIT_INTERRUPTED
        folder = reference_folder(session.options.cache_dir)
        talk.note(f"{len(frames)} references of {session.options.reference_spp} spp in {folder}")
        talk.result({"references": len(frames), "spp": session.options.reference_spp, "folder": str(folder)})
        return 0
    finally:
        session.close()


def path(options: WalkOptions, file: Path, talk: Talk) -> int:
    """Writes the path that a walk of the scene would take as path.json."""
    backend = choose_backend(options.variant, options.cache_dir)
    backend.activate()
    if file.exists():
        raise UsageError(f"{file}: exists already, and is not overwritten")
    flown = flight(open_scene(options.scene, backend.variant), options.path)
    save_path(flown, file)
    talk.note(f"{file}: {len(flown.keyframes)} keyframes, {len(flown)} frames")
    talk.result({"file": str(file), "keyframes": len(flown.keyframes), "frames": len(flown)})
    return 0


def cache(cache_dir: Path, clear: bool, talk: Talk) -> int:
    """Prints how large the reference cache is, or clears it."""
    folder = reference_folder(cache_dir)
    files = [cached for cached in cached_files(folder) if not being_written(cached)]
    size = sum(cached.size for cached in files)
    if clear:
        for cached in files:
            cached.file.unlink(missing_ok=True)
    if talk.output.json:
        talk.result({"folder": str(folder), "files": len(files), "bytes": size, "cleared": clear})
    else:
        print(f"{folder}: {'cleared' if clear else 'holds'} {len(files)} references, {size / 2**20:.1f} MiB")
    return 0
