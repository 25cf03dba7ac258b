"""Which layers of a file are color, albedo, normal, ...: the names that renderers use tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from noisewalk.app.errors import UsageError

# What renderers call a layer, the best first; lower case, a space for _ and -, without the view layer before it.
# Mitsuba's `aov`: names of one's own, R G B for the picture. Cycles, seen in files of Blender 5.3: "Noisy Image" is
# there where it has denoised "Combined" itself; "Denoising Normal" is in camera space, "Normal" in world space. The
# `gbuffer` film of pbrt-v4: Albedo, P, N, Ns. Arnold's AOVs: denoise_albedo, N, P. RenderMan: Ci, albedo, normal,
# backward. Of Cycles' "Vector", X and Y lead to the frame before, Z and W to the next.
NAMES: dict[str, tuple[str, ...]] = {
    "color": ("noisy image", "", "combined", "beauty", "ci", "rgba", "rgb", "color", "image"),
    "half": ("half", "half b", "half2", "color2", "color b", "beauty2", "beauty b", "rgba2"),
    "albedo": ("denoising albedo", "denoise albedo", "albedo", "diffuse albedo", "alb"),
    "normal": ("sh normal", "normal", "ns", "n", "nn", "normals", "denoise normal", "denoising normal", "nrm"),
    "position": ("position", "pos", "p", "pp", "world position"),
    "depth": ("depth", "z", "linear depth", "linearz", "denoising depth", ""),
    "motion": ("vector", "motionvector", "motion vector", "backward", "motion", "mvec"),
}
CHANNELS = {"motion": "two channels", "depth": "one channel"}  # that a layer needs; three for other roles
UNNAMED = "RGB"  # the name for a person of the layer without a name
NONE = "none"
_DENOISED_ALREADY = ("noisy image", "combined")  # the noisy picture, and the picture that the result replaces
_COMPONENTS = ("RGB", "XYZ")
_COMPONENTS_OF_MOTION = ("XY", "RG", "UV")
_COMPONENTS_OF_DEPTH = ("Z", "T", "V", "Y", "R")
_CHANNELS_OF_DEPTH = ("Z", "DEPTH", "ZFILTERED")  # beside the channels of the layer without a name


@dataclass(frozen=True)
class Layer:
    """A layer's channels by component: R G B A, X Y Z W, Y, ..."""

    name: str
    channels: Mapping[str, str] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """The name to show."""
        return self.name or UNNAMED

    def taken_as(self, role: str) -> str:
        """What to show of it for a role: depth may be a channel beside those of the color."""
        channels = self.needed(role)
        return channels[0] if role == "depth" and channels and not self.name else self.called

    @property
    def kind(self) -> str:
        """The name without the view layer, in lower case."""
        return self.name.rpartition(".")[2].lower().replace("_", " ").replace("-", " ")

    @property
    def three(self) -> tuple[str, str, str]:
        """`triple`, for layers that have one."""
        assert self.triple is not None
        return self.triple

    @property
    def triple(self) -> tuple[str, str, str] | None:
        """The channels of its three components, or one grey channel three times; None if it has neither."""
        found = self._components(_COMPONENTS)
        if found is not None:
            return found[0], found[1], found[2]
        grey = self._upper.get("Y") if set(self._upper) <= {"Y", "A"} else None
        return (grey, grey, grey) if grey else None

    def needed(self, role: str) -> tuple[str, ...] | None:
        """The channels that a role takes of it: one for depth, the first two for motion, else `triple`; None if they
        are missing.
        """
        if role == "depth":
            there = (c for c in (_COMPONENTS_OF_DEPTH if self.name else _CHANNELS_OF_DEPTH) if c in self._upper)
            return next(((self._upper[component],) for component in there), None)
        return self._components(_COMPONENTS_OF_MOTION) if role == "motion" else self.triple

    def _components(self, sets: Iterable[str]) -> tuple[str, ...] | None:
        """The channels of the first set of components that it has all of."""
        there = (components for components in sets if set(components) <= self._upper.keys())
        return next((tuple(self._upper[component] for component in components) for components in there), None)

    @property
    def _upper(self) -> dict[str, str]:
        return {component.upper(): channel for component, channel in self.channels.items()}


@dataclass(frozen=True)
class Roles:
    """The layers and their roles. shown: the layer that the denoised picture replaces, mostly `color` itself."""

    color: Layer
    shown: Layer
    others: Mapping[str, Layer] = field(default_factory=dict)

    def __str__(self) -> str:
        into = "" if self.shown == self.color else f" (into {self.shown.called})"
        others = [f"{role}: {one.taken_as(role)}" for role, one in self.others.items()]
        return ", ".join([f"color: {self.color.called}{into}", *others])


def layers_of(channels: Iterable[str]) -> dict[str, Layer]:
    """Layers by name, from the full names of channels: `layer.component`, or the component alone."""
    found: dict[str, dict[str, str]] = {}
    for channel in channels:
        name, _, component = channel.rpartition(".")
        found.setdefault(name, {})[component] = channel
    return {name: Layer(name, components) for name, components in found.items()}


def parse_choice(text: str) -> dict[str, str]:
    """`color=NAME,albedo=NAME` as a dictionary. Raises UsageError."""
    choice = {}
    for part in text.split(","):
        role, equals, name = part.partition("=")
        if not equals or role not in NAMES:
            raise UsageError(f"--layers {part}: needs ROLE=NAME, with a role of {', '.join(NAMES)}")
        choice[role] = name
    return choice


def find_roles(file: str, channels: Sequence[str], choice: Mapping[str, str], views: Sequence[str] = ()) -> Roles:
    """The roles of the layers of a file. choice: names by role that a person gave, "none" for none.

    Raises UsageError if no color is found, if several fit, or if a name is missing.
    """
    layers = layers_of(channels)
    if len(views) > 1 and "color" not in choice:
        raise UsageError(f"{file}: has the views {', '.join(views)}: choose one with --layers color=NAME,...")
    roles = {role: _find(file, role, layers, choice.get(role)) for role in NAMES}
    color = roles.pop("color") or _only_color(file, layers)
    if roles["position"] is not None and "depth" not in choice:
        del roles["depth"]  # positions say more
    others = {role: layer for role, layer in roles.items() if layer is not None and (layer != color or role == "depth")}
    return Roles(color, _shown(color, layers), others)


def named_layer(file: str, layers: Mapping[str, Layer], name: str, role: str = "color") -> Layer:
    """The layer for a role with this name, with or without its view layer. Raises UsageError."""
    wanted = name.lower()
    fitting = [one for one in layers.values() if wanted in (one.called.lower(), one.called.rpartition(".")[2].lower())]
    exact = [one for one in fitting if one.called == name]
    fitting = [one for one in exact or fitting if one.needed(role) is not None]
    if len(fitting) != 1:
        there = ", ".join(sorted(one.called for one in layers.values() if one.needed(role) is not None))
        problem = "several layers are" if fitting else "no layer is"
        raise UsageError(
            f"{file}: {problem} called '{name}'; there are {there or f'none of {CHANNELS[role]} channels'}"
        )
    return fitting[0]


def _find(file: str, role: str, layers: Mapping[str, Layer], given: str | None) -> Layer | None:
    if given is not None:
        return None if given == NONE else named_layer(file, layers, given, role)
    for name in NAMES[role]:
        fitting = [layer for layer in layers.values() if layer.kind == name and layer.needed(role) is not None]
        if len(fitting) > 1:
            both = " and ".join(sorted(layer.called for layer in fitting))
            raise UsageError(f"{file}: {both} could both be {role}: choose with --layers {role}=NAME")
        if fitting:
            return fitting[0]
    return None


def _only_color(file: str, layers: Mapping[str, Layer]) -> Layer:
    colors = [layer for layer in layers.values() if "R" in {component.upper() for component in layer.channels}]
    fitting = [layer for layer in colors if layer.triple and not any(layer.kind in names for names in NAMES.values())]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(sorted(layer.called for layer in layers.values())) or "none"
    raise UsageError(f"{file}: which layer is the color? Choose with --layers color=NAME; there are {there}")


def _shown(color: Layer, layers: Mapping[str, Layer]) -> Layer:
    noisy, denoised = _DENOISED_ALREADY
    if color.kind != noisy:
        return color
    beside = color.name[: len(color.name) - len(noisy)]
    return next((one for one in layers.values() if one.name.startswith(beside) and one.kind == denoised), color)
