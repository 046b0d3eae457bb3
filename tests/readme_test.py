"""What READMEs show has to run, what they name has to be."""

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import json
import pathlib
import re

import jax
import numpy as np
import pytest
from etils import epath

from emergence import tables, tasks
from emergence.analysis import output, questions
from emergence.config import TaskConfig
from emergence.statistics import (
  breakout,
  composition,
  dip,
  modality,
  options,
  sample,
  success,
  trajectories,
)
from emergence.statistics import path as path_lib
from emergence.statistics.options import Options
from emergence.storage import records
from emergence.sweep import pending
from tests.computed import answers_of, ask

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STATISTICS = ROOT / "emergence" / "statistics"
DEFINITIONS = (STATISTICS / "README.md").read_text(encoding="utf-8")


def test_the_task_that_the_tasks_readme_adds_agrees_with_its_solver(
  monkeypatch,
):
  text = (ROOT / "emergence" / "tasks" / "README.md").read_text()
  (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
  space = {}
  exec(code, space)
  monkeypatch.setitem(tasks.TASKS, "reverse", space["make"])
  task = tasks.make_task(
    TaskConfig(
      name="reverse", max_train_length=5, test_lengths=(5, 8), vocab_size=9
    ),
    items=20,
  )
  keys = jax.random.split(jax.random.key(0), 200)
  samples = jax.jit(jax.vmap(task.sample))(keys)
  for batch in (samples, task.evaluation(8)):
    batch = jax.tree.map(np.asarray, batch)
    for tokens_L, is_answer_L, length in zip(*batch):
      symbols = task.render(tokens_L).split()
      prompt = symbols[: symbols.index(">") + 1]
      assert len(symbols) == length
      assert symbols[len(prompt) :] == task.solve(prompt)
      assert np.flatnonzero(is_answer_L).tolist() == list(
        range(len(prompt), length)
      )
  context = tasks.sample_contexts(task, jax.random.key(1), 3, 64, True)
  assert task.pad not in np.asarray(context.tokens_L)


def test_what_readme_links_to_is_there():
  assert len(README.splitlines()) <= 200
  links = re.findall(r"\]\(([^)]+)\)", README)
  local = [link for link in links if "://" not in link]
  assert any(link.endswith(".png") for link in local)
  for link in local:
    assert (ROOT / link).is_file(), link


def test_the_seeds_that_failed_later_are_those_of_the_computed_page():
  found = re.search(
    r"Of the (\d+) that fail at depth 2 of `count_depth_small`, (\d+) had"
    r" reached 20 % in an earlier evaluation and (\d+) had reached 50 %; at"
    r" width 16 of `count_width_small`, (\d+ of \d+) had",
    " ".join(README.split()),
  )
  num, once, well, at_width_16 = found.groups()
  page = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
  for study, text in (
    ("count_depth_small", rf"{once} of {num} \({well}\) at depth 2"),
    ("count_width_small", rf"{at_width_16} \(\d+\) at width 16"),
  ):
    assert re.search(rf"`{study}`: .*eeds that fail at .*{text}", page)


def test_the_config_of_the_readme_can_be_trained():
  (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
  space = {}
  exec(code, space)
  request = pending.make_request(space["config"], epath.Path("unused"))
  assert len(pending.find(request)) == 6


def test_the_readme_names_every_column_of_the_records():
  assert set(records.schema().names) <= set(re.findall(r"`(\w+)`", README))
  assert (
    f"at least {success.DEFAULT_THRESHOLD:.0%}".replace("%", " %") in README
  )


def test_the_map_of_the_house_is_the_tree():
  section = README.split("## Extend")[1].split("\nEach package")[0]
  named = set(re.findall(r"\b(\w+(?:\.py|/))", section))
  tree = {path.name for path in (ROOT / "emergence").glob("*.py")}
  for folder in ("emergence", "experiments", "launch", "notebooks", "tests"):
    tree.add(f"{folder}/")
    if folder in ("emergence", "experiments"):
      tree |= {
        f"{path.parent.name}/" for path in (ROOT / folder).rglob("*/*.py")
      }
  assert tree - {"__init__.py"} == named


# Rooms in the order of the data.
ROOMS = (
  *("config", "tasks", "training", "population", "storage", "sweep"),
  *("tables", "statistics", "plotting", "analysis", "report"),
)


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_imports_one_to_its_right(room):
  to_the_right = ROOMS[ROOMS.index(room) + 1 :]
  place = ROOT / "emergence" / room
  files = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
  for file in files:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
      if isinstance(node, ast.ImportFrom):
        names |= {f"{node.module}.{alias.name}" for alias in node.names}
      elif isinstance(node, ast.Import):
        names |= {alias.name for alias in node.names}
    parts = [name.split(".") for name in names]
    rooms = {part[1] for part in parts if part[0] == "emergence"}
    assert not rooms & set(to_the_right), file


def test_every_module_has_its_tests():
  for path in (ROOT / "emergence").rglob("*.py"):
    if path.name != "__init__.py":
      room = path.parent.relative_to(ROOT / "emergence")
      tests = ROOT / "tests" / room / f"{path.stem}_test.py"
      assert tests.is_file(), path


def public_functions():
  """Such as `dip.dip_test`, of all statistics."""
  found = set()
  for path in STATISTICS.glob("*.py"):
    name = f"emergence.statistics.{path.stem}"
    module = importlib.import_module(name)
    found |= {
      f"{path.stem}.{function}"
      for function, value in vars(module).items()
      if inspect.isroutine(inspect.unwrap(value))
      and value.__module__ == name
      and not function.startswith("_")
    }
  return found


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
  """Of three scales, between which runs change over, in both directions."""
  rng = np.random.default_rng(0)
  lines = ["scale,seed,score,loss"]
  for scale, share in enumerate((0, 0.5, 1)):
    for seed in range(60):
      score = rng.normal(0.8 if rng.random() < share else 0.2, 0.05)
      lines.append(f"{scale},{seed},{score:.4f},{1 - score:.4f}")
  path = tmp_path_factory.mktemp("scores") / "scores.csv"
  path.write_text("\n".join(lines))
  table = tables.read(
    path, score_columns=["score", "loss"], lower_is_better=["loss"]
  )
  options = Options(
    thresholds=(("loss", 0.5),), num_resamples=100, num_permutations=100
  )
  return questions.analyze(table, options)


@pytest.fixture(scope="module")
def columns(files):
  """Of all tables that an analysis writes."""
  headers = [
    files[name].decode().splitlines()[0]
    for name in files
    if name.endswith(".csv")
  ]
  found = {name for header in headers for name in header.split(",")}
  # Only sweeps have rows of these.
  sweep = tables.read(ROOT / "experiments" / "records" / "seeds_crossed")
  for kind in ("variance_components", "time_to_success"):
    _, frame = answers_of(ask(sweep, kind), kind)
    assert not frame.empty
    found |= set(frame) - set(sweep.group_columns)
  return found


@pytest.fixture(scope="module")
def files(analysis):
  return output.files(analysis)


def is_entry(content, path):
  """Whether JSON has something at a path, be it within a list."""
  if not path:
    return True
  if isinstance(content, list):
    return any(is_entry(item, path) for item in content)
  return (
    isinstance(content, dict)
    and path[0] in content
    and is_entry(content[path[0]], path[1:])
  )


def test_the_definitions_name_every_public_function():
  functions = public_functions()
  assert {"dip.dip_test", "transport.distances"} <= functions
  assert "dip.DipTest" not in functions
  assert functions - set(re.findall(r"`([^`]+)`", DEFINITIONS)) == set()


def test_the_definitions_name_every_column(columns):
  assert columns - set(re.findall(r"`([^`]+)`", DEFINITIONS)) == set()


def test_what_the_definitions_name_exists(columns, files):
  content = json.loads(files["summary.json"])
  flags = re.findall(
    r'flags\.DEFINE_\w+\(\s*"(\w+)"',
    (ROOT / "experiments" / "analyze.py").read_text(encoding="utf-8"),
  )
  known = public_functions() | columns | set(files)
  flags += [
    option.metadata.get("flag", option.name)
    for option in dataclasses.fields(tables.ReadOptions)
  ]
  known |= {f"--{flag}" for flag in flags}
  unknown = set()
  for name in re.findall(r"`([^`]+)`", DEFINITIONS):
    command = re.fullmatch(r"python -m ([\w.]+)( --\w+(=\w+)?)*", name)
    if command:
      assert importlib.util.find_spec(command[1]), name
    elif name not in known and not is_entry(content, name.split(".")):
      unknown.add(name)
  assert unknown == set()


def test_the_definitions_have_the_numbers_of_the_code():
  text = " ".join(DEFINITIONS.split())
  for phrase in (
    f"t is {success.DEFAULT_THRESHOLD:g} unless",
    f"fewer than {options.MIN_RUNS} of them",
    f"mean over {sample.NUM_JITTERS} such jitters",
    f"the dip counts from {modality.MIN_RUNS} runs on",
    f"at least {breakout.MIN_OUTSIDE} runs are outside",
    f"share inside is at least {breakout.LEAST_INSIDE:g}",
    f"up to {100 * composition.ZONE:g} % of the support's width",
    f"lower end is at least {composition.NAMED_SHARE:g}",
    f"fewer than {dip.MIN_RUNS} runs",
    f"fewer than {path_lib.MIN_RUNS_FOR_VERDICT} runs at this scale",
    f"fewer than {trajectories.MIN_SCALES} scales",
  ):
    assert phrase in text
