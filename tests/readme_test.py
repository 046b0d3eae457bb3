"""What README and the notebook show has to run."""

import json
import pathlib
import re

import jax
import numpy as np

from emergence import tasks
from emergence.config import TaskConfig

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_task_that_readme_adds_agrees_with_its_solver(monkeypatch):
  (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
  space = {}
  exec(code, space)
  monkeypatch.setitem(tasks.TASKS, "copy", space["make"])
  task = tasks.make_task(
    TaskConfig(
      name="copy", max_train_length=5, test_lengths=(5, 8), vocab_size=9
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
  links = re.findall(r"\]\(([^)]+)\)", README)
  local = [link for link in links if "://" not in link]
  assert any(link.endswith(".png") for link in local)
  for link in local:
    assert (ROOT / link).is_file(), link


def test_the_map_of_the_house_is_the_tree():
  section = README.split("## The map of the house")[1].split("\n## ")[0]
  named = set(re.findall(r"\b(\w+\.py)\b", section))
  tree = {
    path.name
    for folder in ("emergence", "experiments")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "__init__.py"
    and path.parent.name
    not in (
      "tasks",
      "configs",
    )
  }
  assert tree <= named
  assert named - tree <= {"setup.py", "_test.py"}


def test_every_module_has_its_tests():
  modules = {
    path.stem
    for path in (ROOT / "emergence").rglob("*.py")
    if path.name != "__init__.py"
  }
  tested = {path.stem for path in (ROOT / "tests").glob("*_test.py")}
  assert {f"{name}_test" for name in modules} <= tested


def test_the_notebook_runs_on_a_finished_sweep(
  tiny, tmp_path, monkeypatch, capsys
):
  from etils import epath

  from emergence import population, sweep
  from emergence.config import Cell

  workdir = epath.Path(tmp_path)
  devices = population.local_devices(2)
  sweep.prepare(tiny, workdir, devices)
  work = [sweep.Work(Cell("count", 8, 1), [[0, 1, 2, 3]])]
  sweep.run(tiny, workdir, work, devices)
  monkeypatch.setenv("WORKDIR", str(tmp_path))
  notebook = json.loads((ROOT / "notebooks" / "records.ipynb").read_text())
  space = {}
  for cell in notebook["cells"]:
    if cell["cell_type"] == "code":
      assert not cell["outputs"]
      exec("".join(cell["source"]), space)
  assert "exact match at test length 6" in capsys.readouterr().out
  assert space["table"].shape == (4, 2)
