"""Shows layers on the screen: textures, and one shader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import moderngl
import numpy as np

from noisewalk.app.flying.messages import Picture
from noisewalk.app.flying.view import BACKGROUND, TONES, DisplaySettings, colors
from noisewalk.app.upload import CudaInterop, try_interop, write_texture

MIN_ZOOM, MAX_ZOOM = 0.25, 64.0
NEAREST_FROM = 3.0  # screen pixels for each pixel of the picture, from which on single pixels are shown
_VERTEX = """
#version 330
out vec2 place;
void main() {
    place = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2);
    gl_Position = vec4(place * 2.0 - 1.0, 0.0, 1.0);
}
"""
_FRAGMENT = """
#version 330
in vec2 place;
out vec4 pixel;
uniform sampler2D left_image, right_image, left_reference, right_reference, colormap;
uniform int left_kind, right_kind;   // 0 radiance, 1 albedo, 2 normal, 3 error, 4 nothing there, 5 estimated error
uniform int tone;                    // 0 the paper's T, 1 sRGB, 2 ACES-like
uniform float exposure, split, error_scale;
uniform vec4 window;                 // offset and size of what is seen, in the picture's [0, 1]
uniform vec3 background;
uniform mat3 warp;
uniform sampler2D left_around, right_around;
uniform bool left_filled, right_filled;
uniform mat3 warp_around;

vec3 paper(vec3 v) { return pow(v / (1.0 + v), vec3(1.0 / 2.2)); }

vec3 srgb(vec3 v) {
    v = clamp(v, 0.0, 1.0);
    return mix(12.92 * v, 1.055 * pow(v, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, v));
}

// Narkowicz 2015, ACES filmic tone mapping curve.
vec3 aces(vec3 v) { return srgb(v * (2.51 * v + 0.03) / (v * (2.43 * v + 0.59) + 0.14)); }

vec3 heat(float error) {
    return texture(colormap, vec2(clamp(error / error_scale, 0.002, 0.998), 0.5)).rgb;
}

vec3 shown(int kind, sampler2D image, sampler2D reference, vec2 at) {
    vec3 value = texture(image, at).rgb;
    if (kind == 1) return srgb(value);
    if (kind == 2) return value * 0.5 + 0.5;
    if (kind == 3) {
        vec3 error = abs(paper(max(value, 0.0)) - paper(max(texture(reference, at).rgb, 0.0)));
        return heat(dot(error, vec3(1.0 / 3.0)));
    }
    if (kind == 4) return background * 1.6;
    if (kind == 5) return heat(value.r);
    value = max(value, 0.0) * exposure;
    return tone == 0 ? paper(value) : tone == 1 ? srgb(value) : aces(value);
}

bool inside(vec2 at) { return all(greaterThanEqual(at, vec2(0.0))) && all(lessThanEqual(at, vec2(1.0))); }

void main() {
    vec2 here = window.xy + vec2(place.x, 1.0 - place.y) * window.zw;
    vec3 found = warp * vec3(here, 1.0);
    vec3 wide = warp_around * vec3(here, 1.0);
    vec2 at = found.xy / max(found.z, 1e-6), far = wide.xy / max(wide.z, 1e-6);
    // What an older picture does not show is filled from the wide one, or else from its border.
    bool filled = (found.z <= 0.0 || !inside(at)) && wide.z > 0.0 && inside(far);
    bool at_left = place.x < split;
    at = clamp(at, 0.0, 1.0);
    if (!inside(here)) pixel = vec4(background, 1.0);
    else if (filled && at_left && left_filled)
        pixel = vec4(shown(left_kind, left_around, left_reference, far), 1.0);
    else if (filled && !at_left && right_filled)
        pixel = vec4(shown(right_kind, right_around, right_reference, far), 1.0);
    else if (found.z <= 0.0) pixel = vec4(background, 1.0);
    else if (at_left) pixel = vec4(shown(left_kind, left_image, left_reference, at), 1.0);
    else pixel = vec4(shown(right_kind, right_image, right_reference, at), 1.0);
}
"""
_KINDS = {"albedo": 1, "normal": 2, "error": 3, "estimated_error": 5}


@dataclass(frozen=True)
class Area:
    """Where the picture is drawn: a rectangle of the window, from its top left, in any unit."""

    x: float
    y: float
    width: float
    height: float

    def scale(self, view: DisplaySettings, size: tuple[int, int]) -> float:
        """Units of the area for one pixel of the picture. size: its width and height in pixels."""
        return view.zoom * min(self.width / size[0], self.height / size[1])

    def window(self, view: DisplaySettings, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The part of the picture that the area shows: offset and size, in [0, 1] of the picture."""
        scale = self.scale(view, size)
        width, height = self.width / (scale * size[0]), self.height / (scale * size[1])
        return view.center[0] - width / 2, view.center[1] - height / 2, width, height

    def to_picture(self, view: DisplaySettings, size: tuple[int, int], x: float, y: float) -> tuple[float, float]:
        """The place under a point of the window, in [0, 1] of the picture; outside [0, 1] there is no picture."""
        left, top, width, height = self.window(view, size)
        return left + (x - self.x) / self.width * width, top + (y - self.y) / self.height * height

    def zoom_at(self, view: DisplaySettings, size: tuple[int, int], x: float, y: float, factor: float) -> None:
        """Zooms. The place under the point stays there."""
        u, v = self.to_picture(view, size, x, y)
        view.zoom = min(max(view.zoom * factor, MIN_ZOOM), MAX_ZOOM)
        after_u, after_v = self.to_picture(view, size, x, y)
        view.center = (view.center[0] + u - after_u, view.center[1] + v - after_v)


class Display:
    """Draws pictures with moderngl. A layer goes to the GPU when it is first shown, once for each picture."""

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self._program = context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self._triangle = context.vertex_array(self._program, [])
        self._textures: dict[str, _Layer] = {}
        ramp = colors(256).astype(np.uint8)
        self._colormap = context.texture((256, 1), 3, ramp.tobytes(), alignment=1)
        self._nothing = context.texture((1, 1), 3, bytes(12), dtype="f4")
        self.picture: Picture | None = None
        self._interop: CudaInterop | None = None
        self._interop_tried = False

    @property
    def upload(self) -> str:
        """How pictures reach the textures: `cuda` stays on the GPU, `plain` goes through the CPU."""
        return "cuda" if self._interop else "plain"

    def draw(
        self,
        target: moderngl.Framebuffer,
        height: int,
        area: Area,
        picture: Picture | None,
        view: DisplaySettings,
        size: tuple[int, int],
        warp: np.ndarray = np.eye(3),
        around: tuple[Picture, np.ndarray] | None = None,
    ) -> None:
        """Draws into `area` of the target, in its pixels. height: of the whole target.

        size: of a full frame; a preview is stretched to it. warp: (3, 3), homogeneous, from the place on the screen's
        picture to the place in `picture`. around: another picture with its own warp, for places outside of `picture`.
        """
        self.picture = picture
        target.use()
        bottom = round(height - area.y - area.height)
        target.viewport = (round(area.x), bottom, round(area.width), round(area.height))
        single = picture is not None and not picture.preview and not view.smooth
        magnified = single and area.scale(view, size) >= NEAREST_FROM
        right = view.right if view.split_on else view.left
        for unit, (side, mode) in enumerate((("left", view.left), ("right", right))):
            kind = self._kind(mode)
            self._program[f"{side}_kind"] = kind
            self._bind(f"{side}_image", 2 * unit, "denoised" if mode == "error" else mode, kind, magnified)
            self._fill(side, 5 + unit, mode, kind, around)
            self._bind(f"{side}_reference", 2 * unit + 1, "reference", kind if kind == 3 else 4, magnified)
        self._colormap.use(4)
        self._program["colormap"] = 4
        self._program["tone"] = list(TONES).index(view.tone)
        self._program["exposure"] = 2.0**view.exposure
        self._program["split"] = view.split if view.split_on else 2.0
        self._program["error_scale"] = view.error_scale
        self._program["window"] = area.window(view, size)
        self._program["warp"] = warp.T.ravel().tolist()  # column by column
        self._program["warp_around"] = (np.eye(3) if around is None else around[1]).T.ravel().tolist()
        self._program["background"] = BACKGROUND
        self._context.disable(moderngl.BLEND | moderngl.CULL_FACE | moderngl.DEPTH_TEST)
        self._triangle.render(moderngl.TRIANGLES, vertices=3)

    def image(self, picture: Picture, view: DisplaySettings) -> np.ndarray:
        """The whole picture as it is shown, at its own size: (H, W, 3) uint8, top row first."""
        height, width = picture.layers["denoised"].shape[:2]
        target = self._context.simple_framebuffer((width, height), components=3)
        whole = DisplaySettings(**{**vars(view), "zoom": 1.0, "center": (0.5, 0.5)})
        try:
            self.draw(target, height, Area(0, 0, width, height), picture, whole, (width, height))
            rows = np.frombuffer(target.read(components=3, alignment=1), dtype=np.uint8)
            return rows.reshape(height, width, 3)[::-1].copy()
        finally:
            for attachment in (*target.color_attachments, target.depth_attachment):
                attachment.release()
            target.release()

    def _kind(self, mode: str) -> int:
        layers = self.picture.layers if self.picture else {}
        needed = ("denoised", "reference") if mode == "error" else (mode,)
        return _KINDS.get(mode, 0) if all(name in layers for name in needed) else 4

    def _bind(self, uniform: str, unit: int, layer: str, kind: int, magnified: bool) -> None:
        texture = self._nothing
        if kind != 4 and self.picture is not None:
            held = self._textures.setdefault(layer, _Layer(self._context))
            image = self.picture.layers[layer]
            texture = held.show(self.picture.number, image, self._interop_for(image))
            texture.filter = (moderngl.LINEAR, moderngl.NEAREST if magnified else moderngl.LINEAR)
        texture.use(unit)
        self._program[uniform] = unit

    def _fill(self, side: str, unit: int, mode: str, kind: int, around: tuple[Picture, np.ndarray] | None) -> None:
        """Binds the layer of the wide picture that goes with this mode, if there is one. Errors have none."""
        layer = "denoised" if mode == "oidn" else mode
        there = around is not None and kind < 3 and layer in around[0].layers
        texture = self._nothing
        if there and around is not None:
            image = around[0].layers[layer]
            held = self._textures.setdefault(f"around {layer}", _Layer(self._context))
            texture = held.show(around[0].number, image, self._interop_for(image))
        texture.use(unit)
        self._program[f"{side}_around"], self._program[f"{side}_filled"] = unit, there

    def _interop_for(self, image: Any) -> CudaInterop | None:
        if not self._interop_tried and not isinstance(image, np.ndarray) and image.is_cuda:
            self._interop, self._interop_tried = try_interop(self._context, image), True
        return self._interop


class _Layer:
    """One texture, and the number of the picture in it."""

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self._texture: moderngl.Texture | None = None
        self._number: int | None = None

    def show(self, number: int, image: Any, interop: CudaInterop | None) -> moderngl.Texture:
        height, width = image.shape[:2]
        texture = self._texture
        if texture is None or texture.size != (width, height):
            if texture is not None:
                texture.release()
            self._texture = texture = self._context.texture((width, height), 3, dtype="f4")
            texture.repeat_x = texture.repeat_y = False
            self._number = None
        if number != self._number:
            write_texture(texture, image, interop)
            self._number = number
        return texture
