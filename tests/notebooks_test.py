"""The notebooks run from top to bottom and say what they show.

    RENEW=1 python -m pytest -m slow tests/notebooks_test.py

keeps what they show now.
"""

import copy
import os
import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = pathlib.Path(__file__).parents[1] / "notebooks"


def execute(notebook, monkeypatch):
  """Runs a notebook where it lies, and returns it with its new outputs."""
  monkeypatch.delenv("WORKDIR", raising=False)
  fresh = copy.deepcopy(notebook)
  NotebookClient(
    fresh,
    timeout=120,
    record_timing=False,
    coalesce_streams=True,  # Or a text is cut where the machine pauses.
    resources={"metadata": {"path": str(FOLDER)}},
  ).execute()
  return fresh


def texts(notebook):
  """What each cell of code prints and shows, but for pictures."""
  return [
    [
      output.get("text")
      or output["data"].get("text/markdown")
      or output["data"]["text/plain"]
      for output in cell["outputs"]
      if output.get("name") != "stderr"
    ]
    for cell in notebook["cells"]
    if cell["cell_type"] == "code"
  ]


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.name for path in FOLDER.glob("*.ipynb")])
def test_a_notebook_shows_what_its_cells_give(name, monkeypatch):
  shown = nbformat.read(FOLDER / name, as_version=4)
  fresh = execute(shown, monkeypatch)
  if "RENEW" in os.environ:
    nbformat.write(fresh, FOLDER / name)
    shown = fresh
  assert any(
    "image/png" in output.get("data", {})
    for cell in shown["cells"]
    for output in cell.get("outputs", [])
  )
  assert texts(fresh) == texts(shown)
