"""The task file of SkyPilot, run without SkyPilot."""

import os
import shlex
import subprocess

import yaml

from tests.mains import ROOT, read_transcript

TASK = yaml.safe_load((ROOT / "launch" / "skypilot.yaml").read_text())


def commands(part, home, **environment):
  """The commands of Python that a part of the task comes to."""
  log = home / "commands"
  log.write_text("")
  for name in ("emergence-venv/bin/python", "bin/python3"):
    program = home / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(
      f'#!/bin/bash\nprintf "%s\\n" "${{0##*/bin/}}" "$@" "" >> {log}\n'
    )
    program.chmod(0o755)
  environment |= {
    "HOME": str(home),
    "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
  }
  done = subprocess.run(
    ["bash", "-c", TASK[part]],
    env=TASK["envs"] | environment,
    capture_output=True,
    text=True,
  )
  assert (done.stderr, done.returncode) == ("", 0)
  return [text.split("\n") for text in log.read_text().split("\n\n")[:-1]]


def test_the_readme_shows_what_the_task_comes_to(tmp_path):
  text, shown = read_transcript("sky jobs launch launch/skypilot.yaml")
  words = shlex.split(text)
  nodes = int(words[words.index("--num-nodes") + 1])
  given = [
    words[place + 1] for place, word in enumerate(words) if word == "--env"
  ]
  environment = dict(word.split("=", 1) for word in given)
  lines = ["# setup, on each node"]

  def run(part, **rank):
    found = commands(part, tmp_path, **environment, **rank)
    lines.extend(
      shlex.join(command).replace(str(tmp_path), "~") for command in found
    )

  run("setup")
  for node in range(nodes):
    lines.append(f"# run, on node {node}")
    run("run", SKYPILOT_NODE_RANK=str(node), SKYPILOT_NUM_NODES=str(nodes))
  assert lines == shown.splitlines()
