"""A connection through which a process hears of its end before its user does.

The runtime that joins processes aborts in the moment in which its connection to
the first one ends, and nothing that only looks on is sure to be faster. What it
is connected through is.
"""

import contextlib
import socket
import threading
from collections.abc import Callable

_BYTES = 1 << 16
_CONNECT_SECONDS = 10


def parse_address(text: str) -> tuple[str, int]:
  """The host and the port of a text such as `10.0.0.1:9911` or `[::1]:9911`.

  Raises:
    ValueError: it names none.
  """
  host, _, port = text.rpartition(":")
  if not (host and port.isdecimal() and 0 < int(port) < 1 << 16):
    raise ValueError(f"an address reads HOST:PORT, got {text!r}")
  return host.strip("[]"), int(port)


def open_relay(target: tuple[str, int], on_loss: Callable[[], object]) -> str:
  """Lets programs of this machine reach an address through this process.

  Args:
    target: host and port; nobody needs to listen there yet.
    on_loss: called, in a thread of its own, when the far end of a connection
      that it has answered on is gone, before the near end hears of it.

  Returns:
    HOST:PORT that stands for the target as long as this process is there.
  """
  server = socket.create_server(("127.0.0.1", 0))

  def accept() -> None:
    while True:
      near, _ = server.accept()
      _in_thread(_connect, near, target, on_loss)

  _in_thread(accept)
  return "{}:{}".format(*server.getsockname())


def _connect(
  near: socket.socket, target: tuple[str, int], on_loss: Callable[[], object]
) -> None:
  with near:
    try:
      far = socket.create_connection(target, timeout=_CONNECT_SECONDS)
    except OSError:
      return  # Whoever asks will ask again.
    with far:
      far.settimeout(None)
      for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
      has_left = threading.Event()
      _in_thread(_carry_requests, near, far, has_left)
      if _carry(far, near) and not has_left.is_set():
        on_loss()
      _hang_up(near)


def _carry_requests(
  near: socket.socket, far: socket.socket, has_left: threading.Event
) -> None:
  """The way there; where it ends at the near end, nothing was lost."""
  with contextlib.suppress(OSError):
    while data := _receive(near):
      far.sendall(data)
    has_left.set()
    _hang_up(far)


def _carry(far: socket.socket, near: socket.socket) -> bool:
  """The way back, until the far end is gone; whether it has answered."""
  has_answered = False
  while data := _receive(far):
    has_answered = True
    with contextlib.suppress(OSError):  # The other way will see it too.
      near.sendall(data)
  return has_answered


def _receive(end: socket.socket) -> bytes:
  try:
    return end.recv(_BYTES)
  except OSError:
    return b""


def _hang_up(end: socket.socket) -> None:
  """Has the other side, and who waits for it here, see the end."""
  with contextlib.suppress(OSError):
    end.shutdown(socket.SHUT_RDWR)


def _in_thread(f: Callable[..., object], *args: object) -> None:
  threading.Thread(target=f, args=args, name="relay", daemon=True).start()
