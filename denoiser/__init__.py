"""The online Noise2Noise denoiser, in PyTorch, usable with any renderer: start at `denoiser.online.OnlineDenoiser`."""


class DenoiserError(ValueError):
    """Something named by a person cannot be used; the message is one line that names it and the cause."""
