"""SIGTERM and Ctrl-C as a request to stop, which training polls."""

import os
import signal
import socket
import sys
import threading
from types import FrameType

# EX_TEMPFAIL of sysexits.h: try again later.
EXIT_CODE = 75


class StopRequest:
  """Records SIGTERM and SIGINT, while entered, instead of ending the process.

  Calling it tells whether a signal has arrived. If nobody calls it within
  `patience_seconds` of the signal, because a program compiles or a file system
  hangs, the process exits at once, as it does at a second Ctrl-C. That is safe:
  a sweep may be killed at any moment.
  """

  def __init__(self, patience_seconds: float = 7.0):
    self._patience_seconds = patience_seconds
    self._asked = threading.Event()
    self.signal: signal.Signals | None = None

  def __call__(self) -> bool:
    if self.signal is None:
      return False
    self._asked.set()
    return True

  def __enter__(self) -> "StopRequest":
    self._handlers = {
      number: signal.signal(number, self._handle)
      for number in (signal.SIGTERM, signal.SIGINT)
    }
    # Python runs signal handlers between bytecode instructions, so not while
    # XLA compiles; the wake-up socket is written to at once.
    self._reader, self._writer = socket.socketpair()
    self._writer.setblocking(False)
    self._wakeup = signal.set_wakeup_fd(
      self._writer.fileno(), warn_on_full_buffer=False
    )
    threading.Thread(target=self._watch, name="stopping", daemon=True).start()
    return self

  def __exit__(self, *error: object) -> None:
    self._asked.set()
    signal.set_wakeup_fd(self._wakeup)
    for number, handler in self._handlers.items():
      signal.signal(number, handler)
    self._writer.close()

  def message(self) -> str:
    """What to tell the user at the end."""
    name = self.signal.name if self.signal else "a signal"
    return f"stopped by {name}; run the same command again to continue"

  def _handle(self, number: int, frame: FrameType | None) -> None:
    if self.signal is not None and number == signal.SIGINT:
      self._end()  # A second Ctrl-C: exit without saving.
    self.signal = signal.Signals(number)

  def _watch(self) -> None:
    with self._reader:
      while number := self._reader.recv(1):
        if number[0] in self._handlers:
          break
      else:
        return
      if not self._asked.wait(self._patience_seconds):
        self.signal = signal.Signals(number[0])
        self._end()
      while self._reader.recv(64):  # Keeps the socket open for later signals.
        pass

  def _end(self) -> None:
    print(f"\n{self.message()}", file=sys.stderr, flush=True)
    os._exit(EXIT_CODE)
