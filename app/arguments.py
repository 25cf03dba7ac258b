"""The options that commands share: parsers, checks of single values, and dataclasses of them."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from noisewalk.app.errors import UsageError
from noisewalk.app.options import FILMS, FRAME_SIZE, GUIDES, REFERENCE_SPP, TARGETS, Output, WalkOptions
from noisewalk.denoiser import MODEL_NAMES

if TYPE_CHECKING:
    from noisewalk.app.console import Talk

DEFAULTS = WalkOptions()
Group = argparse._ActionsContainer  # a parser, or one of its groups: argparse has no public name for both
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
    parser = scene_parser(prog, scenes)
    _add_frames(parser.add_argument_group("frames"), choices)
    _add_training(parser.add_argument_group("model and training"), choices)
    _add_references(parser.add_argument_group("references, which only measure"), choices)
    add_machine(parser)
    return parser


def _add_frames(group: Group, choices: Sequence[str]) -> None:
    d = DEFAULTS
    add_path(group)
    if "frames" in choices:
        frames = "length of the walk; default: %(default)s"
        group.add_argument("--frames", type=whole(1, 10**6), default=d.frames, metavar="N", help=frames)
    size = "default: {0}x{0} with a GPU, {1}x{1} without, or as many in the film's aspect".format(*FRAME_SIZE)
    group.add_argument("--width", type=whole(1, 8192), metavar="PIXELS", help=f"of a frame; {size}")
    height = "of a frame; one of the two alone keeps the film's aspect"
    group.add_argument("--height", type=whole(1, 8192), metavar="PIXELS", help=height)
    add_spp(group)
    depth = "longest light path, in segments; default: the scene's"
    group.add_argument("--max-depth", type=whole(1, 10**4), metavar="N", help=depth)
    seed = "same seed, same noise, same network; default: %(default)s"
    group.add_argument("--seed", type=whole(0, 2**31 - 1), default=d.seed, metavar="N", help=seed)


def _add_training(group: Group, choices: Sequence[str]) -> None:
    d = DEFAULTS
    if "model" in choices:
        add_model(group)
    if "weights" in choices:
        group.add_argument("--weights", type=Path, metavar="FILE", help="trained weights to start from")
    if "targets" in choices:
        targets = "what is learned from; clean: a twin also learns from references (figure 8); default: %(default)s"
        group.add_argument("--targets", choices=TARGETS, default=d.targets, help=targets)
    steps = "training steps a frame; default: %(default)s"
    group.add_argument("--iterations", type=whole(0, 10**4), default=d.iterations, metavar="N", help=steps)
    crop = "side of the crop that a step sees, at most the frame; default: %(default)s"
    group.add_argument("--crop", type=whole(1, 8192), default=d.crop, metavar="PIXELS", help=crop)
    learning_rate = "of Adam; default: %(default)s"
    group.add_argument("--learning-rate", type=rate, default=d.learning_rate, metavar="RATE", help=learning_rate)


def _add_references(group: Group, choices: Sequence[str]) -> None:
    spp = "samples per pixel; default: {} with a GPU, {} without".format(*REFERENCE_SPP)
    group.add_argument("--reference-spp", type=whole(2, 10**6), metavar="SPP", help=spp)
    if "reference-every" in choices:
        every = "measure every Nth frame, and the last; default: %(default)s"
        group.add_argument(
            "--reference-every", type=whole(1, 10**6), default=DEFAULTS.reference_every, metavar="N", help=every
        )


def add_spp(group: Group) -> None:
    """Adds the samples per pixel."""
    spp = "samples per pixel of each half; default: %(default)s"
    group.add_argument("--spp", type=whole(1, 4096), default=DEFAULTS.spp, metavar="SPP", help=spp)


def add_model(group: Group) -> None:
    """Adds the choice of model, guide and start."""
    d = DEFAULTS
    model = "adaptive-oidn: Open Image Denoise's own network, trained on; paper: exactly that; default: %(default)s"
    group.add_argument("--model", choices=MODEL_NAMES, default=d.model, help=model)
    guide = "let Open Image Denoise advise the kernel model; auto: where it is installed; default: %(default)s"
    group.add_argument("--guide", choices=GUIDES, default=d.guide, help=guide)
    group.add_argument("--cold", action="store_true", help="start untrained, not from the pretrained weights")


def add_path(group: Group) -> None:
    """Adds the choice of the path to fly."""
    group.add_argument("--path", type=Path, metavar="FILE", help="path.json to fly; default: the scene's own")


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Adds the choice of what renders and what trains."""
    group = parser.add_argument_group("machine")
    device = "where torch trains: auto, cpu, cuda, ...; default: %(default)s"
    group.add_argument("--device", default=DEFAULTS.device, help=device)
    add_renderer(group)


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Adds the choice of other machines."""
    where = "let Dask's scheduler at this address hand the work out, or start N workers here"
    parser.add_argument("--cluster", metavar="ADDRESS|local[:N]", help=where)


def add_renderer(group: Group) -> None:
    """Adds the choice of what renders, and where its cache is."""
    d = DEFAULTS
    variant = "how Mitsuba renders: auto, cuda_ad_rgb, llvm_ad_rgb, scalar_rgb; default: %(default)s"
    group.add_argument("--variant", default=d.variant, help=variant)
    cache = "of references and saved weights; default: %(default)s"
    group.add_argument("--cache-dir", type=Path, default=d.cache_dir, metavar="DIR", help=cache)


def with_talk(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds --quiet and --json. Returns the parser."""
    group = parser.add_argument_group("what is printed")
    group.add_argument("--quiet", action="store_true", help="no notes and no progress, only warnings and errors")
    group.add_argument("--json", action="store_true", help="print the result as one line of JSON")
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
