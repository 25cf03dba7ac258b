"""`python -m noisewalk` is the command `noisewalk`."""

import sys

from noisewalk.app.__main__ import main

sys.exit(main())
