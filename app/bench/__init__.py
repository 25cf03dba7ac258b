"""`noisewalk bench`: how long each stage of a frame takes, and why not less."""
