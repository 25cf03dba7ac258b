"""`noisewalk SCENE --headless`: a walk without a window, and the run folder that it leaves."""
