"""The online Noise2Noise denoiser, in PyTorch, usable with any renderer: start at `denoiser.online.OnlineDenoiser`."""
