"""`python -m medvlm_worker SCRIPT OPEN`: serves the model of a script; started by the plugin `python`."""

import sys

if sys.version_info < (3, 8):
    sys.exit("the worker kit needs Python 3.8 or newer, this is " + sys.version.split()[0])

from .worker import main  # noqa: E402

main(sys.argv[1:])
