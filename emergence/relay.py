"""A connection through which a process hears of its end before its user does.

The runtime that joins processes aborts in the moment in which its connection to
the first one ends, and nothing that only looks on is sure to be faster. What it
is connected through is. All that it says to the first one passes through here,
its signs of life too.
"""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable

_BYTES = 1 << 16
_CONNECT_SECONDS = 10
_PAUSE_SECONDS = 0.1
# A machine that is gone without a word is taken for lost after 40 s.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
_ANSWER_MILLISECONDS = 40_000


def parse_address(text: str) -> tuple[str, int]:
  """The host and the port of a text such as `10.0.0.1:9911` or `[::1]:9911`.

  Raises:
    ValueError: it names none.
  """
  match = re.fullmatch(r"(?:\[([^\[\]/]+)\]|([^\s\[\]:/]+)):([0-9]+)", text)
  if not match or not 0 < int(match[3]) < 1 << 16:
    raise ValueError(f"an address reads HOST:PORT, got {text!r}")
  return match[1] or match[2], int(match[3])


def open_relay(target: tuple[str, int], on_loss: Callable[[], object]) -> str:
  """Lets programs of this machine reach an address through this process.

  Args:
    target: host and port; nobody needs to listen there yet.
    on_loss: called, in a thread of its own, when the far end of a connection
      that it has answered on is gone, and no other such connection is left; the
      near end hears of it when this returns.

  Returns:
    HOST:PORT that stands for the target as long as this process is there.
  """
  server = socket.create_server(("127.0.0.1", 0))
  relay = _Relay(target, on_loss)

  def accept() -> None:
    while True:
      try:
        near, _ = server.accept()
      except OSError:  # For lack of files, say.
        time.sleep(_PAUSE_SECONDS)
        continue
      try:
        _in_thread(relay.connect, near)
      except RuntimeError:  # For lack of threads; whoever asks will ask again.
        near.close()

  _in_thread(accept)
  return "{}:{}".format(*server.getsockname())


class _Relay:
  """What the connections through a relay have in common."""

  def __init__(self, target: tuple[str, int], on_loss: Callable[[], object]):
    self._target = target
    self._on_loss = on_loss
    self._lock = threading.Lock()
    self._answered: set[socket.socket] = set()

  def connect(self, near: socket.socket) -> None:
    with near:
      try:
        far = socket.create_connection(self._target, timeout=_CONNECT_SECONDS)
      except OSError:
        return
      with far:
        far.settimeout(None)
        _have_kept_alive(far)
        for end in (near, far):
          end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        has_left = threading.Event()
        _in_thread(_carry_requests, near, far, has_left)
        try:
          self._carry_answers(far, near)
          if self._is_last(far) and not has_left.is_set():
            self._on_loss()
        finally:
          _hang_up(near)

  def _carry_answers(self, far: socket.socket, near: socket.socket) -> None:
    while data := _receive(far):
      with self._lock:
        self._answered.add(far)
      with contextlib.suppress(OSError):  # The other way will see it too.
        near.sendall(data)

  def _is_last(self, far: socket.socket) -> bool:
    """Whether it was answered on, as no other one is that is left."""
    with self._lock:
      if far not in self._answered:
        return False
      self._answered.remove(far)
      return not self._answered


def _carry_requests(
  near: socket.socket, far: socket.socket, has_left: threading.Event
) -> None:
  """The way there; where it ends at the near end, nothing was lost."""
  with contextlib.suppress(OSError):
    while data := _receive(near):
      far.sendall(data)
    has_left.set()
    _hang_up(far)


def _receive(end: socket.socket) -> bytes:
  try:
    return end.recv(_BYTES)
  except OSError:
    return b""


def _hang_up(end: socket.socket) -> None:
  """Has the other side, and who waits for it here, see the end."""
  with contextlib.suppress(OSError):
    end.shutdown(socket.SHUT_RDWR)


def _have_kept_alive(far: socket.socket) -> None:
  """Has the system end the connection when nothing comes from there."""
  far.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
  options = _KEEP_ALIVE | {"TCP_USER_TIMEOUT": _ANSWER_MILLISECONDS}
  for name, value in options.items():
    if hasattr(socket, name):  # Systems have some of them.
      far.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _in_thread(f: Callable[..., object], *args: object) -> None:
  threading.Thread(target=f, args=args, name="relay", daemon=True).start()
