"""From files to pairs of frames, and back. It reads color and features, and replaces the color when it writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from noisewalk.app.denoise.cameras import fit_camera
from noisewalk.app.denoise.layers import CHANNELS, Layer, find_roles, layers_of, named_layer
from noisewalk.app.denoise.motion import Convention, Step, find_convention
from noisewalk.app.denoise.pfm import read_pfm, read_pfm_header
from noisewalk.app.denoise.sequence import ShotFrame, features_beside
from noisewalk.app.errors import UsageError
from noisewalk.denoiser.features import finite
from noisewalk.denoiser.planes import from_planes, to_planes
from noisewalk.renderer.exr import Exr, ExrHeader, read_exr, read_header
from noisewalk.renderer.frame import Frame, NoisyPair

FEATURES = ("albedo", "normal", "position", "motion")
STEPS = 8  # of the shot, at most, that are read to find out what its motion vectors mean

Planes = tuple[np.ndarray, ...]  # channels of a layer, (H, W) each, in the file's type
Window = tuple[slice, slice]  # rows and columns
WHOLE = (slice(None), slice(None))
COLOR = ""  # the layer to denoise, among further ones by name


@dataclass(frozen=True, eq=False)
class Half:
    """The needed layers of one half, in the pixel types of its file. colors: by name, COLOR and further layers."""

    colors: Mapping[str, Planes]
    features: Mapping[str, Planes]

    def frame(self, window: Window, layer: str) -> Frame:
        """A window as a frame, with this layer as color. Only the color of whole frames has positions."""
        color = mended(_stacked(self.colors[layer], window))
        nothing = torch.zeros_like(color)
        albedo, normal = (
            _stacked(self.features[name], window) if name in self.features else nothing for name in ("albedo", "normal")
        )
        return Frame(color, albedo.nan_to_num(0.0).clamp(0.0, 1.0), normal.nan_to_num(0.0).clamp(-1.0, 1.0))

    @property
    def position(self) -> torch.Tensor | None:
        """(H, W, 3), 0 where it is not finite."""
        return finite(_stacked(self.features["position"], WHOLE)) if "position" in self.features else None

    @property
    def vectors(self) -> torch.Tensor | None:
        """(H, W, 2): motion as the file has it."""
        return _stacked(self.features["motion"], WHOLE) if "motion" in self.features else None


@dataclass(frozen=True, eq=False)
class Loaded:
    """One frame in memory: the file of its first half, which is written again, and the layers of both halves.

    If there is only one half, it is used for both. motion: what its vectors mean, None if they are of no use; follows:
    whether the frame before is the one to which they lead.
    """

    index: int
    picture: Exr
    a: Half
    b: Half
    motion: Convention | None
    follows: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.a.colors[COLOR][0].shape
        return height, width

    def pair(self) -> NoisyPair:
        """The whole frame, with its camera if its positions tell it."""
        a, b = self.a.position, self.b.position
        camera = None if a is None or b is None else fit_camera(((a + b) / 2).numpy())
        pair = self.part(WHOLE)
        a_whole = replace(pair.a, position=a, motion=self._motion(self.a))
        b_whole = replace(pair.b, position=b, motion=self._motion(self.b))
        return replace(pair, a=a_whole, b=b_whole, camera=camera)

    def part(self, window: Window, layer: str = COLOR) -> NoisyPair:
        """A window, without what the history needs: only the color of whole frames has a history."""
        return NoisyPair(self.a.frame(window, layer), self.b.frame(window, layer), index=self.index)

    def _motion(self, half: Half) -> torch.Tensor | None:
        if half.vectors is None or self.motion is None:
            return None
        motion = self.motion.pixels(half.vectors)
        return motion if self.follows else torch.full_like(motion, torch.nan)

    def noisy(self, layer: str = COLOR) -> torch.Tensor:
        """(H, W, 3): the mean of both halves."""
        a, b = (mended(_stacked(half.colors[layer], WHOLE)) for half in (self.a, self.b))
        return (a + b) / 2


class Frames:
    """The frames of a shot. All have the layers and the size of the first; this is checked. Reads one at a time.

    choice: layers by role, named by a person. also: names of further color layers. Raises UsageError or RendererError
    for the first file that does not fit.
    """

    def __init__(self, shot: Sequence[ShotFrame], choice: Mapping[str, str], also: Sequence[str]) -> None:
        self.shot = shot
        first = header_of(shot[0].file)
        self.height, self.width, self._channels = first.height, first.width, len(first.channels)
        views = [str(view) for view in first.attributes.get("multiView", [])]
        self.roles = find_roles(str(shot[0].file), first.channels, choice, views)
        layers = layers_of(first.channels)
        self._also = {name: named_layer(str(shot[0].file), layers, name) for name in also}
        self.has_halves = shot[0].half is not None or "half" in self.roles.others
        self._motion: Convention | None = None
        for frame in shot:
            self._check(frame)

    @property
    def size(self) -> str:
        """Width and height as text."""
        return f"{self.width}x{self.height}"

    @property
    def bytes_in_memory(self) -> int:
        """The most bytes of one frame while it is read: both files, and the picture made of them."""
        return self.width * self.height * 4 * (2 * self._channels + 6)

    @property
    def features(self) -> list[str]:
        """The layers besides color: some of `FEATURES`."""
        return [name for name in FEATURES if name in self.roles.others or name in self.shot[0].features]

    def find_motion(self) -> str:
        """Finds out what the motion vectors mean, so that frames bring motion. Returns it as text, "" if there is none.

        It is one choice for the whole shot, made by albedo and normal alone: no color, which is a target, decides.
        """
        if "motion" not in self.features or len(self.shot) < 2:
            return ""
        if not {"albedo", "normal"} & set(self.features):
            return "motion is left out: without albedo or normal nothing tells whether a point is the same"
        self._motion, seen = find_convention(self._steps())
        if self._motion is None:
            return "motion is left out: its vectors do not lead to the frame before"
        told = f"compared in {seen} of the frames" if seen else "nothing moves that could tell"
        return f"motion: {self._motion} ({told})"

    def _steps(self) -> Iterator[Step]:
        """Some frames that follow directly on the one before, from all over the shot."""
        following = [index for index in range(1, len(self.shot)) if self._follows(index)]
        for index in following[:: -(-len(following) // STEPS) or 1]:
            before, now = self.read(index - 1), self.read(index)
            vectors = [half.vectors for half in (now.a, now.b) if half.vectors is not None]
            yield Step(before.part(WHOLE).middle, now.part(WHOLE).middle, torch.stack(vectors).mean(dim=0))

    def _follows(self, index: int) -> bool:
        """Whether no frame is missing before this one."""
        if index == 0:
            return False
        before, now = self.shot[index - 1].number, self.shot[index].number
        return before is None or now is None or before + 1 == now

    def read(self, index: int) -> Loaded:
        """Frame `index` of the shot. Raises ExrError if a file is cut short."""
        frame = self.shot[index]
        picture = read_picture(frame.file)
        half = picture if frame.half is None else read_picture(frame.half)
        color_of_half = self.roles.color if frame.half is not None else self.roles.others.get("half", self.roles.color)
        a = self._half(picture, self.roles.color, frame.features)
        b = self._half(half, color_of_half, (frame.half and features_beside(frame.half)) or frame.features)
        return Loaded(index, picture, a, b, self._motion, self._follows(index))

    def write(
        self, loaded: Loaded, shown: torch.Tensor, also: Mapping[str, torch.Tensor], file: Path, keep_noisy: bool
    ) -> None:
        """Writes the file again, with denoised layers in place of noisy ones.

        shown, also: (H, W, 3). noisy: also write the mean of both halves, as layer `noisy`. Raises OSError.
        """
        picture, target = loaded.picture, self.roles.shown
        if keep_noisy:
            noisy = loaded.noisy().numpy()
            for index, component in enumerate("RGB"):
                picture.add(target.three[0], f"noisy.{component}", noisy[..., index])
        _replace(picture, target, shown)
        for name, image in also.items():
            _replace(picture, self._also[name], image)
        picture.write(file)

    def _half(self, picture: Exr, color: Layer, files: Mapping[str, Path]) -> Half:
        features = {}
        for name in FEATURES:
            if name in self.roles.others:
                features[name] = _planes(picture, self.roles.others[name].needed(name))
            elif name in files:
                beside = read_picture(files[name])
                features[name] = _planes(beside, _only_layer(beside.channels, name))
        colors = {name: _planes(picture, layer.triple) for name, layer in self._also.items()}
        return Half(colors | {COLOR: _planes(picture, color.triple)}, features)

    def _check(self, frame: ShotFrame) -> None:
        wanted = [self.roles.color, *self.roles.others.values(), *self._also.values()]
        for file in filter(None, (frame.file, frame.half)):
            header = header_of(file)
            self._check_size(file, header)
            for layer in wanted:
                if missing := [channel for channel in layer.channels.values() if channel not in header.channels]:
                    raise UsageError(f"{file}: has no channel {missing[0]}, as {self.shot[0].file} has")
        for role, file in frame.features.items():
            header = header_of(file)
            self._check_size(file, header)
            if _only_layer(header.channels, role) is None:
                raise UsageError(f"{file}: has no layer of {CHANNELS[role]} channels")

    def _check_size(self, file: Path, header: ExrHeader) -> None:
        if (header.width, header.height) != (self.width, self.height):
            found, wanted = f"{header.width}x{header.height}", f"{self.width}x{self.height}"
            raise UsageError(f"{file}: is {found}, but {self.shot[0].file} is {wanted}")


def header_of(file: Path) -> ExrHeader:
    """The header of an EXR or PFM file. Raises ExrError."""
    return read_pfm_header(file) if file.suffix.lower() == ".pfm" else read_header(file)


def read_picture(file: Path) -> Exr:
    """Reads an EXR or PFM file. Raises ExrError."""
    return read_pfm(file) if file.suffix.lower() == ".pfm" else read_exr(file)


def mended(color: torch.Tensor) -> torch.Tensor:
    """The image (H, W, 3). Each pixel that is not finite becomes the mean of the finite pixels in 5x5 around it.

    Half floats end at 65504. Brighter pixels are infinite in such files, and black would be farther from the truth.
    """
    good = torch.isfinite(color).all(dim=-1, keepdim=True)
    if good.all():
        return color
    counted = torch.cat([torch.where(good, color, 0.0), good.float()], dim=-1)
    around = from_planes(functional.avg_pool2d(to_planes(counted), 5, 1, 2))[0]
    return torch.where(good, color, around[..., :3] / around[..., 3:].clamp(min=1e-6))


def _only_layer(channels: Iterable[str], role: str) -> tuple[str, ...] | None:
    """The channels for a role in a file that has nothing else; None if there are too few."""
    return next((needed for one in layers_of(channels).values() if (needed := one.needed(role))), None)


def _planes(picture: Exr, channels: tuple[str, ...] | None) -> Planes:
    return tuple(picture.channels[channel] for channel in channels or ())


def _stacked(channels: Planes, window: Window) -> torch.Tensor:
    """(h, w, C) float32."""
    return torch.from_numpy(np.stack([channel[window] for channel in channels], axis=-1).astype(np.float32))


def _replace(picture: Exr, layer: Layer, image: torch.Tensor) -> None:
    pixels = image.numpy()
    if len(set(layer.three)) == 1:  # grey
        pixels = pixels.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    for index, channel in enumerate(layer.three):
        picture.replace(channel, pixels[..., index])
