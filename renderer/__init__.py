"""Mitsuba 3, and nothing else knows it: scenes, cameras, paths, noisy pairs and references."""


class RendererError(ValueError):
    """Something that a person named cannot be rendered or used. The message is one line that names it and the cause."""


class RenderCancelled(Exception):
    """Ctrl-C came while Mitsuba rendered. What it returned is not a picture."""
