"""`noisewalk study`: what Noise2Noise can learn without clean pictures, one study for each of the paper's corruptions."""
