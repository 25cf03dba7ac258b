"""The online Noise2Noise denoiser, in PyTorch, usable with any renderer: start at `denoiser.online.OnlineDenoiser`."""

MODEL_NAMES = ("kernel", "paper")
GUIDED_MODELS = ("kernel",)  # those that a pre-trained denoiser can advise


class DenoiserError(ValueError):
    """Something named by a person cannot be used; the message is one line that names it and the cause."""
