"""`noisewalk study`: what can be learned without clean pictures, a study for each of the paper's corruptions."""
