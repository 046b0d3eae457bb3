"""The task file of SkyPilot, run without SkyPilot."""

import os
import pathlib
import re
import shlex
import subprocess
import textwrap

import yaml

ROOT = pathlib.Path(__file__).parents[2]
TASK = yaml.safe_load((ROOT / "launch" / "skypilot.yaml").read_text())


def test_the_task_and_the_readme_have_the_same_command():
  command = re.compile(r"^(?:#  | ) +(sky jobs launch .*)$", re.MULTILINE)
  files = [ROOT / "launch" / name for name in ("skypilot.yaml", "README.md")]
  (here,), (there,) = (command.findall(file.read_text()) for file in files)
  assert here == there


def test_a_stopped_sweep_is_recovered():
  from experiments import stopping

  codes = TASK["resources"]["job_recovery"]["recover_on_exit_codes"]
  assert stopping.EXIT_CODE in codes


def commands(part, home, **environment):
  """The commands of Python that a part of the task comes to, and its end."""
  log = home / "commands"
  log.write_text("")
  for name in ("emergence-venv/bin/python", "bin/python3"):
    program = home / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(
      f'#!/bin/bash\nprintf "%s\\n" "${{0##*/bin/}}" "$@" "" >> {log}\n'
      f"exit ${{CODE:-0}}\n"
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
  assert done.stderr == ""
  found = [text.split("\n") for text in log.read_text().split("\n\n")[:-1]]
  return found, done.returncode


def test_each_node_trains_its_share(tmp_path):
  found, code = commands(
    *("run", tmp_path),
    WORKDIR="gs://bucket/a b",
    FLAGS="--override=seeds.block=4 --seeds=0-31",
    SKYPILOT_NODE_RANK="1",
    SKYPILOT_NUM_NODES="3",
    CODE="75",
  )
  assert code == 75
  assert found == [
    [
      *("python", "-m", "experiments.sweep", "--config=count_width"),
      *("--workdir=gs://bucket/a b", "--shard=1/3"),
      *("--override=seeds.block=4", "--seeds=0-31"),
    ]
  ]


def test_the_readme_shows_what_the_task_comes_to(tmp_path):
  readme = (ROOT / "launch" / "README.md").read_text(encoding="utf-8")
  shown = re.search(r"^    \$ (sky jobs .*)\n((?:    .*\n)+)", readme, re.M)
  assert shown
  words = shlex.split(shown[1])
  nodes = int(words[words.index("--num-nodes") + 1])
  given = [
    words[place + 1] for place, word in enumerate(words) if word == "--env"
  ]
  environment = dict(word.split("=", 1) for word in given)
  lines = ["# setup, on each node"]

  def run(part, **rank):
    found, code = commands(part, tmp_path, **environment, **rank)
    assert code == 0
    lines.extend(
      shlex.join(command).replace(str(tmp_path), "~") for command in found
    )

  run("setup")
  for node in range(nodes):
    lines.append(f"# run, on node {node}")
    run("run", SKYPILOT_NODE_RANK=str(node), SKYPILOT_NUM_NODES=str(nodes))
  assert textwrap.dedent(shown[2]).splitlines() == lines


def test_the_setup_is_a_script_that_names_the_lock_and_the_extra():
  bash = subprocess.run(["bash", "-n", "-c", TASK["setup"]])
  assert bash.returncode == 0
  assert '-r requirements.lock -e ".[$EXTRA]"' in TASK["setup"]
  setup = (ROOT / "setup.py").read_text()
  for extra in (TASK["envs"]["EXTRA"], "cuda"):
    assert f'"{extra}": [' in setup
