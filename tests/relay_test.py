import contextlib
import socket
import threading

import pytest

from emergence.relay import open_relay, parse_address


class Server:
  """Answers everything with the same in capitals, until it is to end."""

  def __enter__(self):
    self._socket = socket.create_server(("127.0.0.1", 0))
    self.connections = []
    self.address = self._socket.getsockname()
    threading.Thread(target=self._accept, daemon=True).start()
    return self

  def __exit__(self, *_):
    self.end()
    self._socket.shutdown(socket.SHUT_RDWR)

  def _accept(self):
    while True:
      try:
        connection, _ = self._socket.accept()
      except OSError:
        self._socket.close()
        return
      self.connections.append(connection)
      threading.Thread(
        target=self._answer, args=[connection], daemon=True
      ).start()

  def _answer(self, connection):
    with connection:
      while data := connection.recv(1 << 16):
        connection.sendall(data.upper())

  def end(self, connections=None):
    for connection in connections or self.connections:
      with contextlib.suppress(OSError):  # It may have ended by itself.
        connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server():
  with Server() as server:
    yield server


@pytest.fixture
def connect():
  with contextlib.ExitStack() as connections:

    def connect(address):
      return connections.enter_context(
        socket.create_connection(parse_address(address), timeout=60)
      )

    yield connect


def read(connection, size):
  found = b""
  while len(found) < size and (data := connection.recv(size - len(found))):
    found += data
  return found


def test_what_is_said_is_answered_on_every_connection(server, connect):
  relay = open_relay(server.address, lambda: None)
  first, second = connect(relay), connect(relay)
  for connection, text in ((first, b"a"), (second, b"b"), (first, b"c")):
    connection.sendall(text)
    assert read(connection, 1) == text.upper()


def test_much_is_carried_whole_and_in_order(server, connect):
  connection = connect(open_relay(server.address, lambda: None))
  sent = bytes(range(ord("a"), ord("z") + 1)) * 40_000
  threading.Thread(target=connection.sendall, args=[sent], daemon=True).start()
  assert read(connection, len(sent)) == sent.upper()


def test_of_a_loss_the_user_hears_before_the_connection_ends(server, connect):
  is_told, may_go_on = threading.Event(), threading.Event()

  def on_loss():
    is_told.set()
    assert may_go_on.wait(60)

  connection = connect(open_relay(server.address, on_loss))
  connection.sendall(b"a")
  assert read(connection, 1) == b"A"
  server.end()
  assert is_told.wait(60)
  connection.settimeout(0.2)
  with pytest.raises(TimeoutError):
    connection.recv(1)
  may_go_on.set()
  connection.settimeout(60)
  assert connection.recv(1) == b""


def test_who_leaves_has_lost_nothing(server, connect):
  losses = []
  relay = open_relay(server.address, lambda: losses.append(1))
  connection = connect(relay)
  connection.sendall(b"a")
  assert read(connection, 1) == b"A"
  connection.shutdown(socket.SHUT_WR)
  assert connection.recv(1) == b""
  assert not losses


def test_nothing_is_lost_where_nobody_has_answered(connect):
  losses = []
  with socket.create_server(("127.0.0.1", 0)) as server:
    relay = open_relay(server.getsockname(), lambda: losses.append(1))
    connection = connect(relay)
    accepted, _ = server.accept()
    accepted.close()
    assert connection.recv(1) == b""
  # And where nobody listens any more.
  assert connect(relay).recv(1) == b""
  assert not losses


def test_one_of_several_connections_that_ends_is_no_loss(server, connect):
  losses = []
  relay = open_relay(server.address, lambda: losses.append(1))
  first, second = connect(relay), connect(relay)
  for connection in (first, second):
    connection.sendall(b"a")
    assert read(connection, 1) == b"A"
  server.end(server.connections[1:])
  assert second.recv(1) == b""
  assert not losses
  first.sendall(b"b")
  assert read(first, 1) == b"B"
  server.end()
  assert first.recv(1) == b""
  assert losses == [1]


def test_the_connection_ends_even_if_its_user_fails(
  server, connect, monkeypatch
):
  has_failed = threading.Event()
  monkeypatch.setattr(threading, "excepthook", lambda args: has_failed.set())

  def on_loss():
    raise OSError("No space left on device")

  connection = connect(open_relay(server.address, on_loss))
  connection.sendall(b"a")
  assert read(connection, 1) == b"A"
  server.end()
  assert connection.recv(1) == b""
  assert has_failed.wait(60)


def test_a_lack_of_threads_ends_one_connection_and_no_more(
  server, connect, monkeypatch
):
  relay = open_relay(server.address, lambda: None)
  start = threading.Thread.start
  failures = iter([RuntimeError("can't start new thread")])

  def start_or_fail(thread):
    if thread.name == "relay" and (error := next(failures, None)):
      raise error
    start(thread)

  monkeypatch.setattr(threading.Thread, "start", start_or_fail)
  first = connect(relay)
  assert first.recv(1) == b""
  second = connect(relay)
  second.sendall(b"a")
  assert read(second, 1) == b"A"


@pytest.mark.parametrize(
  ("text", "host", "port"),
  [("host:1", "host", 1), ("10.0.0.1:65535", "10.0.0.1", 65535)]
  + [("[::1]:9911", "::1", 9911)],
)
def test_an_address_has_a_host_and_a_port(text, host, port):
  assert parse_address(text) == (host, port)


@pytest.mark.parametrize(
  "text",
  ["host", "host:", ":1", "host:http", "host:0", "host:65536", "::1:9911"]
  + ["dns:///host:9911"],
)
def test_what_is_no_address_is_refused(text):
  with pytest.raises(ValueError, match="an address reads HOST:PORT"):
    parse_address(text)
