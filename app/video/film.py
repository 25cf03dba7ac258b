"""The pictures of a flight: their captions and files, and the film that is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from noisewalk.app.session import Result
from noisewalk.denoiser.features import finite, tone_map
from noisewalk.renderer import exr
from noisewalk.renderer.files import written_aside

NAMES = {"noisy": "noisy", "oidn": "Open Image Denoise"}
QUALITY = {"crf": "16", "preset": "medium"}  # of H.264; the difference is hardly visible
SMALLEST_CAPTIONED = 96  # pixels; a caption does not fit on a narrower picture


def picture(result: Result, split: str | None) -> Image.Image:
    """The denoised frame, tone mapped, with a caption. split: what is in its right half."""
    pixels = _pixels(result.shown)
    if split is not None:
        middle = pixels.shape[1] // 2
        pixels[:, middle:] = _pixels(_other(result, split))[:, middle:]
        pixels[:, middle] = 255
    image = Image.fromarray(pixels)
    if image.width >= SMALLEST_CAPTIONED:
        _caption(image, result, split)
    return image


def write_layers(file: Path, result: Result) -> None:
    """The frame's linear layers as EXR. Raises OSError."""
    features = {"albedo": finite(result.pair.mean("albedo")), "sh_normal": finite(result.pair.mean("normal"))}
    layers = {"": result.shown, "noisy": result.noisy} | features
    exr.write_layers(file, {name: layer.cpu().numpy() for name, layer in layers.items()})


def write_film(file: Path, pictures: Sequence[Path], fps: float) -> None:
    """Writes pictures of one size as H.264 in MP4. An odd row or column is left out, as the format needs."""
    width, height = Image.open(pictures[0]).size
    with written_aside(file) as temporary, av.open(str(temporary), "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=QUALITY)
        stream.width, stream.height, stream.pix_fmt = max(2, width - width % 2), max(2, height - height % 2), "yuv420p"
        for frame in pictures:
            with Image.open(frame) as image:
                cut = image.convert("RGB").crop((0, 0, stream.width, stream.height))
            film.mux(stream.encode(av.VideoFrame.from_image(cut)))
        film.mux(stream.encode(None))


def _other(result: Result, split: str) -> torch.Tensor:
    return result.noisy if split == "noisy" else result.by_open_image_denoise()


def _pixels(radiance: torch.Tensor) -> np.ndarray:
    return (tone_map(finite(radiance)).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy().copy()


def _caption(image: Image.Image, result: Result, split: str | None) -> None:
    """Writes frame and dB into the lower left corner, and the name of the right half into the lower right one."""
    font = ImageFont.load_default(size=max(10, min(22, image.width // 32)))
    measured, estimate = result.measurement, result.estimate
    decibels = f"{measured.psnr_shown:.1f} dB" if measured else f"{estimate} (estimate)"
    texts = [(f"{result.pair.index}  {decibels}", 0.0)]
    if split is not None:
        known = f"  {measured.psnr_noisy:.1f} dB" if measured and split == "noisy" else ""
        texts.append((NAMES[split] + known, 1.0))
    draw = ImageDraw.Draw(image, "RGBA")
    for text, side in texts:
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        x, y = side * (image.width - right - 8) + 4, image.height - bottom - 6
        draw.rectangle((x + left - 4, y + top - 3, x + right + 4, y + bottom + 3), fill=(0, 0, 0, 140))
        draw.text((x, y), text, font=font, fill="white")
