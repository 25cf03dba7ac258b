"""`noisewalk denoise`: frames that another renderer has made, learned from and denoised."""
