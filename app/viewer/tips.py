"""What each knob is for: unit, default, and what it costs. Shown while the mouse rests on it."""

from __future__ import annotations

from imgui_bundle import imgui

from noisewalk.app.flying.pace import TARGET_MS
from noisewalk.app.options import FRAME_SIZE, WalkOptions

_D = WalkOptions()
_ANEW = "Opens the scene anew, which takes seconds; camera, path and what was learned stay."
TIPS = {
    "shown": "What the picture shows. Keys 1 to 9 choose it. Open Image Denoise costs its own time in each frame.",
    "##right": "What the right half shows.",
    "split with": "Shows something else to the right of a line, which you can drag. Key X. Costs nothing.",
    "exposure": "Stops: +1 doubles the brightness. Default 0. Keys [ and ]. Only the display changes.",
    "tone map": (
        "From radiance v to what a display shows.\n"
        "paper's T: (v / (1 + v)) ^ (1 / 2.2): nothing is too bright to be seen, and PSNR is measured in it. Default.\n"
        "sRGB: the display's own curve; what is brighter than 1 is white.\n"
        "ACES-like: a film curve, with more contrast."
    ),
    "error scale": "The error that has the brightest color. Default 0.25. Only the display changes.",
    "sensor": "The scene's own cameras.",
    "field of view": "Degrees from the lower to the upper edge. Default: the scene's.",
    "speed": "Distances to what is seen, a second. Default 0.5. The wheel changes it; Shift is four times as fast.",
    "at its end": "What playing does at the end of the path. Default: goes round.",
    "frame": "The frame of the path that is shown.",
    "seconds": "How long the path takes. Default: the scene's.",
    "keyframe": "A view that the path goes through. Choose one to replace or delete it, or to add one after it.",
    "training": "Lets the network learn from each new frame. Default on. Key T. Off: frames come sooner.",
    "iterations": (
        f"Training steps for each frame. Default {_D.iterations}, the paper's. Twice as many: twice the training\n"
        "time, and better pictures sooner. In the window, training never holds a frame up."
    ),
    "spp": (
        f"Samples per pixel of each half; both together are twice as many. Default {_D.spp}, the paper's.\n"
        "Twice as many: less noise by 3 dB, and twice the rendering time."
    ),
    "crop": (
        f"Pixels a side of the piece that a training step sees, at most the frame. Default {_D.crop}, the paper's.\n"
        "Half the side: a quarter of the training time, and noisier steps."
    ),
    "size": (
        "Width x height of a frame, in pixels. Default: the film's aspect, and as many pixels as a square of\n"
        f"{FRAME_SIZE[1]} has; with a GPU, of {FRAME_SIZE[0]}. Twice as many: twice the time for a frame.\n" + _ANEW
    ),
    "pixels": f"Width and height of a frame. Enter applies them. Twice as many pixels: twice the time.\n{_ANEW}",
    "film's aspect": "Sizes keep the aspect of the scene's own picture. Default on. Off: any. Costs nothing.",
    "model": (
        f"The network. Default {_D.model}. paper is the paper's; adaptive-oidn is Open Image Denoise's own, which\n"
        "goes on learning. They take different times for a step. What the old one has learned is kept in the cache.\n"
        "Opens the scene anew, which takes seconds; the camera stays."
    ),
    "guide": (
        "Open Image Denoise advises the model. Default on, where it is installed (scripts/setup guide).\n"
        f"Costs its own time in each frame; without it, pictures are worse.\n{_ANEW}"
    ),
    "path depth": (
        "The longest path of light, in steps: 1 sees lamps only, 2 also what they light. Default: the scene's own.\n"
        f"Longer paths take more time and bring more light.\n{_ANEW}"
    ),
    "in motion": (
        f"Milliseconds that a picture may take while the camera moves. Default {TARGET_MS}. Pictures are as large as\n"
        "that allows; where whole frames take less than twice as long, those are shown. More: sharper, and less fluent."
    ),
    "learning rate": (
        f"How far a training step goes (Adam). Default {_D.learning_rate:g}.\n"
        "Higher learns faster, and may never settle. Costs nothing."
    ),
}


def tip(label: str) -> None:
    """Explains the last widget while the mouse rests on it."""
    imgui.set_item_tooltip(TIPS[label])
