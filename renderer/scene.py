"""Opens a scene: bundled name or path of a Mitsuba 3 XML file -> Scene."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noisewalk.renderer.bundled import SceneError, find_scene, scene_name
from noisewalk.renderer.camera_path import CameraPath, load_path
from noisewalk.renderer.frame import Camera

FLYABLE_SENSORS = ("perspective", "thinlens")
SURFACE_INTEGRATORS = ("path", "direct")
INTEGRATORS = (*SURFACE_INTEGRATORS, "volpath", "volpathmis")
CARRIED_SETTINGS = ("max_depth", "rr_depth", "hide_emitters")


@dataclass(frozen=True, eq=False)
class Film:
    """The scene's own film in pixels: whole size, and the crop window that is rendered."""

    size: tuple[int, int]
    crop_offset: tuple[int, int]
    crop_size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Scene:
    """A loaded scene. `mi_scene`, `sensor` and `integrator` are Mitsuba objects of `variant`.

    views:        the views of all sensors that can be flown, by name, each at the size of its own film crop.
    start:        the first of them, that of `sensor`.
    path:         the fly-through that the scene brings as path.json, or None.
    content_hash: of everything that decides the picture but the camera: XML, all files it names, integrator.
    warnings:     what Mitsuba would pass over in silence, one line each.
    """

    name: str
    file: Path
    variant: str
    mi_scene: Any
    sensor: Any
    integrator: Any
    film: Film
    views: dict[str, Camera]
    path: CameraPath | None
    content_hash: str
    warnings: tuple[str, ...]

    @property
    def start(self) -> Camera:
        return next(iter(self.views.values()))


def open_scene(name: str, variant: str, max_depth: int | None = None) -> Scene:
    """Loads a scene for `variant`, which must be current in this thread.

    The scene's own sensor, film crop, integrator and environment stay; only the reconstruction filter becomes `box`
    (lobes would correlate pixels and can be negative) and the sampler `independent`. `max_depth` overrides the
    integrator's. Raises SceneError.
    """
    import mitsuba as mi

    file = find_scene(name)
    config = mi.parser.ParserConfig(variant)
    # Merging shapes renames and reorders them, so that two loads would not be bit-equal.
    config.merge_equivalent = config.merge_meshes = False
    try:
        state = mi.parser.parse_file(config, str(file))
        mi.parser.transform_all(config, state)
    except RuntimeError as error:
        raise SceneError(_one_line(file, error)) from error
    if not state.nodes or state.nodes[0].type != mi.ObjectType.Scene:
        raise SceneError(f"{file}: the top level element is not <scene>")
    flyable = _flyable_sensors(file, state)
    _replace_filter_and_sampler(file, state)
    named_files = _resolve_files(file, state)
    integrator_settings, warnings = _integrator_settings(file, state, max_depth)
    try:
        integrator = mi.load_dict(integrator_settings)
        loaded = mi.parser.instantiate(config, state)
        mi_scene: Any = loaded[0] if isinstance(loaded, list) else loaded
    except RuntimeError as error:
        raise SceneError(_one_line(file, error)) from error
    if not mi_scene.emitters() and not any(n.type == mi.ObjectType.Emitter for n in state.nodes):
        warnings.append(f"{file}: the scene has no emitters: every picture will be black")
    sensors = [mi_scene.sensors()[index] for index in flyable]
    views = [_film_and_camera(sensor) for sensor in sensors]
    if views[0][0].crop_size != views[0][0].size:
        warnings.append(f"{file}: the film is cropped: past frames are not found again, orbits miss their point")
    path_file = file.parent / "path.json"
    return Scene(
        name=scene_name(file),
        file=file,
        variant=variant,
        mi_scene=mi_scene,
        sensor=sensors[0],
        integrator=integrator,
        film=views[0][0],
        views={_sensor_name(s, i): camera for i, (s, (_, camera)) in enumerate(zip(sensors, views, strict=True))},
        path=load_path(path_file) if path_file.is_file() else None,
        content_hash=_content_hash([*(Path(str(f)) for f in state.files), *named_files], integrator_settings),
        warnings=tuple(warnings),
    )


def _one_line(file: Path, error: Exception) -> str:
    """Mitsuba's message without its source positions and line breaks, with the file's name in front."""
    chain: list[BaseException] = [error]
    while nested := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(nested)
    text = re.sub(r"\[[\w]+\.(cpp|h):\d+\]\s*", "", str(chain[-1]))
    text = re.sub(r"\s+", " ", text).strip()
    return text if str(file) in text else f"{file}: {text}"


def _flyable_sensors(file: Path, state: Any) -> list[int]:
    """Indices of the sensors that can be flown, at least one."""
    import mitsuba as mi

    sensors = [n.props for n in state.nodes if n.type == mi.ObjectType.Sensor]
    if not sensors:
        raise SceneError(f"{file}: the scene has no sensor")
    flyable = [index for index, props in enumerate(sensors) if props.plugin_name() in FLYABLE_SENSORS]
    if not flyable:
        plugin = sensors[0].plugin_name()
        raise SceneError(f"{file}: a sensor of type '{plugin}' cannot be flown: {' or '.join(FLYABLE_SENSORS)} can")
    for props in (sensors[index] for index in flyable):
        # Mitsuba checks the horizontal field of view only, and after wrapping it around.
        if "fov" in props and not 0 < float(props["fov"]) < 180:
            raise SceneError(f"{file}: a field of view of {props['fov']:g} degrees is not between 0 and 180")
    return flyable


def _replace_filter_and_sampler(file: Path, state: Any) -> None:
    import mitsuba as mi

    for node in state.nodes:
        if node.type == mi.ObjectType.Film:
            if node.props.plugin_name() != "hdrfilm":
                raise SceneError(f"{file}: a film of type '{node.props.plugin_name()}' is not supported: use hdrfilm")
            for key in list(node.props.keys()):
                # The only child object that a film can have is its filter, whatever its name.
                if node.props.type(key) == mi.Properties.Type.ResolvedReference or key == "sample_border":
                    del node.props[key]
            node.props["rfilter"] = mi.load_dict({"type": "box"})
            node.props["pixel_format"] = "rgb"
        elif node.type == mi.ObjectType.Sampler and node.props.plugin_name() != "independent":
            for key in list(node.props.keys()):
                del node.props[key]
            node.props.set_plugin_name("independent")


def _resolve_files(file: Path, state: Any) -> list[Path]:
    """Makes every file that a plugin names absolute, so that nothing global has to change, and checks it is there."""
    import mitsuba as mi

    resolver: Any = mi.file_resolver()  # type: ignore[operator]
    named = []
    for node in state.nodes:
        if "filename" not in node.props or node.props.type("filename") != mi.Properties.Type.String:
            continue
        text = node.props["filename"]
        beside = file.parent / text
        found = beside if beside.is_file() else Path(str(resolver.resolve(text)))
        if not found.is_file():
            raise SceneError(f"{file}: {node.props.plugin_name()} file not found: {text}")
        node.props["filename"] = str(found.resolve())
        named.append(found.resolve())
    return named


def _integrator_settings(file: Path, state: Any, max_depth: int | None) -> tuple[dict[str, Any], list[str]]:
    """The scene's integrator as a dictionary for `mi.load_dict`, and warnings about what it leaves out.

    A wrapper such as `aov` gives way to the integrator inside it. One that is not made for a moving camera gives way to
    `path`, which takes over the settings that both know.
    """
    import mitsuba as mi

    nodes = [n.props for n in state.nodes if n.type == mi.ObjectType.Integrator]
    usable = [p for p in nodes if p.plugin_name() in INTEGRATORS]
    warnings = []
    if usable:
        references = mi.Properties.Type.ResolvedReference
        kept = {k: usable[0][k] for k in list(usable[0].keys()) if usable[0].type(k) != references}
        settings: dict[str, Any] = {"type": usable[0].plugin_name()} | kept
    else:
        settings = {"type": "path"}
        for props in nodes:
            settings |= {k: props[k] for k in CARRIED_SETTINGS if k in props}
            warnings.append(f"{file}: integrator '{props.plugin_name()}' is replaced by 'path'")
    if max_depth is not None:
        settings["max_depth"] = max_depth
    if settings["type"] in SURFACE_INTEGRATORS and any(n.type == mi.ObjectType.Medium for n in state.nodes):
        warnings.append(f"{file}: integrator '{settings['type']}' ignores the scene's media: use 'volpath' to see them")
    return settings, warnings


def _film_and_camera(sensor: Any) -> tuple[Film, Camera]:
    import mitsuba as mi

    params = mi.traverse(sensor)
    film = Film(
        size=_pair(params["film.size"]),
        crop_offset=_pair(params["film.crop_offset"]),
        crop_size=_pair(params["film.crop_size"]),
    )
    to_world = np.array(params["to_world"].matrix, dtype=np.float64).reshape(4, 4)
    x_fov = math.radians(float(np.array(params["x_fov"]).item()))
    fov_y = math.degrees(2 * math.atan(math.tan(x_fov / 2) * film.size[1] / film.size[0]))
    return film, Camera(to_world, fov_y, *film.crop_size)


def _sensor_name(sensor: Any, index: int) -> str:
    """The sensor's id, where the scene gives one."""
    given = sensor.id()
    return f"camera {index + 1}" if not given or given.startswith("_") or "__" in given else f"{index + 1}: {given}"


def _pair(vector: Any) -> tuple[int, int]:
    return int(vector[0]), int(vector[1])


def _content_hash(files: list[Path], integrator_settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(integrator_settings, sort_keys=True, default=str).encode())
    for file in files:
        with open(file, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
