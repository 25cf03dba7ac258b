"""`noisewalk compare` and `noisewalk variants`: several methods on the same frames."""
