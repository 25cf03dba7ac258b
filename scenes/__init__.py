"""Bundled scenes, one folder each, and rooms made from a seed."""
