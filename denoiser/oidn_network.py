"""Intel Open Image Denoise's own network in PyTorch, read at run time from the library in the package pyoidn.

It is not part of this program: its weights (Apache 2.0) are in the library, as tensor archives. What is done before and
after the network is as in `training/` (model.py, color.py), `core/autoexposure.h` and `devices/cpu` (input and output
process) of RenderKit/oidn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from noisewalk.denoiser.features import tone_map
from noisewalk.denoiser.guide import OpenImageDenoiseError, open_image_denoise, require_guide
from noisewalk.denoiser.planes import from_planes, to_planes
from noisewalk.denoiser.tza import archives_in

CHANNELS = 9  # color, albedo, normal
ALIGNMENT = 16  # four poolings
# Layers of the encoder's levels, of the bottom and of the decoder's levels.
BASE = (
    ("enc_conv0", "enc_conv1"),
    ("enc_conv2",),
    ("enc_conv3",),
    ("enc_conv4",),
    ("enc_conv5a", "enc_conv5b"),
    ("dec_conv4a", "dec_conv4b"),
    ("dec_conv3a", "dec_conv3b"),
    ("dec_conv2a", "dec_conv2b"),
    ("dec_conv1a", "dec_conv1b", "dec_conv0"),
)
LARGE = (
    *((f"enc_conv{level}a", f"enc_conv{level}b") for level in (1, 2, 3, 4, 5)),
    *((f"dec_conv{level}a", f"dec_conv{level}b") for level in (4, 3, 2)),
    ("dec_conv1a", "dec_conv1b", "dec_conv1c"),
)
BASE_SIZES = {
    **{"enc_conv0": (32, CHANNELS), "enc_conv1": (32, 32), "enc_conv2": (48, 32), "enc_conv3": (64, 48)},
    **{"enc_conv4": (80, 64), "enc_conv5a": (96, 80), "enc_conv5b": (96, 96)},
    **{"dec_conv4a": (112, 96 + 64), "dec_conv4b": (112, 112), "dec_conv3a": (96, 112 + 48), "dec_conv3b": (96, 96)},
    **{"dec_conv2a": (64, 96 + 32), "dec_conv2b": (64, 64), "dec_conv1a": (64, 64 + CHANNELS), "dec_conv1b": (32, 64)},
    "dec_conv0": (3, 32),
}
LEVELS = 4
SAME = 1e-5  # largest mean difference after T between our network and the library's; with other networks it is 1e-2

KEY = 0.18  # to which autoexposure brings the geometric mean
BIN = 16  # pixels a side, at most, over which autoexposure averages first
DARKEST_BIN = 1e-8
LUMINANCE = (0.212671, 0.715160, 0.072169)
BRIGHTEST = 65504.0  # where the transfer function is 1
# Fit of the PU2 curve, normalised at 100 cd/m^2 (Aydin et al. 2008, "Extending Quality Metrics to Full Luminance Range
# Images"): linear up to Y0, a power up to Y1, a logarithm beyond.
A, B, C, D = 1.41283765e03, 1.64593172e00, 4.31384981e-01, -2.94139609e-03
E, F, G = 1.92653254e-01, 6.26026094e-03, 9.98620152e-01
Y0, Y1, X0, X1 = 1.57945760e-06, 3.22087631e-02, 2.23151711e-03, 3.70974749e-01
PU_OF_BRIGHTEST = E * math.log(BRIGHTEST + F) + G


class OidnUNet(nn.Module):
    """Four poolings, 3x3 convolutions, ReLU: (N, channels, H, W) -> (N, 3, H, W), both sides multiples of 16.

    sizes: output and input channels of each layer, by its name in the archive; those of the base network unless told.
    """

    def __init__(self, sizes: Mapping[str, tuple[int, int]] = BASE_SIZES) -> None:
        super().__init__()
        self.layers = BASE if "enc_conv0" in sizes else LARGE
        for name in (name for level in self.layers for name in level):
            size_out, size_in = sizes[name]
            self.add_module(name, nn.Conv2d(size_in, size_out, kernel_size=3, padding=1))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> OidnUNet:
        """The network of an archive."""
        names = [name for level in (LARGE if is_large(tensors) else BASE) for name in level]
        network = cls(
            {name: (tensors[f"{name}.weight"].shape[0], tensors[f"{name}.weight"].shape[1]) for name in names}
        )
        network.load_state_dict(dict(tensors))
        return network

    def forward(self, image: torch.Tensor, added: Mapping[str, torch.Tensor] = {}) -> torch.Tensor:
        """(N, 3, H, W). added: tensors that are added to the output of layers by name, before the activation."""
        x, skips = image, [image]
        for level in self.layers[:LEVELS]:
            x = functional.max_pool2d(self._activated(x, level, added), 2)
            skips.append(x)
        x = self._activated(x, self.layers[LEVELS], added)
        *decoder, last = self.layers[LEVELS + 1 :]
        for level, skip in zip((*decoder, last[:-1]), reversed(skips[:-1]), strict=True):
            x = torch.cat([functional.interpolate(x, scale_factor=2.0, mode="nearest"), skip.to(x.dtype)], dim=1)
            x = self._activated(x, level, added)
        with torch.autocast(x.device.type, enabled=False):  # its output is shown, and bfloat16 is too coarse for that
            output: torch.Tensor = self.get_submodule(last[-1])(x.float())
        return output

    def _activated(self, x: torch.Tensor, level: tuple[str, ...], added: Mapping[str, torch.Tensor]) -> torch.Tensor:
        for name in level:
            x = self.get_submodule(name)(x)
            x = functional.relu(x + added[name] if name in added else x)
        return x


def is_large(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether these tensors are those of the large network, which has two convolutions at each level."""
    return "enc_conv1a.weight" in tensors


def transfer(radiance: torch.Tensor) -> torch.Tensor:
    """The PU curve, elementwise, of exposed radiance >= 0: 1 at 65504."""
    return _pu(radiance) / PU_OF_BRIGHTEST


def inverse_transfer(value: torch.Tensor) -> torch.Tensor:
    """The exposed radiance whose `transfer` is `value`, elementwise; linear below 0."""
    x = value * PU_OF_BRIGHTEST
    power = ((x.clamp(min=X0) - D) / B).pow(1.0 / C)
    logarithm = ((x.clamp(max=80.0 * E) - G) / E).exp() - F
    return torch.where(x <= X0, x / A, torch.where(x <= X1, power, logarithm))


def _pu(y: torch.Tensor) -> torch.Tensor:
    power = B * y.clamp(min=Y0).pow(C) + D
    return torch.where(y <= Y0, A * y, torch.where(y <= Y1, power, E * (y + F).log() + G))


def exposure(color: torch.Tensor) -> torch.Tensor:
    """(N, 1, 1, 1): 0.18 over the geometric mean of the luminance, averaged over bins of at most 16x16 pixels.

    Dark bins do not count; 1 where all are dark. color: (N, 3, H, W) linear radiance >= 0.
    """
    red, green, blue = (weight * color[:, i : i + 1] for i, weight in enumerate(LUMINANCE))
    luminance = red + green + blue
    # Rounded up without negative numbers, which ONNX divides otherwise.
    rows, columns = ((size + BIN - 1) // BIN for size in color.shape[-2:])
    bins = _bin_means(_bin_means(luminance, rows, -2), columns, -1).flatten(1)
    bright = bins > DARKEST_BIN
    mean = torch.where(bright, bins.clamp(min=DARKEST_BIN).log(), 0.0).sum(dim=1) / bright.sum(dim=1).clamp(min=1)
    return torch.where(bright.any(dim=1), KEY / mean.exp(), 1.0)[:, None, None, None]


def _bin_means(image: torch.Tensor, count: int, dim: int) -> torch.Tensor:
    """Means of `count` bins along a dimension, -2 or -1. Bin i begins at floor(i size / count).

    As a product of matrices: then a recording of it holds for any size.
    """
    size = image.shape[dim]
    bin_of_pixel = ((torch.arange(size, device=image.device) + 1) * count - 1) // size
    share = (bin_of_pixel == torch.arange(count, device=image.device)[:, None]).to(image.dtype)
    share = share / share.sum(dim=1, keepdim=True)
    return share @ image if dim == -2 else image @ share.T


def pad(image: torch.Tensor) -> torch.Tensor:
    """Zeros below and to the right, up to multiples of 16, as the library does it."""
    height, width = image.shape[-2:]
    return functional.pad(image, (0, -width % ALIGNMENT, 0, -height % ALIGNMENT))


def network_image(color: torch.Tensor, albedo: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """(N, 9, H, W): what the network takes. All (N, 3, H, W), the color exposed and finite."""
    return torch.cat([transfer(color), albedo.clamp(0.0, 1.0), normal.clamp(-1.0, 1.0) * 0.5 + 0.5], dim=1)


def denoise(network: OidnUNet, color: torch.Tensor, albedo: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """What `pyoidn.denoise` gives for an HDR picture with features, all (N, 3, H, W), color >= 0 and finite."""
    scale = exposure(color)
    output = network(pad(network_image(color * scale, albedo, normal)))
    return inverse_transfer(output[..., : color.shape[-2], : color.shape[-1]].clamp(min=0.0)) / scale


@cache
def library_tensors(large: bool = False) -> dict[str, torch.Tensor]:
    """The weights of the network for HDR colors with albedo and normal; `large`: that for clean features.

    Archives in the library have no names. The right one gives the same picture as the library, for a picture of noise.
    Raises OpenImageDenoiseError if there is no library, or if none of its networks is the right one.
    """
    require_guide()
    candidates = [
        tensors
        for tensors in archives_in(library_file().read_bytes())
        if _is_complete(tensors) and is_large(tensors) == large
    ]
    # They are in the order of their names, in which the one for HDR and noisy features comes first.
    for tensors in candidates:
        if difference_from_library(OidnUNet.from_tensors(tensors), clean_aux=large) < SAME:
            return tensors
    raise OpenImageDenoiseError(
        f"{library_file()}: none of its {len(candidates)} networks gives what the library gives: another version?"
    )


def library_file() -> Path:
    """The file that holds the weights. Raises OpenImageDenoiseError."""
    import pyoidn

    folder = Path(pyoidn.__file__).parent / "oidn"
    files = sorted(file for file in folder.glob("*/*OpenImageDenoise_core*") if file.is_file())
    if not files:
        raise OpenImageDenoiseError(f"{folder}: no library OpenImageDenoise_core in here")
    return files[-1]


def difference_from_library(network: OidnUNet, clean_aux: bool) -> float:
    """The mean difference after T between what this network and the library give, on noise of an odd size."""
    random = torch.Generator().manual_seed(0)
    color, albedo, normal = torch.rand(3, 37, 51, 3, generator=random)
    color, normal = 1.0 / (color + 0.02), 2.0 * normal - 1.0
    theirs = open_image_denoise(color, albedo, normal, clean_aux)
    with torch.no_grad():
        ours = from_planes(denoise(network, *map(to_planes, (color, albedo, normal))))[0]
    return float((tone_map(ours) - tone_map(theirs)).abs().mean())


def _is_complete(tensors: Mapping[str, torch.Tensor]) -> bool:
    layers = [name for level in (LARGE if is_large(tensors) else BASE) for name in level]
    names = {f"{name}.{part}" for name in layers for part in ("weight", "bias")}
    return set(tensors) == names and tensors[f"{layers[0]}.weight"].shape[1] == CHANNELS
