"""The flythrough viewer: a window over the same Session that headless uses."""
