"""Pictures to train on and others to test on, and random crops of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from noisewalk.app.console import Talk
from noisewalk.app.errors import UsageError
from noisewalk.app.options import StudyOptions

EXTRA_HINT = "run scripts/setup study"
# Photographs in scikit-image's wheel. The two of the motorcycle show one scene, so both are in the same part.
TO_TRAIN = (
    "coffee.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "rocket.jpg",
    "ihc.png",
    "retina.jpg",
    "hubble_deep_field.jpg",
    "brick.png",
    "grass.png",
    "gravel.png",
    "coins.png",
    "moon.png",
)
TO_TEST = ("astronaut.png", "chelsea.png", "camera.png")
ONE_IN = 5  # of a folder's pictures is for testing
MOST_TESTED = 24  # as many as Kodak has
MOST_BYTES = 4 * 2**30  # of pictures in memory
TESTED_SIDE = 192  # pixels a side of the tested middle of a picture; or two crops, if that is more


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures (C, H, W): uint8, which means 0 to 1, or float32. All are at least as large as the crop."""

    train: Sequence[torch.Tensor]
    test: Sequence[torch.Tensor]
    about: str

    def crops(self, count: int, side: int, generator: torch.Generator) -> torch.Tensor:
        """(count, C, side, side) float32 random windows of random pictures to train on."""
        return torch.stack([self._crop(side, generator) for _ in range(count)])

    def _crop(self, side: int, generator: torch.Generator) -> torch.Tensor:
        def below(limit: int) -> int:
            return int(torch.randint(limit, (), generator=generator))

        picture = self.train[below(len(self.train))]
        top, left = (below(length - side + 1) for length in picture.shape[-2:])
        return to_float(picture[:, top : top + side, left : left + side])


# Gives a study's pictures, from its options and the side of its crops. The last is called where it takes long: what it
# raises ends it.
Load = Callable[[StudyOptions, int, Talk, Callable[[], None]], Pictures]


def to_float(picture: torch.Tensor) -> torch.Tensor:
    """float32, in [0, 1] where it was uint8."""
    return picture.float() / 255.0 if picture.dtype == torch.uint8 else picture


def middle(picture: torch.Tensor, side: int) -> torch.Tensor:
    """The middle of (C, H, W), at most `side` pixels a side."""
    height, width = picture.shape[-2:]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return picture[:, top : top + side, left : left + side]


def photographs(options: StudyOptions, crop: int, talk: Talk, check: Callable[[], None]) -> Pictures:
    """Photographs of `--images`, or else scikit-image's. Raises UsageError if there are too few."""
    if options.images is not None:
        found = read_pictures(image_files(options.images), crop, talk)
        if len(found) < 2:
            raise UsageError(f"{options.images}: {len(found)} pictures of {crop} pixels or more: two are the least")
        return split(found, f"{options.images}: {len(found)} pictures")
    if find_spec("skimage") is None:
        raise UsageError(f"the studies need the package 'skimage': {EXTRA_HINT}, or give pictures with --images DIR")
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    train, test = (read_pictures([folder / name for name in names], crop, talk) for names in (TO_TRAIN, TO_TEST))
    if not train or not test:
        raise UsageError(
            f"the photographs of scikit-image are smaller than a crop of {crop}: give others with --images"
        )
    return Pictures(train, test, f"scikit-image: {len(train)} photographs to train on, {len(test)} to test on")


def split(found: Sequence[torch.Tensor], about: str) -> Pictures:
    """Every fifth is for testing, or fewer if there are many. The others are for training."""
    step = max(min(ONE_IN, len(found)), -(-len(found) // MOST_TESTED))
    test = found[step - 1 :: step]
    train = [picture for index, picture in enumerate(found) if index % step != step - 1]
    return Pictures(train, test, f"{about}, {len(test)} of them to test on")


def image_files(folder: Path) -> list[Path]:
    """The files in a folder and below it with names of pictures, in order. Raises UsageError without a folder."""
    from PIL import Image

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    endings = set(Image.registered_extensions())
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in endings and file.is_file())


def read_pictures(files: Sequence[Path], crop: int, talk: Talk) -> list[torch.Tensor]:
    """Pictures (3, H, W) uint8. Those that cannot be read, or are smaller than the crop, are named and left out.

    Of 16 bits the upper 8 are kept: the noise is larger than the loss. It ends, and says so, when memory is full.
    """
    from PIL import Image

    pictures: list[torch.Tensor] = []
    room = MOST_BYTES
    for file in files:
        try:
            with Image.open(file) as image:
                pixels = _eight_bits(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            talk.warn(f"{file}: left out: cannot be read: {error}")
            continue
        if min(pixels.shape[:2]) < crop:
            talk.warn(f"{file}: left out: {pixels.shape[1]}x{pixels.shape[0]} pixels, smaller than the crop of {crop}")
            continue
        room -= pixels.nbytes
        if room < 0:
            talk.warn(f"{file} and what follows: left out: more than {MOST_BYTES / 2**30:.0f} GiB of pictures")
            break
        pictures.append(torch.from_numpy(pixels.transpose(2, 0, 1).copy()))
    return pictures


def _eight_bits(image: object) -> np.ndarray:
    """(H, W, 3) uint8 of a Pillow image. Pillow itself would clip 16-bit grey at 255."""
    mode = image.mode  # type: ignore[attr-defined]
    if mode.startswith("I"):
        gray = (np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=-1)
    return np.asarray(image.convert("RGB"))  # type: ignore[attr-defined]
