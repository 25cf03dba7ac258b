"""Which files a scene depends on, and Mitsuba's messages about it as single lines."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noisewalk.renderer.bundled import SceneError

# Problems of public scenes for Mitsuba 0.6: a part of Mitsuba's message, and what to change.
_HINTS = {
    r'Invalid filter type "(trilinear|ewa)"': 'write "bilinear"',
    r"XML element: <srgb>": '<srgb> is of Mitsuba 0.6: write <rgb value="R G B"/> with linear numbers in [0, 1]',
    r"XML element: <blackbody>": 'write <spectrum type="blackbody"> with a float "temperature"',
    r'Plugin "(sun|sky)" not found': 'write "sunsky", with a "sun_scale" or "sky_scale" of 0 to leave one out',
    r'invalid distribution "(phong|as)"': 'write "beckmann" or "ggx"',
    r"sun_radius_scale": 'write "sun_aperture" in degrees: 0.5358 times the scale',
}
_UNREFERENCED = re.compile(
    r'While loading (?P<place>.*?): Found \d+ unreferenced \w+ in (?P<kind>\w+) plugin of type "(?P<plugin>.*?)":'
    r"(?P<names>(\n  - .*)+)"
)


def one_line(file: Path, error: Exception) -> str:
    """Mitsuba's message in one line: the file's name, the message without source positions, and a hint."""
    text = re.sub(r"\[[\w]+\.(cpp|h):\d+\]\s*", "", _message(innermost(error)))
    text = re.sub(r"\s+", " ", text).strip()
    return (text if str(file) in text else f"{file}: {text}") + _hint(text)


def _message(error: BaseException) -> str:
    # Mitsuba quotes damaged files as they are. Its message is then no UTF-8, and Python raises this instead of it.
    return error.object.decode("utf-8", "replace") if isinstance(error, UnicodeDecodeError) else str(error)


def innermost(error: BaseException) -> BaseException:
    """The first error. Mitsuba and Dr.Jit wrap errors in others that say less."""
    while nested := error.__cause__ or error.__context__:
        error = nested
    return error


def _hint(text: str) -> str:
    if color := re.search(r'value "#([0-9a-fA-F]{6})"', text):
        linear = " ".join(f"{_linear(int(color[1][i : i + 2], 16) / 255):.4g}" for i in (0, 2, 4))
        return f': Mitsuba 3 takes no hex colors: write <rgb value="{linear}"/>'
    return next((f": {hint}" for pattern, hint in _HINTS.items() if re.search(pattern, text)), "")


def _linear(value: float) -> float:
    """From sRGB's curve to linear, both in [0, 1] (IEC 61966-2-1)."""
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


@contextmanager
def found_as_mitsuba_does(file: Path) -> Iterator[Any]:
    """Within this context, Mitsuba's file resolver looks into the scene's folder first, as in `mi.load_file`."""
    import mitsuba as mi

    untyped: Any = mi  # its stubs say that these are no functions
    before = untyped.file_resolver()
    resolver = untyped.FileResolver(before)
    resolver.prepend(str(file.absolute().parent))
    untyped.set_file_resolver(resolver)
    try:
        yield resolver
    finally:
        untyped.set_file_resolver(before)


@contextmanager
def warnings_heard() -> Iterator[list[str]]:
    """Collects Mitsuba's warnings, which come from several threads. Nothing is written to the terminal."""
    import mitsuba as mi

    heard: list[str] = []

    class Listener(mi.Appender):
        def append(self, level: Any, text: str) -> None:
            heard.append(text)

        def log_progress(self, *progress: Any) -> None:
            pass

    untyped: Any = mi
    logger = untyped.logger()
    level, appenders = logger.log_level(), [logger.appender(index) for index in range(logger.appender_count())]
    logger.clear_appenders()
    logger.add_appender(Listener())
    logger.set_log_level(mi.LogLevel.Warn)
    try:
        yield heard
    finally:
        logger.set_log_level(level)
        logger.clear_appenders()
        for appender in appenders:
            logger.add_appender(appender)


def unreferenced_properties(heard: list[str]) -> list[str]:
    """One line for each property that a plugin does not know, from what `warnings_heard` collected."""
    places: dict[tuple[str, ...], list[str]] = {}
    for match in filter(None, map(_UNREFERENCED.search, heard)):
        for name in re.findall(r'\n  - .*?"(.*?)"', match["names"]):
            places.setdefault((match["kind"], match["plugin"], name), []).append(match["place"])
    lines = []
    for (kind, plugin, name), found in places.items():
        often = f" (and {len(found) - 1} times more)" if len(found) > 1 else ""
        lines.append(f"{min(found)}: {kind} '{plugin}' does not know '{name}': left out{often}{_hint(name)}")
    return lines


def named_files(file: Path, state: Any, resolver: Any) -> list[Path]:
    """All files that the plugins of a parsed scene read. Raises SceneError if one is missing.

    No other property is read, because properties that are read count as known to the plugin.
    """
    import mitsuba as mi

    found = []
    for props in (node.props for node in state.nodes):
        texts = [key for key in list(props.keys()) if props.type(key) == mi.Properties.Type.String]
        for key in (key for key in texts if "filename" in key):
            path = Path(str(resolver.resolve(props[key])))
            if not path.is_file():
                raise SceneError(f"{file}: {props.plugin_name()} file not found: {props[key]}")
            found.append(path)
        if "material" in texts:  # of a conductor: its spectra
            measured = [str(resolver.resolve(f"data/ior/{props['material']}.{part}.spd")) for part in ("eta", "k")]
            found += [path for path in map(Path, measured) if path.is_file()]
    return found


def content_hash(state: Any, files: Iterable[Path], integrator_settings: dict[str, Any]) -> str:
    """The hash of all `files`, of spectra in files that the XML names, and of the integrator."""
    import mitsuba as mi

    kinds: Any = mi.Properties.Type
    digest = hashlib.sha256(json.dumps(integrator_settings, sort_keys=True, default=str).encode())
    for file in files:
        with open(file, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    for node in state.nodes:
        for key in list(node.props.keys()):
            if node.props.type(key) == kinds.Spectrum:
                spectrum = node.props[key]
                digest.update(repr((list(spectrum.wavelengths), list(spectrum.values))).encode())
    return digest.hexdigest()
