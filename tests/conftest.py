"""Strict settings for all tests, and the smallest experiment that trains."""

import dataclasses
import itertools
import os
import pathlib
import shutil
import signal

import jax
import numpy as np
import pandas as pd
import pytest
from etils import epath

from emergence.analysis import output, questions
from emergence.analysis.question import Finding
from emergence.analysis.series import Analysis
from emergence.config import (
  Cell,
  Config,
  EvalConfig,
  GridConfig,
  ModelConfig,
  SeedsConfig,
  TaskConfig,
  TrainConfig,
)
from emergence.statistics.options import Options
from emergence.tables.score_table import Metric, ScoreTable

pytest.register_assert_rewrite(
  "tests.analyses",
  "tests.gcloud_reference",
  "tests.harness_files",
  "tests.list_tasks",
  "tests.mains",
  "tests.sweep_processes",
)

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
  """Makes programs quick to compile, and the system's ways those of all."""
  # The fast tests compile more than they compute, and take half of the time in
  # code that is not optimized. The slow ones train, in code as it is used.
  if config.option.markexpr == "not slow":
    os.environ.setdefault(
      "XLA_FLAGS",
      "--xla_backend_optimization_level=0"
      " --xla_llvm_disable_expensive_passes=true",
    )
  # Bash would complain, in logs that tests compare, of one that is not there.
  os.environ["LC_ALL"] = "C.UTF-8"
  # What a shell runs in the background ignores Ctrl-C, which some tests send.
  signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
  """Tests build the same programs again and again; each compiles once a run."""
  settings = {
    "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
  }
  for name, value in settings.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)  # For the commands under test.
  # From here on there are two devices, whatever number a test asks for first.
  assert jax.local_device_count() == 2


@pytest.fixture
def bucket():
  """What `gs://bucket` is, instead of the real thing: objects in memory."""
  import fsspec
  from etils.epath.backend import fsspec_backend
  from fsspec.implementations.memory import MemoryFileSystem

  class Bucket(MemoryFileSystem):
    protocol = ("gs", "gcs")
    store = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path):
      path = path.partition("://")[2] or path
      return f"/{path.strip('/')}".rstrip("/")

    def makedirs(self, path, exist_ok=False):
      """A bucket has no folder without objects."""

    mkdir = makedirs

  for scheme in Bucket.protocol:
    fsspec.register_implementation(scheme, Bucket, clobber=True)
  fsspec_backend._get_filesystem.cache_clear()
  return Bucket


@pytest.fixture(scope="session")
def write_config(tmp_path_factory):
  """Writes a file with the config of a tiny sweep; see tiny_config."""
  from tests.sweep_processes import tiny_config

  def write(**sizes) -> pathlib.Path:
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    path.write_text(tiny_config(**sizes))
    return path

  return write


@pytest.fixture
def workdir(tmp_path) -> epath.Path:
  """A work directory where nothing was done yet."""
  return epath.Path(tmp_path)


@pytest.fixture(scope="session")
def tiny() -> Config:
  """One width, two depths, eight seeds in two blocks, six steps."""
  return Config(
    task=TaskConfig(
      name="count",
      max_train_length=4,
      test_lengths=(4, 6),
      vocab_size=12,
      context_length=24,
    ),
    model=ModelConfig(head_dim=4),
    train=TrainConfig(steps=6, batch_size=2, warmup_fraction=0.5),
    eval=EvalConfig(num_points=3, items=8),
    seeds=SeedsConfig(block=4, count=8),
    grid=GridConfig(widths=(8,), depths=(1, 2)),
  )


@pytest.fixture(scope="session")
def config(tiny) -> Config:
  """One cell of `tiny`, so that tests compile little."""
  grid = dataclasses.replace(tiny.grid, depths=(1,))
  return dataclasses.replace(tiny, grid=grid)


@pytest.fixture(scope="session")
def program(config):
  """The cell of `config`, compiled for two devices."""
  from emergence.population import compilation, hardware

  cell = Cell.parse("count/width-8/depth-1")
  return compilation.compile_cell(config, cell, hardware.local_devices(2))


@pytest.fixture(scope="session")
def eight(program):
  """Seeds 0 to 7 of `program`, in two full blocks, one on each device."""
  from tests.populations import train_seeds

  return train_seeds(program, [0, 1, 2, 3], [4, 5, 6, 7])


@pytest.fixture(scope="session")
def programs(config, program):
  """The same for two devices and for one, as tests/sweeps.py takes it."""
  from emergence.population import compilation, hardware

  cell, devices = Cell.parse("count/width-8/depth-1"), hardware.local_devices(1)
  alone = compilation.compile_cell(config, cell, devices)
  return {2: {cell: program}, 1: {cell: alone}}


@pytest.fixture
def stop_after_each_step(monkeypatch):
  """Trains in chunks of one step."""
  from emergence.population import population

  train_chunk = population.train_chunk
  monkeypatch.setattr(
    population,
    "train_chunk",
    lambda training: train_chunk(training._replace(chunk_steps=1)),
  )


@pytest.fixture(scope="session")
def trained(config, programs, tmp_path_factory):
  """The work directory of a finished sweep, all parameters kept."""
  from emergence.sweep.blocks import Saving
  from tests.sweeps import train

  workdir = epath.Path(tmp_path_factory.mktemp("trained"))
  train(config, workdir, programs, saving=Saving(params="all"))
  return workdir


@pytest.fixture(scope="session")
def finished(tiny, tmp_path_factory) -> epath.Path:
  """The work directory of a finished sweep of `tiny`, all parameters kept."""
  from emergence.sweep.blocks import Saving
  from tests.sweeps import train

  workdir = epath.Path(tmp_path_factory.mktemp("finished"))
  train(tiny, workdir, saving=Saving(params="all"))
  return workdir


@pytest.fixture
def finished_copy(finished, tmp_path) -> epath.Path:
  """A copy of `finished` that a test may change."""
  shutil.copytree(finished, tmp_path / "finished")
  return epath.Path(tmp_path / "finished")


def make_score_table(
  scores, scales=None, diverged=(), num_items=np.nan, **fields
) -> ScoreTable:
  """A table without any import.

  Args:
    scores: by (group, metric), for each scale the score of each seed.
    scales: 1, 2, … where None.
    diverged: (group, scale, seed) of runs that diverged and have a score.
    num_items: of all scores, or one for each scale.
    **fields: of the table.
  """
  rows = []
  for (group, metric), cells in scores.items():
    items = np.broadcast_to(num_items, len(cells))
    scales_ = scales or range(1, len(cells) + 1)
    for scale, cell, num in zip(scales_, cells, items, strict=True):
      for seed, score in enumerate(cell):
        is_diverged = (group, scale, seed) in diverged
        rows.append(
          {
            "group": group,
            "scale": float(scale),
            "scale_label": f"{scale:g}",
            "seed": seed,
            "metric": metric.name,
            "score": score,
            "diverged": is_diverged or not np.isfinite(score),
            "num_items": num,
            "source": f"row {len(rows)}",
          }
        )
  table = ScoreTable(
    pd.DataFrame(rows),
    ("group",),
    "size",
    {metric.name: metric for _, metric in scores},
    "scores.csv",
    "Not known.",
    [],
  )
  return table._replace(**fields)


@pytest.fixture(scope="session")
def make_table():
  return make_score_table


@pytest.fixture(scope="session")
def two_groups() -> Analysis:
  """Seven scales of forty seeds, in an accuracy and in a likelihood.

  In the group `split` seeds pass from a low to a high mode, in `smooth` all
  improve a little. In `split` seed 3 of scale 2 has no score, and seed 5 of
  scale 7 has diverged with a high one.
  """
  rng = np.random.default_rng(5)
  accuracy = Metric("exact_match", 0.0, 1.0, "fraction", True)
  nll = Metric("nll", 0.0, np.inf, "nats", False)
  scores = {}
  for group in ("split", "smooth"):
    accuracies, nlls = [], []
    for n in range(7):
      high_S = np.arange(40) < round(40 * n / 6)
      if group == "split":
        score_S = np.where(high_S, 0.8, 0.05) + rng.normal(0, 0.03, 40)
      else:
        score_S = rng.normal(0.1 + 0.1 * n, 0.05, 40)
      score_S = np.clip(score_S, 0, 1)
      accuracies.append(score_S)
      nlls.append(-np.log(score_S + 0.02) + rng.exponential(0.1, 40))
    if group == "split":
      for cells in (accuracies, nlls):
        cells[1][3] = np.nan
    scores[group, accuracy], scores[group, nll] = accuracies, nlls
  table = make_score_table(scores, diverged={("split", 7, 5)})
  options = Options(
    thresholds=(("nll", 1.0),), num_resamples=300, num_permutations=300
  )
  analysis = questions.analyze(table, options)
  # To be compared with: the scores that count, those of runs that ended well.
  frame = table.frame
  frame = frame.assign(score=frame["score"].mask(frame["diverged"]))
  return analysis._replace(table=table._replace(frame=frame))


@pytest.fixture(scope="session")
def pick(two_groups):
  """What is said of `two_groups` of one kind, group and metric."""
  said = [finding for _, finding in questions.findings(two_groups)]

  def pick(kind, group="split", metric="exact_match") -> list[Finding]:
    of = kind, (group,), metric
    return [f for f in said if (f.kind, f.group, f.metric) == of]

  return pick


@pytest.fixture(scope="session")
def say():
  """The sentences of a table that answer one question, without a heading."""
  accuracy = Metric("exact_match", 0.0, 1.0, "fraction", True)
  few = Options(num_resamples=100, num_permutations=100)
  # The answers that its sentences rest on.
  needs = {
    "curve": ["success"],
    "divergence": ["success"],
    "trajectories": ["pairing"],
    "small_studies": ["distance"],
    "abruptness": ["success", "curve", "modality", "distance"],
  }

  def say(scores, kind, options=few, **fields) -> list[str]:
    if not isinstance(scores, dict):
      scores = {("g", accuracy): scores}
    table = make_score_table(scores, **fields)
    kinds = {kind, *needs.get(kind, [])}
    analysis = questions.analyze(table, options, kinds=kinds)
    (question,) = [q for q in questions.QUESTIONS if q.kind == kind]
    return [
      finding.sentence.split(": ", 1)[1]
      for series in analysis.series
      for finding in question.findings(series)
    ]

  return say


@pytest.fixture(scope="session")
def written(two_groups) -> dict[str, bytes]:
  """What is written of `two_groups`, by file name."""
  return output.files(two_groups)


@pytest.fixture
def evals(tmp_path):
  """Results of the harness: two sizes × three training seeds."""
  from tests.harness_files import SIZES, make_content, put, score_of

  for size, seed in itertools.product(SIZES, range(3)):
    name = f"EleutherAI/pythia-{size}-seed{seed}"
    put(tmp_path, make_content(name, score_of(size, seed)))
  (tmp_path / "samples_arc_easy_2024.jsonl").write_text("{}\n")
  return tmp_path
