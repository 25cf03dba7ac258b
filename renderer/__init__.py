"""Mitsuba 3 behind a small door: scenes, cameras, paths, noisy pairs and references."""


class RendererError(ValueError):
    """Something named by a person cannot be rendered or used; the message is one line that names it and the cause."""


class RenderCancelled(Exception):
    """Ctrl-C came while Mitsuba rendered: what it returned is not a picture."""
