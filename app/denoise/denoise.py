"""`noisewalk denoise`: walks over the frames of a shot, learns from their halves, and writes them denoised."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch

from noisewalk.app.clock import Stopwatch
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.denoise.frames import FEATURES, Frames
from noisewalk.app.denoise.layers import parse_choice
from noisewalk.app.denoise.loaded import Loaded
from noisewalk.app.denoise.made import Made, Maker
from noisewalk.app.denoise.output import OutputFolder
from noisewalk.app.denoise.sequence import find_shot, missing_numbers
from noisewalk.app.denoise.tiles import SMALLEST_BYTES, Tile, cut, side_within
from noisewalk.app.errors import EXIT_INTERRUPTED, Interrupted, UsageError
from noisewalk.app.options import DenoiseOptions, Machine, choose_guide
from noisewalk.denoiser.guide import guide_is_installed
from noisewalk.denoiser.online import OnlineDenoiser
from noisewalk.denoiser.trainer import TrainingSettings

CHECKPOINT_SECONDS = 20.0
PROGRAM_BYTES = 2**30  # of the program and of a training step


def denoise(options: DenoiseOptions, talk: Talk) -> int:
    """Begins or continues a shot. Returns the exit code. Raises UsageError for bad input."""
    choice = parse_choice(options.layers) if options.layers else {}
    frames = Frames(find_shot(options.frames, options.half), choice, options.also, options.cameras)
    with _output(options, frames) as output, _denoiser(options, frames) as denoiser:
        _introduce(options, frames, talk)
        shot = _Shot(options, frames, output, denoiser, talk)
        with StopSignal("stopping after this frame; the same command goes on") as stop:
            return shot.walk(stop)


class _Shot:
    def __init__(
        self, options: DenoiseOptions, frames: Frames, output: OutputFolder, denoiser: OnlineDenoiser, talk: Talk
    ) -> None:
        self._options, self._frames, self._output, self._talk = options, frames, output, talk
        self._denoiser = denoiser
        self._maker = Maker(denoiser, _tiles(options, frames, denoiser.device, talk), frames.has_halves)
        self._settings = _settings(options, frames)
        self._written = 0

    def walk(self, stop: StopSignal) -> int:
        """Makes all passes. Returns the exit code."""
        if not any(self._is_missing(index) for index in range(len(self._frames.shot))):
            return self._finish("complete")
        for found in self._frames.find_conventions() if self._maker.looks_back else []:
            self._talk.note(found)
        first_pass, first = self._go_on()
        try:
            for number in range(first_pass, self._options.passes):
                self._pass(number, first if number == first_pass else 0, stop)
        except Interrupted:
            return self._finish("interrupted")
        if self._frames.has_halves:
            self._denoiser.save(self._output.weights, {"scene": self._frames.shot[0].file.stem})
        self._output.checkpoint.unlink(missing_ok=True)
        return self._finish("complete")

    def _pass(self, number: int, first: int, stop: StopSignal) -> None:
        """One walk over the shot. The last one writes; if there are several, it no longer learns."""
        last = number == self._options.passes - 1
        learns = self._frames.has_halves and (not last or self._options.passes == 1)
        if first == 0:
            self._denoiser.forget()
        saved_at = time.monotonic()
        with self._talk.progress() as progress:
            name = "denoising" if last else f"learning, pass {number + 1}"
            task = progress.add_task(name, total=len(self._frames.shot), completed=first, note="")
            for index in range(first, len(self._frames.shot)):
                note = self._frame(index, learns, last)
                progress.update(task, completed=index + 1, note=note)
                if stop.requested or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    self._save(number, index + 1)
                    saved_at = time.monotonic()
                stop.check()

    def _frame(self, index: int, learns: bool, last: bool) -> str:
        """Makes one frame of a pass; only those of the last are denoised. Returns the text for the progress."""
        watch = Stopwatch()
        loaded = self._frames.read(index)
        watch.lap("read")
        prepared = self._maker.prepare(loaded, learns)
        watch.lap("train")
        if not last:
            return ""
        made = self._maker.make(loaded, prepared, self._options.also)
        watch.lap("denoise")
        if not self._is_missing(index):
            return ""  # it was denoised for the next one, which uses what is shown before
        self._write(loaded, made)
        watch.lap("write")
        self._written += 1
        self._output.add_row(self._row(loaded, made, watch.laps))
        estimate = f"estimate {made.estimate}, " if made.estimate else ""
        return f"{estimate}{sum(watch.laps.values()):.0f} ms/frame"

    def _write(self, loaded: Loaded, made: Made) -> None:
        file = self._output.picture(loaded.picture.file)
        if self._options.png:
            self._output.write_preview(file, made.shown)
        # The EXR comes last: if it exists, the frame is done.
        self._frames.write(loaded, made.shown, made.also, file, self._options.noisy)

    def _row(self, loaded: Loaded, made: Made, milliseconds: Mapping[str, float]) -> dict[str, str]:
        estimate = made.estimate if made.estimate is not None and made.estimate.psnr is not None else None
        return {
            "file": loaded.picture.file.name,
            "psnr_estimate": f"{estimate.psnr:.4f}" if estimate else "",
            "psnr_estimate_error": f"{estimate.psnr_error:.4f}" if estimate else "",
            "loss": f"{self._denoiser.weights().report.loss:.6g}" if self._frames.has_halves else "",
            **{f"{stage}_ms": f"{taken:.1f}" for stage, taken in milliseconds.items()},
        }

    def _is_missing(self, index: int) -> bool:
        return not self._output.picture(self._frames.shot[index].file).exists()

    def _go_on(self) -> tuple[int, int]:
        """The pass and the frame to begin with. Reads the state that a stopped run left."""
        if not self._output.goes_on(self._settings):
            return 0, 0
        progress = self._denoiser.load_checkpoint(self._output.checkpoint)
        number, first = int(str(progress["pass"])), int(str(progress["frames"]))
        self._talk.note(f"{self._output.folder}: going on at frame {first + 1} of {len(self._frames.shot)}")
        return number, first

    def _save(self, number: int, frames: int) -> None:
        progress = {"pass": number, "frames": frames}
        self._denoiser.save_checkpoint(self._output.checkpoint, progress)
        self._output.write_settings(self._settings)

    def _finish(self, state: str) -> int:
        count = len(self._frames.shot)
        left = sum(self._is_missing(index) for index in range(count))
        there = count - left - self._written
        self._talk.note(
            f"{self._output.folder}: {self._written} frames written"
            + (f", {there} were there already" if there else "")
            + (f", {left} are left: the same command goes on" if left else "")
        )
        result = {"folder": str(self._output.folder), "state": state, "written": self._written, "left": left}
        self._talk.result(result)
        return EXIT_INTERRUPTED if state == "interrupted" else 0


def _tiles(options: DenoiseOptions, frames: Frames, device: torch.device, talk: Talk) -> list[Tile]:
    """One tile if a frame fits into memory, else several. Raises UsageError if even small ones do not fit."""
    memory = options.memory * 2**30 if options.memory else _half_of_memory(device)
    needed = PROGRAM_BYTES + (frames.bytes_in_memory if device.type == "cpu" else 0)
    side = side_within(memory - needed, frames.height, frames.width)
    if side is None:
        least = (needed + SMALLEST_BYTES) / 2**30
        raise UsageError(f"{frames.shot[0].file}: frames of {frames.size} need {least:.1f} GiB at least (see --memory)")
    tiles = cut(frames.height, frames.width, side)
    if len(tiles) > 1:
        talk.note(f"each frame in {len(tiles)} tiles, to stay within {memory / 2**30:.1f} GiB, and without history")
    return tiles


def _half_of_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / 2
    return psutil.virtual_memory().total / 2


@contextmanager
def _output(options: DenoiseOptions, frames: Frames) -> Iterator[OutputFolder]:
    names = [frame.file.stem for frame in frames.shot]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{twice}.exr: two frames would be written there")
    output = OutputFolder(options.output, {frame.file.resolve().parent for frame in frames.shot})
    try:
        yield output
    finally:
        output.close()


@contextmanager
def _denoiser(options: DenoiseOptions, frames: Frames) -> Iterator[OnlineDenoiser]:
    settings = TrainingSettings(options.model, not options.cold, options.iterations, seed=options.seed)
    machine = Machine(gpu=False, guide=guide_is_installed())
    guide = choose_guide(options.model, options.guide, machine)
    with OnlineDenoiser(settings, options.device, "lockstep", guided=guide == "oidn") as denoiser:
        if options.weights is not None:
            denoiser.load(options.weights)
        if not frames.has_halves and not denoiser.weights().trained:
            raise UsageError(f"model '{options.model}' knows nothing yet, and without --half it learns nothing")
        yield denoiser


def _introduce(options: DenoiseOptions, frames: Frames, talk: Talk) -> None:
    shot = frames.shot
    talk.note(f"{len(shot)} frames of {frames.size}, {shot[0].file} to {shot[-1].file.name}")
    talk.note(str(frames.roles))
    for name, file in shot[0].features.items():
        talk.note(f"{name}: {file.name}, ...")
    if shot[0].half is not None:
        talk.note(f"second halves: {shot[0].half}, ...")
    if not frames.has_halves:
        talk.warn("the frames have no second half: nothing is learned from them (see --half)")
    if missing := [name for name in FEATURES[:2] if name not in frames.features]:
        talk.warn(f"no {' and no '.join(missing)} found: the picture will be worse (see --layers)")
    if gaps := missing_numbers(shot):
        talk.warn(f"{len(gaps)} frames are missing between the first and the last: {', '.join(map(str, gaps[:5]))}")


def _settings(options: DenoiseOptions, frames: Frames) -> dict[str, Any]:
    """All settings that decide the result. A stopped run continues only if they are equal."""
    kept = replace(options, output=Path(), device="auto", memory=None)
    return {name: str(value) for name, value in vars(kept).items()} | {
        "files": [str(frame.file) for frame in frames.shot],
        "halves": [str(frame.half) for frame in frames.shot],
    }
