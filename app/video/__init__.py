"""`noisewalk video`: the denoised flight as a film, or as numbered pictures."""
