"""Mitsuba 3 behind a small door: scenes, cameras, paths, noisy pairs and references."""
