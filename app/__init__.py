"""noisewalk's programs: the command line, the headless walk and what goes with it."""
