"""The program: joins renderer and denoiser, on the command line and in a window."""

import time

STARTED = time.monotonic()  # for "seconds to the first picture": as good as the start of the process
