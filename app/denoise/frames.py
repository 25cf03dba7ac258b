"""From files to pairs of frames, and back. It reads color and features, and replaces the color when it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from noisewalk.app.denoise.cameras import fit_camera
from noisewalk.app.denoise.layers import Layer, find_roles, layers_of, named_layer
from noisewalk.app.denoise.pfm import read_pfm, read_pfm_header
from noisewalk.app.denoise.sequence import ShotFrame, features_beside
from noisewalk.app.errors import UsageError
from noisewalk.denoiser.features import finite
from noisewalk.denoiser.planes import from_planes, to_planes
from noisewalk.renderer.exr import Exr, ExrHeader, read_exr, read_header
from noisewalk.renderer.frame import Frame, NoisyPair

FEATURES = ("albedo", "normal", "position")


Three = tuple[np.ndarray, np.ndarray, np.ndarray]  # the three channels of a layer, (H, W) each, in the file's type
Window = tuple[slice, slice]  # rows and columns
WHOLE = (slice(None), slice(None))
COLOR = ""  # the layer to denoise, among further ones by name


@dataclass(frozen=True, eq=False)
class Half:
    """The needed layers of one half, in the pixel types of its file. colors: by name, COLOR and further layers."""

    colors: Mapping[str, Three]
    features: Mapping[str, Three]

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


@dataclass(frozen=True, eq=False)
class Loaded:
    """One frame in memory: the file of its first half, which is written again, and the layers of both halves.

    If there is only one half, it is used for both.
    """

    index: int
    picture: Exr
    a: Half
    b: Half

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
        return replace(pair, a=replace(pair.a, position=a), b=replace(pair.b, position=b), camera=camera)

    def part(self, window: Window, layer: str = COLOR) -> NoisyPair:
        """A window, without what the history needs: only the color of whole frames has a history."""
        return NoisyPair(self.a.frame(window, layer), self.b.frame(window, layer), index=self.index)

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

    def read(self, index: int) -> Loaded:
        """Frame `index` of the shot. Raises ExrError if a file is cut short."""
        frame = self.shot[index]
        picture = read_picture(frame.file)
        half = picture if frame.half is None else read_picture(frame.half)
        color_of_half = self.roles.color if frame.half is not None else self.roles.others.get("half", self.roles.color)
        a = self._half(picture, self.roles.color, frame.features)
        b = self._half(half, color_of_half, (frame.half and features_beside(frame.half)) or frame.features)
        return Loaded(index, picture, a, b)

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
                features[name] = _three(picture, self.roles.others[name])
            elif name in files:
                beside = read_picture(files[name])
                features[name] = _three(beside, _triples(beside.channels)[0])
        colors = {name: _three(picture, layer) for name, layer in self._also.items()}
        return Half(colors | {COLOR: _three(picture, color)}, features)

    def _check(self, frame: ShotFrame) -> None:
        wanted = [self.roles.color, *self.roles.others.values(), *self._also.values()]
        for file in filter(None, (frame.file, frame.half)):
            header = header_of(file)
            self._check_size(file, header)
            for layer in wanted:
                if missing := [channel for channel in layer.channels.values() if channel not in header.channels]:
                    raise UsageError(f"{file}: has no channel {missing[0]}, as {self.shot[0].file} has")
        for file in frame.features.values():
            header = header_of(file)
            self._check_size(file, header)
            if not _triples(header.channels):
                raise UsageError(f"{file}: has no layer of three channels")

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


def _triples(channels: Mapping[str, np.ndarray] | Sequence[str]) -> list[Layer]:
    return [layer for layer in layers_of(channels).values() if layer.triple is not None]


def _three(picture: Exr, layer: Layer) -> Three:
    x, y, z = (picture.channels[channel] for channel in layer.three)
    return x, y, z


def _stacked(channels: Three, window: Window) -> torch.Tensor:
    """(h, w, 3) float32."""
    return torch.from_numpy(np.stack([channel[window] for channel in channels], axis=-1).astype(np.float32))


def _replace(picture: Exr, layer: Layer, image: torch.Tensor) -> None:
    pixels = image.numpy()
    if len(set(layer.three)) == 1:  # grey
        pixels = pixels.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    for index, channel in enumerate(layer.three):
        picture.replace(channel, pixels[..., index])
