"""`noisewalk denoise`: learns from frames that another renderer has made, and denoises them."""
