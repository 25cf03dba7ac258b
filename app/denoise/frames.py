"""From files to pairs of frames and back: reads color and features, writes the picture in the color's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class Loaded:
    """One frame in memory.

    picture: the file of the first half, to be written again.
    pair: both halves; where there is one only, it stands for both.
    also: both halves of further color layers, by the names that a person gave them.
    """

    picture: Exr
    pair: NoisyPair
    also: Mapping[str, tuple[torch.Tensor, torch.Tensor]]


class Frames:
    """The frames of a shot, checked: all have the layers and the size of the first. Reads one at a time.

    choice: layers by role, as a person named them; also: names of further color layers. Raises UsageError or
    RendererError for the first file that does not fit.
    """

    def __init__(self, shot: Sequence[ShotFrame], choice: Mapping[str, str], also: Sequence[str]) -> None:
        self.shot = shot
        first = header_of(shot[0].file)
        self.height, self.width = first.height, first.width
        views = [str(view) for view in first.attributes.get("multiView", [])]
        self.roles = find_roles(str(shot[0].file), first.channels, choice, views)
        layers = layers_of(first.channels)
        self._also = {name: named_layer(str(shot[0].file), layers, name) for name in also}
        self.has_halves = shot[0].half is not None or "half" in self.roles.others
        for frame in shot:
            self._check(frame)

    @property
    def features(self) -> list[str]:
        """What there is beside color: of `FEATURES`."""
        return [name for name in FEATURES if name in self.roles.others or name in self.shot[0].features]

    def read(self, index: int) -> Loaded:
        """Frame `index` of the shot. Raises ExrError where a file is cut short."""
        frame = self.shot[index]
        picture = read_picture(frame.file)
        half = picture if frame.half is None else read_picture(frame.half)
        color_of_half = self.roles.color if frame.half is not None else self.roles.others.get("half", self.roles.color)
        a = self._frame(picture, self.roles.color, frame.features)
        b = self._frame(half, color_of_half, (frame.half and features_beside(frame.half)) or frame.features)
        camera = None if a.position is None else fit_camera(a.position.numpy())
        also = {name: (_color(picture, one), _color(half, one)) for name, one in self._also.items()}
        return Loaded(picture, NoisyPair(a, b, camera, spp=1, index=index), also)

    def write(
        self, loaded: Loaded, shown: torch.Tensor, also: Mapping[str, torch.Tensor], file: Path, keep_noisy: bool
    ) -> None:
        """The file again with denoised layers in place of noisy ones; `noisy` has the mean of both halves then.

        shown, also: (H, W, 3). Raises OSError.
        """
        picture, target = loaded.picture, self.roles.shown
        if keep_noisy:
            noisy = loaded.pair.mean("color").numpy()
            for index, component in enumerate("RGB"):
                picture.add(target.three[0], f"noisy.{component}", noisy[..., index])
        _replace(picture, target, shown)
        for name, image in also.items():
            _replace(picture, self._also[name], image)
        picture.write(file)

    def _frame(self, picture: Exr, color: Layer, files: Mapping[str, Path]) -> Frame:
        layers = self.roles.others
        found = {}
        for name in FEATURES:
            if name in layers:
                found[name] = _image(picture, layers[name])
            elif name in files:
                found[name] = _image(beside := read_picture(files[name]), next(iter(_triples(beside.channels))))
        nothing = np.zeros((self.height, self.width, 3), np.float32)
        albedo = np.nan_to_num(found.get("albedo", nothing), nan=0.0).clip(0.0, 1.0)
        normal = np.nan_to_num(found.get("normal", nothing), nan=0.0).clip(-1.0, 1.0)
        position = finite(torch.from_numpy(found["position"])) if "position" in found else None
        return Frame(_color(picture, color), torch.from_numpy(albedo), torch.from_numpy(normal), position)

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
    """Of an EXR or PFM file. Raises ExrError."""
    return read_pfm_header(file) if file.suffix.lower() == ".pfm" else read_header(file)


def read_picture(file: Path) -> Exr:
    """An EXR or PFM file. Raises ExrError."""
    return read_pfm(file) if file.suffix.lower() == ".pfm" else read_exr(file)


def mended(color: torch.Tensor) -> torch.Tensor:
    """The image (H, W, 3) with each pixel that is not finite as the mean of those that are, of 5x5 around it.

    Half floats end at 65504: brighter pixels are infinite in such files, and black would be farther from the truth.
    """
    good = torch.isfinite(color).all(dim=-1, keepdim=True)
    if good.all():
        return color
    counted = torch.cat([torch.where(good, color, 0.0), good.float()], dim=-1)
    around = from_planes(functional.avg_pool2d(to_planes(counted), 5, 1, 2))[0]
    return torch.where(good, color, around[..., :3] / around[..., 3:].clamp(min=1e-6))


def _triples(channels: Mapping[str, np.ndarray] | Sequence[str]) -> list[Layer]:
    return [layer for layer in layers_of(channels).values() if layer.triple is not None]


def _image(picture: Exr, layer: Layer) -> np.ndarray:
    """(H, W, 3) float32."""
    return np.stack([picture.channels[channel] for channel in layer.three], axis=-1).astype(np.float32)


def _color(picture: Exr, layer: Layer) -> torch.Tensor:
    return mended(torch.from_numpy(_image(picture, layer)))


def _replace(picture: Exr, layer: Layer, image: torch.Tensor) -> None:
    pixels = image.numpy()
    if len(set(layer.three)) == 1:  # grey
        pixels = pixels.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    for index, channel in enumerate(layer.three):
        picture.replace(channel, pixels[..., index])
