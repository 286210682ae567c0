"""`python -m cheaprouter` is the same as `cheaprouter`."""

import sys

from .cli import main

sys.exit(main())
