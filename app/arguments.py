"""The options that commands share: parsers, checks of single values, and dataclasses of them."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from noisewalk.app.errors import UsageError
from noisewalk.app.options import FILMS, FRAME_SIZE, GUIDES, REFERENCE_SPP, TARGETS, Output, WalkOptions
from noisewalk.denoiser import MODEL_NAMES

if TYPE_CHECKING:
    from noisewalk.app.console import Talk

DEFAULTS = WalkOptions()
WALK_CHOICES = ("model", "targets", "frames", "weights", "reference-every")


class Parser(argparse.ArgumentParser):
    """Raises UsageError for wrong words."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError with the parser's message."""
        raise UsageError(f"{message} ('{self.prog} --help' lists the options)")


def scene_parser(prog: str, scenes: str | None = None) -> argparse.ArgumentParser:
    """A parser that takes a scene. scenes: how many, as argparse's `nargs`."""
    parser = with_talk(Parser(prog, epilog="see also: noisewalk --help"))
    parser.add_argument("scene", metavar="SCENE", nargs=scenes, help="bundled name or Mitsuba 3 XML file")
    return parser


def walk_parser(prog: str, *choices: str, scenes: str | None = None) -> argparse.ArgumentParser:
    """A parser with the options of all commands that walk. choices: those of WALK_CHOICES that this command has."""
    d = DEFAULTS
    parser = scene_parser(prog, scenes)
    if "model" in choices:
        add_model(parser)
    if "targets" in choices:
        targets = "default: %(default)s; clean: train a twin on references as well, to compare with (figure 8)"
        parser.add_argument("--targets", choices=TARGETS, default=d.targets, help=targets)
    if "frames" in choices:
        parser.add_argument("--frames", type=whole(1, 10**6), default=d.frames, help="default: %(default)s")
    size = "default: {0}x{0} with a GPU, {1}x{1} without, or as many in the film's aspect".format(*FRAME_SIZE)
    parser.add_argument("--width", type=whole(1, 8192), help=f"pixels; {size}")
    parser.add_argument("--height", type=whole(1, 8192), help="pixels; one of the two alone keeps the film's aspect")
    parser.add_argument("--spp", type=whole(1, 4096), default=d.spp, help="of each half; default: %(default)s")
    parser.add_argument(
        "--iterations", type=whole(0, 10**4), default=d.iterations, help="training steps a frame; default: %(default)s"
    )
    parser.add_argument("--crop", type=whole(1, 8192), default=d.crop, help="pixels; default: %(default)s")
    parser.add_argument("--learning-rate", type=rate, default=d.learning_rate, help="default: %(default)s")
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=d.seed, help="default: %(default)s")
    parser.add_argument("--max-depth", type=whole(1, 10**4), help="longest light path; default: the scene's")
    add_path(parser)
    spp = "default: {} with a GPU, {} without".format(*REFERENCE_SPP)
    parser.add_argument("--reference-spp", type=whole(2, 10**6), help=spp)
    if "reference-every" in choices:
        every = "frames; default: %(default)s"
        parser.add_argument("--reference-every", type=whole(1, 10**6), default=d.reference_every, help=every)
    if "weights" in choices:
        parser.add_argument("--weights", type=Path, metavar="FILE", help="trained weights to start from")
    add_machine(parser)
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds the choice of model, guide and start."""
    d = DEFAULTS
    model = "default: %(default)s; adaptive-oidn: Open Image Denoise's own network, trained on; paper: exactly that"
    parser.add_argument("--model", choices=MODEL_NAMES, default=d.model, help=model)
    guide = "let Open Image Denoise advise the kernel model; default: auto: where it is installed"
    parser.add_argument("--guide", choices=GUIDES, default=d.guide, help=guide)
    parser.add_argument("--cold", action="store_true", help="start untrained, not from the pretrained weights")


def add_path(parser: argparse.ArgumentParser) -> None:
    """Adds the choice of the path to fly."""
    parser.add_argument("--path", type=Path, metavar="FILE", help="path.json to fly; default: the scene's own")


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Adds the choice of what renders and what trains."""
    parser.add_argument("--device", default=DEFAULTS.device, help="where torch trains: auto, cpu, cuda, ...")
    add_renderer(parser)


def add_renderer(parser: argparse.ArgumentParser) -> None:
    """Adds the choice of what renders, and where its cache is."""
    d = DEFAULTS
    parser.add_argument(
        "--variant", default=d.variant, help="how Mitsuba renders: auto, cuda_ad_rgb, llvm_ad_rgb, scalar_rgb"
    )
    parser.add_argument("--cache-dir", type=Path, default=d.cache_dir, metavar="DIR", help="default: %(default)s")


def with_talk(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds --quiet and --json. Returns the parser."""
    parser.add_argument("--quiet", action="store_true", help="no notes and no progress, only warnings and errors")
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
    return parser


def walk_options(given: argparse.Namespace) -> WalkOptions:
    """The options of a walk among the parsed words."""
    names = {field.name for field in dataclasses.fields(WalkOptions)}
    return WalkOptions(**{name: value for name, value in vars(given).items() if name in names})


def talk_of(given: argparse.Namespace) -> Talk:
    """What --quiet and --json ask for."""
    from noisewalk.app.console import Talk

    return Talk(Output(given.quiet, given.json))


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from `low` to `high`, for argparse."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return read


def size_of(text: str) -> tuple[int, int]:
    """Reads 512 or 1920x1080 as width and height in pixels."""
    width, by, height = text.partition("x")
    pixels = whole(1, 8192)
    return pixels(width), pixels(height if by else width)


def film(text: str) -> Path:
    """A film or a series of pictures, told by its suffix."""
    if Path(text).suffix not in FILMS:
        raise argparse.ArgumentTypeError(f"'{text}' does not end in {', '.join(FILMS[:-1])} or {FILMS[-1]}")
    return Path(text)


def rate(text: str) -> float:
    """Reads a number above 0 and at most 1."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def positive(text: str) -> float:
    """Reads a number above 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def names_of(text: str) -> tuple[str, ...]:
    """Reads names with commas between them."""
    return tuple(filter(None, text.split(",")))
