"""Command-line programs: thin mains over `emergence`."""

import signal
import sys

if sys.argv[0] == "-m":
  # `python -m` is about to import for seconds; a Ctrl-C meanwhile is no error
  # to be shown. `command.run` takes over from there.
  signal.signal(signal.SIGINT, signal.SIG_DFL)
