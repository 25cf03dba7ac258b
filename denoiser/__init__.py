"""The online Noise2Noise denoiser in PyTorch, for any renderer. Start at `noisewalk.denoiser.online.OnlineDenoiser`."""

MODEL_NAMES = ("kernel", "adaptive-oidn", "paper")
GUIDED_MODELS = ("kernel", "adaptive-oidn")  # those that a pre-trained denoiser can advise


class DenoiserError(ValueError):
    """Something that a person named cannot be used. The message is one line that names it and the cause."""
