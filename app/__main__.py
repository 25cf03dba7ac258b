"""The command line: words -> frozen options -> command. Imports stay lazy, so that help and errors come at once."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from noisewalk.app.errors import EXIT_INTERRUPTED, EXIT_USAGE, UsageError
from noisewalk.app.memory import keep_freed_memory
from noisewalk.app.options import (
    BENCH_MINUTES,
    BENCH_REPEATS,
    COMPARED_FRAMES,
    CONTENDERS,
    FRAME_SIZE,
    GUIDES,
    REFERENCE_SPP,
    TARGETS,
    DenoiseOptions,
    Output,
    PretrainOptions,
    WalkOptions,
)
from noisewalk.denoiser import MODEL_NAMES, DenoiserError
from noisewalk.renderer import RendererError

if TYPE_CHECKING:
    from noisewalk.app.console import Talk

DEFAULTS = WalkOptions()
WALK_CHOICES = ("model", "targets", "weights", "reference-every")
USAGE = """\
noisewalk SCENE [options]              fly through the scene in a window (F1 lists the keys)
noisewalk SCENE --headless [options]   walk a path, train and denoise, leave a run folder
noisewalk compare SCENE... [options]   our models and Open Image Denoise on the same walk
noisewalk variants SCENE [options]     the paper's loss variants on the same walk (its figure 6)
noisewalk bench [SCENE] [options]      how long each stage of a frame takes here, and why not less
noisewalk reference SCENE [options]    render the references of a path ahead of time
noisewalk scenes                       list the bundled scenes
noisewalk path SCENE -o path.json      write out the path that a walk would take
noisewalk denoise FRAMES... [options]  denoise frames of any renderer, and learn from their second halves
noisewalk export RUN -o FILE           take the trained network out of a run folder
noisewalk pretrain -o FILE [options]   make the weights that the kernel model starts from
noisewalk cache [--clear]              size of the reference cache, or clear it
noisewalk doctor                       what this machine can do

SCENE is a bundled name or the path of a Mitsuba 3 XML file. 'noisewalk COMMAND --help' has the options."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; every foreseeable failure is one line and code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except (UsageError, RendererError, DenoiserError, OSError, MemoryError) as error:
        return _fail(error)
    except KeyboardInterrupt:
        print("\nnoisewalk: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if words else EXIT_USAGE
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"noisewalk {version('noisewalk')}")
        return 0
    keep_freed_memory()
    command = COMMANDS.get(words[0])
    return command(words[1:]) if command else _walk(words)


def _fail(error: Exception) -> int:
    message = re.sub(r"\s+", " ", str(error)) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    print(f"noisewalk: error: {message}", file=sys.stderr)
    return EXIT_USAGE


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ('{self.prog} --help' lists the options)")


def _walk(words: list[str]) -> int:
    parser = _walk_parser("noisewalk", *WALK_CHOICES)
    parser.add_argument("--headless", action="store_true", help="walk the path without a window")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder; default: runs/SCENE, numbered")
    given = parser.parse_args(words)
    options, talk = _walk_options(given), _talk(given)
    if not given.headless:
        if given.out is not None:
            raise UsageError("--out is for --headless: the viewer leaves no run folder")
        if options.targets != DEFAULTS.targets:
            raise UsageError("--targets is for --headless: the viewer has no references to train on")
        try:
            from noisewalk.app.viewer.window import view
        except ModuleNotFoundError as error:
            hint = "run scripts/setup viewer, or add --headless"
            raise UsageError(f"the viewer needs the package '{error.name}': {hint}") from error
        return view(options, talk)
    from noisewalk.app.walk.headless import walk

    return walk(options, talk)


def _reference(words: list[str]) -> int:
    given = _walk_parser("noisewalk reference", *WALK_CHOICES).parse_args(words)  # as of the walk to come
    from noisewalk.app.tools import reference

    return reference(_walk_options(given), _talk(given))


def _compare(words: list[str]) -> int:
    parser = _walk_parser("noisewalk compare", "targets", "weights", scenes="+")
    names = list(CONTENDERS)
    parser.add_argument("--models", nargs="+", choices=names, default=names, help="default: all")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder; default: comparisons/001, ...")
    parser.set_defaults(frames=COMPARED_FRAMES)
    given = parser.parse_args(words)
    from noisewalk.app.compare.comparison import compare

    return compare(replace(_walk_options(given), scene=given.scene[0]), given.scene, given.models, _talk(given))


def _variants(words: list[str]) -> int:
    parser = _walk_parser("noisewalk variants", "reference-every")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder; default: variants/001, ...")
    parser.set_defaults(frames=COMPARED_FRAMES)
    given = parser.parse_args(words)
    from noisewalk.app.compare.variants import variants

    return variants(_walk_options(given), _talk(given))


def _bench(words: list[str]) -> int:
    parser = _talk_options(_Parser("noisewalk bench", epilog="see also: noisewalk --help"))
    parser.add_argument("scene", nargs="?", default=DEFAULTS.scene, metavar="SCENE", help="default: %(default)s")
    _model_options(parser)
    size = "512 or 1920x1080; default: {} with a GPU, {} without".format(*FRAME_SIZE)
    parser.add_argument("--sizes", type=_size, nargs="+", default=[(None, None)], metavar="SIZE", help=size)
    parser.add_argument("--repeats", type=_whole(1, 10**4), default=BENCH_REPEATS, help="default: %(default)s")
    minutes = "after which no more stages are measured; default: %(default)s"
    parser.add_argument("--minutes", type=_whole(1, 10**4), default=BENCH_MINUTES, help=minutes)
    parser.add_argument("--spp", type=_whole(1, 4096), default=DEFAULTS.spp, help="of each half; default: %(default)s")
    timeline = "also write a timeline of overlapped frames, for https://ui.perfetto.dev"
    parser.add_argument("--trace", type=Path, metavar="FILE", help=timeline)
    _machine_options(parser)
    given = parser.parse_args(words)
    from noisewalk.app.bench.bench import bench

    return bench(_walk_options(given), given.sizes, given.repeats, given.minutes, _talk(given), given.trace)


def _scenes(words: list[str]) -> int:
    given = _talk_options(_Parser("noisewalk scenes")).parse_args(words)
    from noisewalk.app.catalogue import scenes

    return scenes(_talk(given))


def _path(words: list[str]) -> int:
    parser = _scene_parser("noisewalk path")
    _path_option(parser)
    _renderer_options(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write path.json")
    given = parser.parse_args(words)
    from noisewalk.app.tools import path

    return path(_walk_options(given), given.output, _talk(given))


def _export(words: list[str]) -> int:
    parser = _talk_options(_Parser("noisewalk export"))
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the .safetensors to write")
    given = parser.parse_args(words)
    from noisewalk.app.tools import export

    return export(given.run, given.output, _talk(given))


def _denoise(words: list[str]) -> int:
    d = DenoiseOptions
    parser = _talk_options(_Parser("noisewalk denoise"))
    frames = "EXR files, a folder, or a pattern: shot.####.exr, shot.%%04d.exr"
    parser.add_argument("frames", nargs="+", metavar="FRAMES", help=frames)
    half = "the same frames with another seed; default: found beside them (_h0 and _h1, A and B, ...)"
    parser.add_argument("--half", nargs="+", metavar="FRAMES", help=half)
    layers = "color=NAME,albedo=NAME,...: also half, normal, position, motion; NAME none: without it"
    parser.add_argument("--layers", default=d.layers, metavar="ROLE=NAME,...", help=layers)
    also = "denoise these color layers too: diffuse,specular,..."
    parser.add_argument("--also", type=_names, default=d.also, metavar="NAMES", help=also)
    _model_options(parser)
    parser.add_argument("--weights", type=Path, metavar="FILE", help="trained weights to start from")
    passes = "walks over the shot; default: %(default)s; with 2, one to learn and one to denoise"
    parser.add_argument("--passes", type=_whole(1, 1000), default=d.passes, help=passes)
    iterations = "training steps a frame; default: %(default)s"
    parser.add_argument("--iterations", type=_whole(0, 10**4), default=d.iterations, help=iterations)
    parser.add_argument("--seed", type=_whole(0, 2**31 - 1), default=d.seed, help="default: %(default)s")
    parser.add_argument("--device", default=d.device, help="where torch trains: auto, cpu, cuda, ...")
    memory = "GiB to stay within, by tiles; default: half of what there is"
    parser.add_argument("--memory", type=_positive, metavar="GIB", help=memory)
    folder = "where to write; default: %(default)s. Frames that are there are not made again"
    parser.add_argument("-o", "--output", type=Path, default=d.output, metavar="DIR", help=folder)
    parser.add_argument("--noisy", action="store_true", help="keep the noisy color as layer 'noisy'")
    parser.add_argument("--png", action="store_true", help="also write a PNG of each frame")
    given = parser.parse_args(words)
    from noisewalk.app.denoise.denoise import denoise

    names = {field.name for field in dataclasses.fields(DenoiseOptions)}
    return denoise(DenoiseOptions(**{k: v for k, v in vars(given).items() if k in names}), _talk(given))


def _pretrain(words: list[str]) -> int:
    d = PretrainOptions
    parser = _talk_options(_Parser("noisewalk pretrain"))
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the .safetensors to write")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="keep rendered rooms here, and use those that are there"
    )
    parser.add_argument("--rooms", type=_whole(1, 10**4), default=d.rooms, help="default: %(default)s")
    parser.add_argument("--size", type=_whole(32, 1024), default=d.size, help="pixels a side; default: %(default)s")
    parser.add_argument("--steps", type=_whole(1, 10**7), default=d.steps, help="default: %(default)s")
    parser.add_argument("--seed", type=_whole(0, 2**31 - 1), default=d.seed, help="default: %(default)s")
    _machine_options(parser)
    given = parser.parse_args(words)
    from noisewalk.app.pretrain import pretrain

    names = {field.name for field in dataclasses.fields(PretrainOptions)}
    options = PretrainOptions(**{name: value for name, value in vars(given).items() if name in names})
    return pretrain(options, _talk(given))


def _cache(words: list[str]) -> int:
    parser = _talk_options(_Parser("noisewalk cache"))
    parser.add_argument("--clear", action="store_true", help="delete all cached references")
    parser.add_argument("--cache-dir", type=Path, default=DEFAULTS.cache_dir, metavar="DIR")
    given = parser.parse_args(words)
    from noisewalk.app.tools import cache

    return cache(WalkOptions(cache_dir=given.cache_dir), given.clear, _talk(given))


def _doctor(words: list[str]) -> int:
    parser = _talk_options(_Parser("noisewalk doctor"))
    _machine_options(parser)
    given = parser.parse_args(words)
    from noisewalk.app.doctor import doctor

    return doctor(WalkOptions(device=given.device, variant=given.variant, cache_dir=given.cache_dir), _talk(given))


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "compare": _compare,
    "variants": _variants,
    "bench": _bench,
    "reference": _reference,
    "scenes": _scenes,
    "path": _path,
    "denoise": _denoise,
    "export": _export,
    "pretrain": _pretrain,
    "cache": _cache,
    "doctor": _doctor,
}


def _scene_parser(prog: str, scenes: str | None = None) -> argparse.ArgumentParser:
    parser = _talk_options(_Parser(prog, epilog="see also: noisewalk --help"))
    parser.add_argument("scene", metavar="SCENE", nargs=scenes, help="bundled name or Mitsuba 3 XML file")
    return parser


def _walk_parser(prog: str, *choices: str, scenes: str | None = None) -> argparse.ArgumentParser:
    """Options of everything that walks; `choices`: those of WALK_CHOICES that it leaves to the person."""
    d = DEFAULTS
    parser = _scene_parser(prog, scenes)
    if "model" in choices:
        _model_options(parser)
    if "targets" in choices:
        targets = "default: %(default)s; clean: train a twin on references as well, to compare with (figure 8)"
        parser.add_argument("--targets", choices=TARGETS, default=d.targets, help=targets)
    parser.add_argument("--frames", type=_whole(1, 10**6), default=d.frames, help="default: %(default)s")
    size = "default: {} with a GPU, {} without".format(*FRAME_SIZE)
    parser.add_argument("--width", type=_whole(1, 8192), help=f"pixels; {size}")
    parser.add_argument("--height", type=_whole(1, 8192), help=f"pixels; {size}")
    parser.add_argument("--spp", type=_whole(1, 4096), default=d.spp, help="of each half; default: %(default)s")
    parser.add_argument(
        "--iterations", type=_whole(0, 10**4), default=d.iterations, help="training steps a frame; default: %(default)s"
    )
    parser.add_argument("--crop", type=_whole(1, 8192), default=d.crop, help="pixels; default: %(default)s")
    parser.add_argument("--learning-rate", type=_learning_rate, default=d.learning_rate, help="default: %(default)s")
    parser.add_argument("--seed", type=_whole(0, 2**31 - 1), default=d.seed, help="default: %(default)s")
    parser.add_argument("--max-depth", type=_whole(1, 10**4), help="longest light path; default: the scene's")
    _path_option(parser)
    spp = "default: {} with a GPU, {} without".format(*REFERENCE_SPP)
    parser.add_argument("--reference-spp", type=_whole(2, 10**6), help=spp)
    if "reference-every" in choices:
        every = "frames; default: %(default)s"
        parser.add_argument("--reference-every", type=_whole(1, 10**6), default=d.reference_every, help=every)
    if "weights" in choices:
        parser.add_argument("--weights", type=Path, metavar="FILE", help="trained weights to start from")
    _machine_options(parser)
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    d = DEFAULTS
    model = "default: %(default)s; paper: the paper's network, exactly"
    parser.add_argument("--model", choices=MODEL_NAMES, default=d.model, help=model)
    guide = "let Open Image Denoise advise the kernel model; default: auto: where it is installed"
    parser.add_argument("--guide", choices=GUIDES, default=d.guide, help=guide)
    parser.add_argument("--cold", action="store_true", help="start untrained, not from the pretrained weights")


def _path_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--path", type=Path, metavar="FILE", help="path.json to fly; default: the scene's own")


def _machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default=DEFAULTS.device, help="where torch trains: auto, cpu, cuda, ...")
    _renderer_options(parser)


def _renderer_options(parser: argparse.ArgumentParser) -> None:
    d = DEFAULTS
    parser.add_argument(
        "--variant", default=d.variant, help="how Mitsuba renders: auto, cuda_ad_rgb, llvm_ad_rgb, scalar_rgb"
    )
    parser.add_argument("--cache-dir", type=Path, default=d.cache_dir, metavar="DIR", help="default: %(default)s")


def _talk_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--quiet", action="store_true", help="no notes and no progress, only warnings and errors")
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
    return parser


def _walk_options(given: argparse.Namespace) -> WalkOptions:
    names = {field.name for field in dataclasses.fields(WalkOptions)}
    return WalkOptions(**{name: value for name, value in vars(given).items() if name in names})


def _talk(given: argparse.Namespace) -> Talk:
    from noisewalk.app.console import Talk

    return Talk(Output(given.quiet, given.json))


def _whole(low: int, high: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return whole


def _size(text: str) -> tuple[int, int]:
    width, by, height = text.partition("x")
    pixels = _whole(1, 8192)
    return pixels(width), pixels(height if by else width)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _learning_rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
