"""`python -m tapnet` is `tapnet`."""

import sys

from tapnet.cli import main

sys.exit(main())
