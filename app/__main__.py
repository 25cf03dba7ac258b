"""The command line: words -> frozen options -> command. Imports stay lazy, so that help and errors come at once."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from noisewalk.app.arguments import (
    DEFAULTS,
    WALK_CHOICES,
    Parser,
    add_cluster,
    add_machine,
    add_model,
    add_path,
    add_renderer,
    add_spp,
    film,
    names_of,
    positive,
    scene_parser,
    size_of,
    talk_of,
    walk_options,
    walk_parser,
    whole,
    with_talk,
)
from noisewalk.app.errors import EXIT_INTERRUPTED, EXIT_USAGE, UsageError
from noisewalk.app.memory import keep_freed_memory
from noisewalk.app.options import (
    BENCH_MINUTES,
    BENCH_REPEATS,
    BROWSER_HOST,
    BROWSER_PORT,
    CAPTURES,
    COMPARED_FRAMES,
    CONTENDERS,
    SAVED_FRAMES,
    SPLITS,
    STUDY_FEATURES,
    DenoiseOptions,
    PretrainOptions,
    StudyOptions,
    WalkOptions,
)
from noisewalk.app.threads import bound_spinning
from noisewalk.denoiser import DenoiserError
from noisewalk.renderer import RendererError

if TYPE_CHECKING:
    from noisewalk.app.console import Talk

USAGE = """\
fly, and watch it learn
  noisewalk SCENE [options]              in a window (F1 lists the keys)
  noisewalk SCENE --browser [options]    in a browser, also from another machine
  noisewalk SCENE --headless [options]   walk a path without a window, leave a run folder
  noisewalk scenes                       list the bundled scenes
  noisewalk doctor                       what this machine can do

use what was learned
  noisewalk video RUN|SCENE -o FILE      the denoised flight as .mp4, or as numbered .png or .exr
  noisewalk export RUN -o FILE           take the trained network out of a run, for us or for other programs
  noisewalk denoise FRAMES... [options]  denoise frames of any renderer, and learn from their second halves

compare and study
  noisewalk compare SCENE... [options]   our models and Open Image Denoise on the same walk
  noisewalk variants SCENE [options]     the paper's loss variants on the same walk (its figure 6)
  noisewalk study [NAME] [options]       the paper's other corruptions, each learned from noise alone; no NAME: a list
  noisewalk bench [SCENE] [options]      how long each stage of a frame takes here, and why not less

prepare
  noisewalk reference SCENE [options]    render the references of a walk ahead of time, here or on a cluster
  noisewalk path SCENE -o path.json      write out the path that a walk would take
  noisewalk cache [--clear]              size of the reference cache, or clear it
  noisewalk pretrain -o FILE [options]   make the weights that the kernel model starts from

SCENE is a bundled name or the path of a Mitsuba 3 XML file. 'noisewalk COMMAND --help' has the options,
and 'noisewalk SCENE --help' those of the first three."""


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
    bound_spinning()
    command = COMMANDS.get(words[0])
    return command(words[1:]) if command else _walk(words)


def _fail(error: Exception) -> int:
    message = re.sub(r"\s+", " ", str(error)) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    print(f"noisewalk: error: {message}", file=sys.stderr)
    return EXIT_USAGE


def _walk(words: list[str]) -> int:
    parser = walk_parser("noisewalk", *WALK_CHOICES)
    browser = parser.add_argument_group("in a browser")
    browser.add_argument("--browser", action="store_true", help="fly in a browser instead of a window")
    host = f"address that it listens on; default: {BROWSER_HOST}: this machine only"
    browser.add_argument("--host", metavar="ADDRESS", help=host)
    port = f"default: {BROWSER_PORT}; 0: any free one"
    browser.add_argument("--port", type=whole(0, 65535), metavar="N", help=port)
    headless = parser.add_argument_group("without a window")
    headless.add_argument("--headless", action="store_true", help="walk the path, and leave a run folder")
    out = "run folder; default: runs/SCENE, numbered; a finished run there is extended by more --frames"
    headless.add_argument("--out", type=Path, metavar="DIR", help=out)
    saved = "keep every denoised frame in the run folder: linear, or tone mapped"
    headless.add_argument("--save-frames", choices=SAVED_FRAMES, help=saved)
    given = parser.parse_args(words)
    options, talk = walk_options(given), talk_of(given)
    if given.browser and given.headless:
        raise UsageError("--browser and --headless: choose one of them")
    if not given.browser and (given.host is not None or given.port is not None):
        raise UsageError("--host and --port are for --browser")
    if not given.headless:
        if given.out is not None:
            raise UsageError("--out is for --headless: the viewer leaves no run folder")
        if options.save_frames is not None:
            raise UsageError("--save-frames is for --headless: the viewer leaves no run folder")
        if options.targets != DEFAULTS.targets:
            raise UsageError("--targets is for --headless: the viewer has no references to train on")
        if given.browser:
            return _browse(options, given, talk)
        try:
            from noisewalk.app.viewer.window import view
        except ModuleNotFoundError as error:
            hint = "run scripts/setup viewer, or add --headless"
            raise UsageError(f"the viewer needs the package '{error.name}': {hint}") from error
        return view(options, talk)
    from noisewalk.app.walk.headless import walk

    return walk(options, talk)


def _browse(options: WalkOptions, given: argparse.Namespace, talk: Talk) -> int:
    try:
        from noisewalk.app.browser.server import browse
    except ModuleNotFoundError as error:
        raise UsageError(f"--browser needs the package '{error.name}': run scripts/setup browser") from error
    return browse(options, given.host or BROWSER_HOST, BROWSER_PORT if given.port is None else given.port, talk)


def _reference(words: list[str]) -> int:
    parser = walk_parser("noisewalk reference", *WALK_CHOICES)  # those of the later walk
    add_cluster(parser)
    given = parser.parse_args(words)
    from noisewalk.app.tools import reference

    return reference(walk_options(given), given.cluster, talk_of(given))


def _compare(words: list[str]) -> int:
    parser = walk_parser("noisewalk compare", "targets", "frames", "weights", scenes="+")
    names = list(CONTENDERS)
    parser.add_argument("--models", nargs="+", choices=names, default=names, help="default: all")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder; default: comparisons/001, ...")
    add_cluster(parser)
    parser.set_defaults(frames=COMPARED_FRAMES)
    given = parser.parse_args(words)
    from noisewalk.app.compare.comparison import compare

    options = replace(walk_options(given), scene=given.scene[0])
    return compare(options, given.scene, given.models, talk_of(given), given.cluster)


def _variants(words: list[str]) -> int:
    parser = walk_parser("noisewalk variants", "frames", "reference-every")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder; default: variants/001, ...")
    parser.set_defaults(frames=COMPARED_FRAMES)
    given = parser.parse_args(words)
    from noisewalk.app.compare.variants import variants

    return variants(walk_options(given), talk_of(given))


def _study(words: list[str]) -> int:
    parser = with_talk(Parser("noisewalk study", epilog="see also: noisewalk --help"))
    parser.add_argument("name", nargs="?", metavar="NAME", help="a study, or all; without one they are listed")
    parser.add_argument("--images", type=Path, metavar="DIR", help="photographs; default: scikit-image's")
    parser.add_argument("--volumes", type=Path, metavar="DIR", help="NIfTI volumes, for mri; default: nilearn's brain")
    parser.add_argument("--steps", type=whole(1, 10**8), help="training steps; default: the study's own")
    parser.add_argument("--crop", type=whole(8, 1024), help="pixels a side; default: the study's own")
    captures = "budget: noisy pictures in all; default: %(default)s"
    parser.add_argument("--captures", type=whole(40, 10**6), default=CAPTURES, help=captures)
    parser.add_argument("--batch", type=whole(1, 64), help="crops a step; default: the study's own")
    features = "of the network, the paper's 48; default: %(default)s"
    parser.add_argument("--features", type=whole(3, 256), default=STUDY_FEATURES, help=features)
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=DEFAULTS.seed, help="default: %(default)s")
    parser.add_argument("--sweep", action="store_true", help="impulse: one training for each share (figure 5)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder; default: studies/001, ...")
    add_machine(parser)
    given = parser.parse_args(words)
    from noisewalk.app.study.command import studies, study

    if given.name is None:
        return studies(talk_of(given))
    names = {field.name for field in dataclasses.fields(StudyOptions)}
    return study(StudyOptions(**{name: value for name, value in vars(given).items() if name in names}), talk_of(given))


def _video(words: list[str]) -> int:
    parser = walk_parser("noisewalk video", "model", "weights")
    parser.add_argument("-o", "--output", type=film, required=True, metavar="FILE", help="flight.mp4, .png or .exr")
    parser.add_argument("--split", choices=SPLITS, help="show this in the right half, for comparison")
    parser.add_argument("--fps", type=whole(1, 240), help="pictures a second; default: the path's own")
    given = parser.parse_args(words)
    try:
        from noisewalk.app.video.shoot import video
    except ModuleNotFoundError as error:
        raise UsageError(f"noisewalk video needs the package '{error.name}': run scripts/setup video") from error
    return video(walk_options(given), given.output, given.split, given.fps, talk_of(given))


def _bench(words: list[str]) -> int:
    parser = with_talk(Parser("noisewalk bench", epilog="see also: noisewalk --help"))
    parser.add_argument("scene", nargs="?", default=DEFAULTS.scene, metavar="SCENE", help="default: %(default)s")
    add_model(parser)
    size = "512 or 1920x1080; default: the walk's"
    parser.add_argument("--sizes", type=size_of, nargs="+", default=[(None, None)], metavar="SIZE", help=size)
    parser.add_argument("--repeats", type=whole(1, 10**4), default=BENCH_REPEATS, help="default: %(default)s")
    minutes = "after which no more stages are measured; default: %(default)s"
    parser.add_argument("--minutes", type=whole(1, 10**4), default=BENCH_MINUTES, help=minutes)
    add_spp(parser)
    timeline = "also write a timeline of overlapped frames, for https://ui.perfetto.dev"
    parser.add_argument("--trace", type=Path, metavar="FILE", help=timeline)
    add_machine(parser)
    given = parser.parse_args(words)
    from noisewalk.app.bench.bench import bench

    return bench(walk_options(given), given.sizes, given.repeats, given.minutes, talk_of(given), given.trace)


def _scenes(words: list[str]) -> int:
    given = with_talk(Parser("noisewalk scenes")).parse_args(words)
    from noisewalk.app.catalogue import scenes

    return scenes(talk_of(given))


def _path(words: list[str]) -> int:
    parser = scene_parser("noisewalk path")
    add_path(parser)
    add_renderer(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write path.json")
    given = parser.parse_args(words)
    from noisewalk.app.tools import path

    return path(walk_options(given), given.output, talk_of(given))


def _export(words: list[str]) -> int:
    parser = with_talk(Parser("noisewalk export"))
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="folder of a run, or weights.safetensors")
    output = "what to write: .safetensors; .onnx for other programs, .tza for Open Image Denoise"
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=output)
    parser.add_argument("--about", type=Path, metavar="FILE", help="print what is in a weights file")
    given = parser.parse_args(words)
    from noisewalk.app.export import about, export

    if given.about is not None:
        return about(given.about, talk_of(given))
    if given.run is None or given.output is None:
        raise UsageError("needs RUN and -o FILE, or --about FILE ('noisewalk export --help' lists the options)")
    return export(given.run, given.output, talk_of(given))


def _denoise(words: list[str]) -> int:
    d = DenoiseOptions
    parser = with_talk(Parser("noisewalk denoise"))
    frames = "EXR files, a folder, or a pattern: shot.####.exr, shot.%%04d.exr"
    parser.add_argument("frames", nargs="+", metavar="FRAMES", help=frames)
    half = "the same frames with another seed; default: found beside them (_h0 and _h1, A and B, ...)"
    parser.add_argument("--half", nargs="+", metavar="FRAMES", help=half)
    layers = "color=NAME,albedo=NAME,...: also half, normal, position, depth, motion; NAME none: without it"
    parser.add_argument("--layers", default=d.layers, metavar="ROLE=NAME,...", help=layers)
    cameras = "cameras of the frames: a path.json, or nerfstudio's transforms.json; default: from headers or positions"
    parser.add_argument("--cameras", type=Path, metavar="FILE", help=cameras)
    also = "denoise these color layers too: diffuse,specular,..."
    parser.add_argument("--also", type=names_of, default=d.also, metavar="NAMES", help=also)
    add_model(parser)
    parser.add_argument("--weights", type=Path, metavar="FILE", help="trained weights to start from")
    passes = "walks over the shot; default: %(default)s; with 2, one to learn and one to denoise"
    parser.add_argument("--passes", type=whole(1, 1000), default=d.passes, help=passes)
    iterations = "training steps a frame; default: %(default)s"
    parser.add_argument("--iterations", type=whole(0, 10**4), default=d.iterations, help=iterations)
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=d.seed, help="default: %(default)s")
    parser.add_argument("--device", default=d.device, help="where torch trains: auto, cpu, cuda, ...")
    memory = "GiB to stay within, by tiles; default: half of what there is"
    parser.add_argument("--memory", type=positive, metavar="GIB", help=memory)
    folder = "where to write; default: %(default)s. Frames that are there are not made again"
    parser.add_argument("-o", "--output", type=Path, default=d.output, metavar="DIR", help=folder)
    parser.add_argument("--noisy", action="store_true", help="keep the noisy color as layer 'noisy'")
    parser.add_argument("--png", action="store_true", help="also write a PNG of each frame")
    given = parser.parse_args(words)
    from noisewalk.app.denoise.denoise import denoise

    names = {field.name for field in dataclasses.fields(DenoiseOptions)}
    return denoise(DenoiseOptions(**{k: v for k, v in vars(given).items() if k in names}), talk_of(given))


def _pretrain(words: list[str]) -> int:
    d = PretrainOptions
    parser = with_talk(Parser("noisewalk pretrain"))
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the .safetensors to write")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="keep rendered rooms here, and use those that are there"
    )
    parser.add_argument("--rooms", type=whole(1, 10**4), default=d.rooms, help="default: %(default)s")
    parser.add_argument("--size", type=whole(32, 1024), default=d.size, help="pixels a side; default: %(default)s")
    parser.add_argument("--steps", type=whole(1, 10**7), default=d.steps, help="default: %(default)s")
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=d.seed, help="default: %(default)s")
    add_machine(parser)
    add_cluster(parser)
    given = parser.parse_args(words)
    from noisewalk.app.pretrain import pretrain

    names = {field.name for field in dataclasses.fields(PretrainOptions)}
    options = PretrainOptions(**{name: value for name, value in vars(given).items() if name in names})
    return pretrain(options, talk_of(given), given.cluster)


def _cache(words: list[str]) -> int:
    parser = with_talk(Parser("noisewalk cache"))
    parser.add_argument("--clear", action="store_true", help="delete all cached references")
    cache_dir = "whose size is told; default: %(default)s"
    parser.add_argument("--cache-dir", type=Path, default=DEFAULTS.cache_dir, metavar="DIR", help=cache_dir)
    given = parser.parse_args(words)
    from noisewalk.app.tools import cache

    return cache(given.cache_dir, given.clear, talk_of(given))


def _doctor(words: list[str]) -> int:
    parser = with_talk(Parser("noisewalk doctor"))
    add_machine(parser)
    given = parser.parse_args(words)
    from noisewalk.app.doctor import doctor

    return doctor(WalkOptions(device=given.device, variant=given.variant, cache_dir=given.cache_dir), talk_of(given))


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "compare": _compare,
    "variants": _variants,
    "study": _study,
    "video": _video,
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


if __name__ == "__main__":
    sys.exit(main())
