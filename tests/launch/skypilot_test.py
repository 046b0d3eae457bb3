"""The task file of SkyPilot, against an extract of SkyPilot's schemas."""

import copy
import itertools
import json
import os
import pathlib
import re
import shlex
import subprocess
import textwrap

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tests" / "skypilot_schema.json").read_text())
TASK = yaml.safe_load((ROOT / "launch" / "skypilot.yaml").read_text())

_TYPES = {
  "object": dict,
  "array": list,
  "string": str,
  "integer": int,
  "number": (int, float),
  "boolean": bool,
  "null": type(None),
}
_KEYWORDS = set(
  "type anyOf required properties patternProperties additionalProperties items"
  " uniqueItems pattern minimum maximum".split()
)


def is_type(value, name):
  if isinstance(value, bool) and name != "boolean":
    return False
  return isinstance(value, _TYPES[name])


def mistakes(value, schema, where="task"):
  """What JSON Schema finds wrong; the keywords that the extract has."""
  assert set(schema) <= _KEYWORDS, schema
  if "anyOf" in schema:
    found = [mistakes(value, option, where) for option in schema["anyOf"]]
    return [] if [] in found else list(itertools.chain(*found))
  types = schema["type"]
  types = types if isinstance(types, list) else [types]
  if not any(is_type(value, name) for name in types):
    return [f"{where} is no {' or '.join(types)}"]
  found = []
  if isinstance(value, dict):
    for name in schema.get("required", []):
      if name not in value:
        found.append(f"{where} lacks {name}")
    for name, item in value.items():
      parts = [schema.get("properties", {}).get(name)] + [
        part
        for pattern, part in schema.get("patternProperties", {}).items()
        if re.search(pattern, name)
      ]
      parts = [part for part in parts if part is not None]
      other = schema.get("additionalProperties", True)
      if not parts and other is False:
        found.append(f"{where} knows no {name}")
      if not parts and isinstance(other, dict):
        parts = [other]
      for part in parts:
        found += mistakes(item, part, f"{where}.{name}")
  if isinstance(value, list):
    for item in value if "items" in schema else ():
      found += mistakes(item, schema["items"], where)
    if schema.get("uniqueItems") and len(value) > len(set(value)):
      found.append(f"{where} repeats itself")
  if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
    found.append(f"{where} does not match")
  if not isinstance(value, bool) and isinstance(value, int):
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    if not low <= value <= high:
      found.append(f"{where} is not from {low} to {high}")
  return found


def all_mistakes(task):
  return mistakes(task, SCHEMA["task"]) + mistakes(
    task.get("resources", {}), SCHEMA["resources"], "resources"
  )


def test_skypilot_knows_all_of_the_task():
  assert all_mistakes(TASK) == []


@pytest.mark.parametrize(
  ("path", "value", "mistake"),
  [
    (("nodes",), 2, "task knows no nodes"),
    (("num_nodes",), "2", "task.num_nodes is no integer"),
    (("envs", "2x"), "", "task.envs knows no 2x"),
    (("envs", "X"), 3, "task.envs.X is no string or null"),
    (("resources", "spot"), True, "resources knows no spot"),
    (("resources", "use_spot"), "yes", "resources.use_spot is no boolean"),
    (("resources", "infra"), "gpc", "resources.infra does not match"),
    (
      ("resources", "job_recovery", "recover_on_exit_codes"),
      [300],
      "resources.job_recovery.recover_on_exit_codes is not from 0 to 255",
    ),
  ],
)
def test_what_skypilot_would_refuse_is_found(path, value, mistake):
  task = copy.deepcopy(TASK)
  inner = task
  for name in path[:-1]:
    inner = inner[name]
  inner[path[-1]] = value
  assert mistake in all_mistakes(task)


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
