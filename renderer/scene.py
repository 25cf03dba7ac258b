"""Opens a scene: bundled name or path of a Mitsuba 3 XML file -> Scene."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noisewalk.renderer.alone import alone, free_alone
from noisewalk.renderer.bundled import SceneError, find_scene, scene_name
from noisewalk.renderer.camera_path import CameraPath, load_path
from noisewalk.renderer.damaged import refuse_damaged
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.mitsuba_files import (
    content_hash,
    found_as_mitsuba_does,
    named_files,
    one_line,
    unreferenced_properties,
    warnings_heard,
)

FLYABLE_SENSORS = ("perspective", "thinlens")
SURFACE_INTEGRATORS = ("path", "direct")
INTEGRATORS = (*SURFACE_INTEGRATORS, "volpath", "volpathmis")
CARRIED_SETTINGS = ("max_depth", "rr_depth", "hide_emitters")


@dataclass(frozen=True, eq=False)
class Scene:
    """A loaded scene. `mi_scene`, `sensor` and `integrator` are Mitsuba objects of `variant`.

    views:        the views of all sensors that can be flown, by name. A film's crop is the picture: its size and
                  principal point are those of the crop window.
    start:        the first of them, that of `sensor`.
    path:         the fly-through that the scene brings as path.json, or None.
    files:        the XML and all that it includes and names.
    content_hash: of everything that decides the picture, except the camera: those files and the integrator.
    warnings:     what Mitsuba does not say, one line each.
    """

    name: str
    file: Path
    variant: str
    mi_scene: Any
    sensor: Any
    integrator: Any
    views: dict[str, Camera]
    path: CameraPath | None
    files: tuple[Path, ...]
    content_hash: str
    warnings: tuple[str, ...]

    @property
    def start(self) -> Camera:
        """The view of the first sensor that can be flown."""
        return next(iter(self.views.values()))


def open_scene(name: str, variant: str, max_depth: int | None = None) -> Scene:
    """Loads a scene for `variant`, which must be current in this thread.

    The scene's own sensor, film crop, integrator and environment stay. The reconstruction filter becomes `box`, because
    lobes correlate pixels and can be negative, and the sampler becomes `independent`. max_depth: replaces the
    integrator's. Raises SceneError.
    """
    import mitsuba as mi

    file = find_scene(name)
    config = mi.parser.ParserConfig(variant)
    # Merging renames and reorders shapes. Two loads would not be equal bit by bit.
    config.merge_equivalent = config.merge_meshes = False
    config.unused_properties = mi.LogLevel.Warn
    try:
        with alone(), found_as_mitsuba_does(file) as resolver, warnings_heard() as heard:
            state = mi.parser.parse_file(config, str(file))
            mi.parser.transform_all(config, state)
            if not state.nodes or state.nodes[0].type != mi.ObjectType.Scene:
                raise SceneError(f"{file}: the top level element is not <scene>")
            flyable = _flyable_sensors(file, state)
            _replace_filter_and_sampler(file, state)
            files = (*(Path(str(f)) for f in state.files), *named_files(file, state, resolver))
            for named in dict.fromkeys(files):
                refuse_damaged(file, named)
            mi_scene = _first(mi.parser.instantiate(config, state))
            # Last, because properties that are read here count as known to the integrator.
            integrator_settings, warnings = _integrator_settings(file, state, max_depth)
            integrator = _integrator(variant, integrator_settings)
    except (RuntimeError, UnicodeDecodeError) as error:
        raise SceneError(one_line(file, error)) from error
    warnings += unreferenced_properties(heard)
    if not mi_scene.emitters() and not any(n.type == mi.ObjectType.Emitter for n in state.nodes):
        warnings.append(f"{file}: the scene has no emitters: every picture will be black")
    sensors = [mi_scene.sensors()[index] for index in flyable]
    views = {_sensor_name(sensor, index): _camera(sensor) for index, sensor in enumerate(sensors)}
    start = next(iter(views.values()))
    path_file = file.parent / "path.json"
    scene = Scene(
        name=scene_name(file),
        file=file,
        variant=variant,
        mi_scene=mi_scene,
        sensor=sensors[0],
        integrator=integrator,
        views=views,
        path=load_path(path_file, start.principal_point) if path_file.is_file() else None,
        files=files,
        content_hash=content_hash(state, files, integrator_settings),
        warnings=tuple(warnings),
    )
    free_alone(scene, (mi_scene, sensors, integrator))
    return scene


def _integrator(variant: str, settings: dict[str, Any]) -> Any:
    import mitsuba as mi

    config = mi.parser.ParserConfig(variant)
    config.unused_properties = mi.LogLevel.Debug  # the scene's own has warned about them
    return _first(mi.parser.instantiate(config, mi.parser.parse_dict(config, settings)))


def _first(loaded: Any) -> Any:
    return loaded[0] if isinstance(loaded, list) else loaded


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
        # Mitsuba checks only the horizontal field of view, and wraps it around before.
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
                # A film has at most one child object, its filter. It can have any name.
                if node.props.type(key) == mi.Properties.Type.ResolvedReference or key == "sample_border":
                    del node.props[key]
            node.props["rfilter"] = mi.load_dict({"type": "box"})
            node.props["pixel_format"] = "rgb"
        elif node.type == mi.ObjectType.Sampler and node.props.plugin_name() != "independent":
            for key in list(node.props.keys()):
                del node.props[key]
            node.props.set_plugin_name("independent")


def _integrator_settings(file: Path, state: Any, max_depth: int | None) -> tuple[dict[str, Any], list[str]]:
    """The scene's integrator as a dictionary for `mi.load_dict`, and warnings about what it leaves out.

    The integrator inside a wrapper such as `aov` is taken. One that is not made for a moving camera becomes `path`,
    with the settings that both know.
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
    # These do not change what is seen, only which spp are possible, and the random numbers of the scalar variant.
    settings = {key: value for key, value in settings.items() if key not in ("samples_per_pass", "block_size")}
    if max_depth is not None:
        settings["max_depth"] = max_depth
    if settings["type"] in SURFACE_INTEGRATORS and any(n.type == mi.ObjectType.Medium for n in state.nodes):
        warnings.append(f"{file}: integrator '{settings['type']}' ignores the scene's media: use 'volpath' to see them")
    return settings, warnings


def _camera(sensor: Any) -> Camera:
    """The sensor's view of its film's crop window. Mitsuba counts the principal point's offset in film sizes."""
    import mitsuba as mi

    params = mi.traverse(sensor)
    film, size, corner = (np.array(params[f"film.{key}"], float) for key in ("size", "crop_size", "crop_offset"))
    axes = [f"principal_point_offset_{axis}" for axis in "xy"]
    offset = np.array([_number(params[key]) if key in params else 0.0 for key in axes])
    centre = (film * (0.5 - offset) - corner) / size
    to_world = np.array(params["to_world"].matrix, dtype=np.float64).reshape(4, 4)
    width = math.tan(math.radians(_number(params["x_fov"])) / 2)
    fov_y = math.degrees(2 * math.atan(width * size[1] / film[0]))
    return Camera(to_world, fov_y, int(size[0]), int(size[1]), (float(centre[0]), float(centre[1])))


def _sensor_name(sensor: Any, index: int) -> str:
    """The sensor's id, if the scene gives one."""
    given = sensor.id()
    return f"camera {index + 1}" if not given or given.startswith("_") or "__" in given else f"{index + 1}: {given}"


def _number(value: Any) -> float:
    return float(np.array(value).item())
