"""Command-line programs: thin mains over `emergence`."""

import signal
import sys

if sys.argv[0] == "-m":
  # Imports take seconds. Let a Ctrl-C during them end the process without a
  # traceback, until `command.run` sets its own handler.
  signal.signal(signal.SIGINT, signal.SIG_DFL)
