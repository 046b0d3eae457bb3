"""Whether gcloud takes a command, by gcloud_reference.txt."""

import pathlib
import re

FILE = pathlib.Path(__file__).with_suffix(".txt")


def reference():
  """For each command, its flags, and whether each takes a value."""
  lines = FILE.read_text().splitlines()
  takes_value = lambda text: {
    name: bool(value)
    for name, value in re.findall(r"(?<![\w-])(--[a-z0-9-]+)(=)?", text)
  }
  everywhere = takes_value(lines[-1])
  return {
    words[0].strip(): takes_value(line) | everywhere
    for line in lines
    if (words := re.split(r"(?=[\[(])| \[USER| SOURCE", line, maxsplit=1))[
      0
    ].startswith("gcloud ")
  }


def require_in_reference(command):
  """Fails where gcloud would not take a command."""
  known = reference()
  name = next(
    name for name in known if command[: len(name.split())] == name.split()
  )
  given = command[len(name.split()) :]
  for word in given:
    if word.startswith("--"):
      flag, equals, _ = word.partition("=")
      assert flag in known[name], f"{name} has no {flag}"
      assert known[name][flag] == bool(equals), f"{flag} of {name}"
  words = [word for word in given if not word.startswith("--")]
  assert len(words) == {"scp": 2, "rsync": 2}.get(name.split()[-1], 1), command
  if name.endswith("create"):
    needed = ("--runtime-version", "--accelerator-type", "--node-id")
    assert set(needed) <= {word.partition("=")[0] for word in given}
