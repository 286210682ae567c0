"""`python -m cheaprouter` is the same as `cheaprouter`."""

import sys

from .main.cli import main

sys.exit(main())
