"""From files to pairs of frames, and back. It reads color and features, and replaces the color when it writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from noisewalk.app.denoise.camera_files import header_camera, load_cameras
from noisewalk.app.denoise.depth import find_along_rays
from noisewalk.app.denoise.layers import CHANNELS, Layer, find_roles, layers_of, named_layer
from noisewalk.app.denoise.loaded import COLOR, WHOLE, Half, Loaded, Planes
from noisewalk.app.denoise.motion import Convention, Step, find_convention
from noisewalk.app.denoise.pfm import read_pfm, read_pfm_header
from noisewalk.app.denoise.sequence import ShotFrame, features_beside
from noisewalk.app.errors import UsageError
from noisewalk.renderer.exr import Exr, ExrHeader, read_exr, read_header
from noisewalk.renderer.frame import Camera

FEATURES = ("albedo", "normal", "position", "depth", "motion")
STEPS = 8  # of the shot, at most, that are read to find out what its motion vectors and its depth mean


class Frames:
    """The frames of a shot. All have the layers and the size of the first; this is checked. Reads one at a time.

    choice: layers by role, named by a person. also: names of further color layers. cameras: a file that has them.
    Raises UsageError or RendererError for the first file that does not fit.
    """

    def __init__(
        self, shot: Sequence[ShotFrame], choice: Mapping[str, str], also: Sequence[str], cameras: Path | None = None
    ) -> None:
        self.shot = shot
        first = header_of(shot[0].file)
        self.height, self.width, self._channels = first.height, first.width, len(first.channels)
        views = [str(view) for view in first.attributes.get("multiView", [])]
        self.roles = find_roles(str(shot[0].file), first.channels, choice, views)
        layers = layers_of(first.channels)
        self._also = {name: named_layer(str(shot[0].file), layers, name) for name in also}
        self.has_halves = shot[0].half is not None or "half" in self.roles.others
        self._motion: Convention | None = None
        self._along_rays = False
        self._cameras = None if cameras is None else load_cameras(cameras, shot, self.width, self.height)
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

    def find_conventions(self) -> list[str]:
        """Finds out what motion vectors and depth mean, so that frames bring motion and positions. Returns it as text.

        It is one choice for the whole shot, made by albedo, normal and geometry alone: no color, which is a target,
        decides.
        """
        return [found for found in (self._find_depth(), self._find_motion()) if found]

    def _find_depth(self) -> str:
        if "depth" not in self.features:
            return ""
        self._along_rays, seen = find_along_rays(self._steps())
        if not seen:
            return "depth is left out: it needs cameras (see --cameras), and frames that follow on each other"
        meaning = "along the rays" if self._along_rays else "ahead of the camera"
        return f"depth: {meaning} (compared in {seen} of the frames)"

    def _find_motion(self) -> str:
        if "motion" not in self.features or len(self.shot) < 2:
            return ""
        if not {"albedo", "normal"} & set(self.features):
            return "motion is left out: without albedo or normal nothing tells whether a point is the same"
        self._motion, seen = find_convention(_step(*frames) for frames in self._steps())
        if self._motion is None:
            return "motion is left out: its vectors do not lead to the frame before"
        told = f"compared in {seen} of the frames" if seen else "nothing moves that could tell"
        return f"motion: {self._motion} ({told})"

    def _steps(self) -> Iterator[tuple[Loaded, Loaded]]:
        """Some frames that follow directly on the one before, from all over the shot, each after that one."""
        following = [index for index in range(1, len(self.shot)) if self._follows(index)]
        for index in following[:: -(-len(following) // STEPS) or 1]:
            yield self.read(index - 1), self.read(index)

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
        camera = self._camera(index, picture)
        return Loaded(index, picture, a, b, camera, self._follows(index), self._motion, self._along_rays)

    def _camera(self, index: int, picture: Exr) -> Camera | None:
        """The camera of a frame as somebody has written it down."""
        if self._cameras is not None:
            return self._cameras[index]
        return header_camera(picture.attributes, self.width, self.height)

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
                raise UsageError(f"{file}: has no layer of {CHANNELS.get(role, 'three channels')}")

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


def _step(before: Loaded, now: Loaded) -> Step:
    vectors = [half.vectors for half in (now.a, now.b) if half.vectors is not None]
    return Step(before.part(WHOLE).middle, now.part(WHOLE).middle, torch.stack(vectors).mean(dim=0))


def _only_layer(channels: Iterable[str], role: str) -> tuple[str, ...] | None:
    """The channels for a role in a file that has nothing else; None if there are too few."""
    return next((needed for one in layers_of(channels).values() if (needed := one.needed(role))), None)


def _planes(picture: Exr, channels: tuple[str, ...] | None) -> Planes:
    return tuple(picture.channels[channel] for channel in channels or ())


def _replace(picture: Exr, layer: Layer, image: torch.Tensor) -> None:
    pixels = image.numpy()
    if len(set(layer.three)) == 1:  # grey
        pixels = pixels.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    for index, channel in enumerate(layer.three):
        picture.replace(channel, pixels[..., index])
