"""The command from a file to its report, as a process of its own."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emergence.analysis import rows
from emergence.config import Cell

HOSTILE = '<script>alert("x")</script>'


def run(*flags) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, "-m", "experiments.analyze", *map(str, flags)],
    capture_output=True,
    text=True,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    timeout=300,
  )


def analyze(source, out, *flags) -> dict:
  """Runs the command and returns its summary.json, read strictly."""
  result = run(f"--records={source}", f"--out={out}", "--resamples=100", *flags)
  assert result.returncode == 0, result.stderr
  assert result.stderr == ""
  assert not re.search(r"\b(nan|inf|None)\b", result.stdout)
  for name in ("summary", "trajectories", "distances", "paths"):
    assert (out / f"{name}.csv").exists()
  page = (out / "report.html").read_text()
  assert "<script" not in page
  content = json.loads(
    (out / "summary.json").read_text(), parse_constant=pytest.fail
  )
  for finding in content["findings"]:
    assert not re.search(r"\b(nan|inf|None)\b", finding["sentence"])
  content["stdout"] = result.stdout
  content["summary"] = pd.read_csv(out / "summary.csv")
  return content


def snapshot(folder: pathlib.Path):
  return {
    path: (path.stat().st_mtime_ns, path.read_bytes())
    for path in folder.rglob("*")
    if path.is_file()
  }


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
  """Two models at six sizes, 24 runs each, as a foreign table has them."""
  rng = np.random.default_rng(0)
  found = []
  for model in ("alpha", "beta"):
    for n in range(6):
      high_S = np.arange(24) < 4.8 * n
      accuracy_S = np.where(high_S, 80, 5) + rng.normal(0, 3, 24)
      accuracy_S = np.clip(accuracy_S, 0, 100).round(2)
      found.append(
        pd.DataFrame(
          {
            "family": model,
            "params": [f"{2**n}M"] * 24,
            "run": np.arange(24),
            "acc (%)": accuracy_S,
            "loss": (4 - accuracy_S / 30 + rng.normal(0, 0.1, 24)).round(3),
          }
        )
      )
  return pd.concat(found, ignore_index=True)


MAPPING = [
  "--scale_column=params",
  "--seed_column=run",
  "--score_column=acc (%)",
  "--score_column=loss",
  "--group_columns=family",
  "--lower_is_better=loss",
  "--threshold=0.5",
  "--threshold=loss=2",
]


@pytest.fixture(scope="module")
def csv_run(scores, tmp_path_factory):
  folder = tmp_path_factory.mktemp("csv")
  scores.to_csv(folder / "scores.csv", index=False)
  table = folder / "table.json"
  content = analyze(
    folder / "scores.csv", folder / "out", *MAPPING, f"--json={table}"
  )
  return folder, content


def test_foreign_names_percent_and_losses_are_understood(csv_run, scores):
  _, content = csv_run
  frame = content["summary"]
  assert list(frame.columns) == ["family", *rows.SUMMARY_COLUMNS]
  assert len(frame) == 2 * 6 * 2
  assert frame["scale"].unique().tolist() == [1e6 * 2**n for n in range(6)]
  cells = scores.groupby(["family", "params"])
  for row in frame.itertuples():
    cell = cells.get_group((row.family, row.scale_label))
    if row.metric == "loss":
      assert row.mean == pytest.approx(cell["loss"].mean())
      hits = int((cell["loss"] <= 2).sum())
    else:
      assert row.mean == pytest.approx(cell["acc (%)"].mean() / 100)
      hits = int((cell["acc (%)"] >= 50).sum())
    assert row.success_probability == hits / 24
    interval = stats.binomtest(hits, 24).proportion_ci(method="wilson")
    assert row.success_low == pytest.approx(interval.low, abs=1e-9)
    assert row.success_threshold == (2 if row.metric == "loss" else 0.5)
  directions = {m["name"]: m["higher_is_better"] for m in content["metrics"]}
  assert directions == {"acc (%)": True, "loss": False}


def test_the_command_tells_its_findings_time_and_files(csv_run):
  folder, content = csv_run
  told = content["stdout"].splitlines()
  assert told[-2:] == [
    f"tables  {folder / 'out'}",
    f"report  {folder / 'out' / 'report.html'}",
  ]
  assert re.fullmatch(
    r"read [\d.]+ s, analyzed [\d.]+ s, wrote [\d.]+ s", told[-3]
  )
  assert all(line.startswith("- ") for line in told[:-3])
  shown = {line[2:] for line in told[:-3]}
  sentences = {f["sentence"] for f in content["findings"]}
  audit = {f["sentence"] for f in content["audit"]}
  assert shown <= sentences | audit
  assert audit <= shown
  assert "is taken as percent" in "".join(audit)
  assert any("after Holm over 24 tests" in line for line in shown)
  assert (folder / "table.json").read_bytes() == (
    folder / "out" / "summary.json"
  ).read_bytes()
  figures = {path.name for path in (folder / "out" / "figures").iterdir()}
  assert {"summaries.png", "summaries.svg", "trajectories.svg"} <= figures


def test_the_report_has_every_shown_statement(csv_run):
  import html

  folder, content = csv_run
  page = html.unescape((folder / "out" / "report.html").read_text())
  for line in content["stdout"].splitlines():
    if line.startswith("- "):
      assert line[2:] in page


def test_the_same_command_again_touches_no_file(csv_run):
  folder, _ = csv_run
  before = snapshot(folder / "out")
  analyze(folder / "scores.csv", folder / "out", *MAPPING)
  assert snapshot(folder / "out") == before


def harness_file(size, seed, score):
  return {
    "results": {
      "arc": {
        "alias": "arc",
        "acc,none": score,
        "acc_stderr,none": 0.01,
        "perplexity,none": 10 / (score + 0.1),
      }
    },
    "config": {
      "model": "hf",
      "model_args": f"pretrained=lab/model-{size}-seed{seed}",
    },
    "model_name": f"lab/model-{size}-seed{seed}",
    "n-shot": {"arc": 0},
    "higher_is_better": {"arc": {"acc": True, "perplexity": False}},
    "n-samples": {"arc": {"original": 500, "effective": 500}},
  }


@pytest.mark.slow
def test_a_folder_of_harness_results(tmp_path):
  rng = np.random.default_rng(1)
  expected = {}
  for size in ("14m", "70m", "160m"):
    for seed in range(5):
      score = round(float(rng.random()), 3)
      expected.setdefault(size, []).append(score)
      path = tmp_path / "results" / f"{size}-{seed}"
      path.mkdir(parents=True)
      (path / "results_2024.json").write_text(
        json.dumps(harness_file(size, seed, score))
      )
  content = analyze(tmp_path / "results", tmp_path / "out")
  frame = content["summary"]
  assert list(frame.columns[:4]) == ["model", "task", "scale", "scale_label"]
  own = frame[frame["metric"] == "acc"]
  assert own["scale_label"].tolist() == list(expected)
  for mean, values in zip(own["mean"], expected.values()):
    assert mean == pytest.approx(np.mean(values))
  other = frame[frame["metric"] == "perplexity"]
  assert other["success_probability"].isna().all()
  told = " ".join(finding["sentence"] for finding in content["audit"])
  assert "are over test items, not over runs" in told


@pytest.mark.slow
def test_a_work_directory(tiny, tmp_path):
  from emergence import backlog, hardware, sweep

  workdir = tmp_path / "run"
  workdir.mkdir()
  devices = hardware.local_devices(2)
  from etils import epath

  sweep.prepare(tiny, epath.Path(workdir), devices)
  work = [
    backlog.Work(Cell("count", 8, depth), [[0, 1, 2, 3], [4, 5, 6, 7]])
    for depth in (1, 2)
  ]
  sweep.run(tiny, epath.Path(workdir), work, devices)
  before = snapshot(workdir)
  content = analyze(workdir, tmp_path / "out")
  assert snapshot(workdir) == before
  frame = content["summary"]
  assert list(frame.columns) == ["task", "width", *rows.SUMMARY_COLUMNS]
  records = pd.read_parquet(workdir / "records")
  final = records.query("step == 6 and test_length == 6")
  for row in frame.itertuples():
    cell = final[final["depth"] == row.scale]
    assert row.n_seeds == len(cell) == 8
    assert row.mean == pytest.approx(cell[row.metric].mean(), rel=1e-6)
  assert content["condition"] == "test length 6, after 6 updates"
  assert "shares the data stream" in content["seed_meaning"]


def write(path, cells):
  """Scores of seeds by scale, as CSV, JSON lines or Parquet."""
  frame = pd.DataFrame(
    [
      {"scale": scale, "seed": seed, "score": score}
      for scale, scores in cells.items()
      for seed, score in enumerate(scores)
    ]
  )
  match path.suffix:
    case ".csv":
      frame.to_csv(path, index=False)
    case ".jsonl":
      frame.to_json(path, orient="records", lines=True)
    case ".parquet":
      frame.to_parquet(path)
  return path


def test_one_scale_says_what_can_be_said_and_names_what_cannot(tmp_path):
  scores = np.random.default_rng(2).random(30).round(3)
  content = analyze(write(tmp_path / "a.jsonl", {3: scores}), tmp_path / "out")
  (row,) = content["summary"].itertuples()
  assert row.mean == pytest.approx(scores.mean())
  kinds = {finding["kind"] for finding in content["findings"]}
  assert kinds <= {"success", "modality", "threshold"}
  told = " ".join(finding["sentence"] for finding in content["audit"])
  assert "nothing can be said about scaling" in told
  assert pd.read_csv(tmp_path / "out" / "distances.csv").empty


@pytest.mark.slow
def test_one_seed_says_what_can_be_said_and_names_what_cannot(tmp_path):
  cells = {n: [0.1 * n] for n in range(1, 8)}
  content = analyze(write(tmp_path / "a.csv", cells), tmp_path / "out")
  frame = content["summary"]
  np.testing.assert_allclose(frame["mean"], 0.1 * frame["scale"])
  assert frame["mean_low"].isna().all()
  assert set(frame["modality"]) == {"undecided"}
  told = " ".join(finding["sentence"] for finding in content["audit"])
  assert "hold one seed only" in told
  kinds = {finding["kind"] for finding in content["findings"]}
  assert "small_studies" not in kinds


def test_a_scale_at_which_all_seeds_diverged(tmp_path):
  rng = np.random.default_rng(3)
  cells = {1: rng.random(12), 2: [np.nan] * 12, 3: rng.random(12)}
  content = analyze(write(tmp_path / "a.parquet", cells), tmp_path / "out")
  frame = content["summary"].set_index("scale")
  assert frame.loc[2, "n_diverged"] == 12
  assert frame.loc[2, "success_probability"] == 0
  assert np.isnan(frame.loc[2, "success_probability_finite"])
  assert np.isnan(frame.loc[2, "mean"])
  assert frame["w2_to_previous"].isna().all()
  (finding,) = [f for f in content["findings"] if f["kind"] == "divergence"]
  assert finding["numbers"] == {"num_diverged": 12}


def test_hostile_text_reaches_all_outputs_as_text(tmp_path):
  rng = np.random.default_rng(4)
  group, metric, long = f"g{HOSTILE}", f"$x$ {HOSTILE}", "x" * 400
  names = [HOSTILE, "$\\frac{", long]
  frame = pd.DataFrame(
    [
      {HOSTILE: n, "seed": s, metric: rng.random(), group: name}
      for name in names
      for n in (1, 2, 3)
      for s in range(6)
    ]
  )
  path = tmp_path / "$x$ <b>.csv"
  frame.to_csv(path, index=False)
  content = analyze(
    path,
    tmp_path / "out",
    f"--scale_column={HOSTILE}",
    f"--score_column={metric}",
    f'--group_columns="{group.replace(chr(34), chr(34) * 2)}"',
  )
  summary = content["summary"]
  assert summary.columns[0] == group
  assert set(summary[group]) == set(names)
  assert set(summary["metric"]) == {metric}
  groups = {tuple(finding["group"]) for finding in content["findings"]}
  assert groups == {(name,) for name in names}
  for finding in content["findings"]:
    assert len(finding["sentence"]) < 2000
  page = (tmp_path / "out" / "report.html").read_text()
  assert "&lt;script&gt;alert(" in page
  assert "<b>" not in page
  for path in (tmp_path / "out" / "figures").glob("*.svg"):
    assert "<script" not in path.read_text()
    assert len(path.name) < 100


MISTAKES = [
  (["--records="], ["--records is empty"]),
  (["--out="], ["--out is empty"]),
  (["--records=/nowhere/a.csv"], ["there is no /nowhere/a.csv"]),
  (["--score_column=acc"], ["--score_column: no column 'acc'"]),
  (["--scale_column=scal"], ["did you mean 'scale'?"]),
  (["--group_columns=score"], ["'score'"]),
  (["--threshold=high"], ["--threshold reads like 0.2"]),
  (["--threshold=score=nan"], ["finite number", "'nan'"]),
  (["--threshold=20"], ["--threshold: 20 is outside of [0, 1]"]),
  (["--threshold=acc=0.5"], ["there is no metric 'acc'"]),
  (["--where=scale"], ["--where reads COLUMN=VALUE"]),
  (["--where=scale=9"], ["leaves no row"]),
  (["--score_unit=degrees"], ["--score_unit must be one of"]),
  (["--lower_is_better=loss"], ["no column 'loss' in the metrics"]),
  (["--conflicting_scores=mean"], ["conflicting_scores"]),
  (["--resamples=10"], ["resamples"]),
  (["--seed=-1"], ["seed"]),
  (["--test_length=9"], ["--test_length does not concern a single file"]),
  (["--name_pattern=x"], ["--name_pattern does not concern"]),
  (["--nonsense=1"], ["nonsense"]),
  (["leftover"], ["unexpected argument 'leftover'"]),
  (
    ["--records=ODD", "--group_columns=mean"],
    ["'mean' is a column of the results"],
  ),
  (["--threshold=0.3,score=nan"], ["finite number"]),
]

# Imports the command once and runs it in a fork for each list of flags.
SERVER = """
import json, os, sys
import pandas, pyarrow.parquet  # Once for all.
from experiments import analyze, command
for i, flags in enumerate(json.load(sys.stdin)):
  pid = os.fork()
  if not pid:
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
      stream.flush()
      name = f"{sys.argv[1]}/{i}.{number}"
      os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY), number)
    sys.argv = ["analyze", *flags]
    try:
      command.run(analyze.main)
    except SystemExit as error:
      sys.stdout.flush()
      sys.stderr.flush()
      os._exit(error.code)
  print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
  """Exit code, stdout and stderr of each of `MISTAKES`."""
  folder = tmp_path_factory.mktemp("mistakes")
  path = write(folder / "a.csv", {1: [0.1, 0.2], 2: [0.3, 0.4]})
  odd = folder / "odd.csv"
  odd.write_text("scale,seed,score,mean\n1,0,0.5,a\n")
  given = [f"--records={path}", f"--out={folder / 'out'}"]
  flags = [
    [*given, *(flag.replace("ODD", str(odd)) for flag in more)]
    for more, _ in MISTAKES
  ]
  result = subprocess.run(
    [sys.executable, "-c", SERVER, folder],
    input=json.dumps(flags),
    capture_output=True,
    text=True,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    timeout=300,
  )
  assert result.returncode == 0, result.stderr
  codes = map(int, result.stdout.split())
  assert not (folder / "out").exists()
  return [
    (code, *((folder / f"{i}.{number}").read_text() for number in (1, 2)))
    for i, code in enumerate(codes)
  ]


@pytest.mark.parametrize("i", range(len(MISTAKES)))
def test_a_mistake_ends_in_one_line(mistakes, i):
  code, stdout, stderr = mistakes[i]
  assert code == 2
  (line,) = stderr.splitlines()
  assert line.startswith("error: ")
  for part in MISTAKES[i][1]:
    assert part in line
  assert stdout == ""


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path):
  small = write(tmp_path / "a.csv", {1: [0.1, 0.2]})
  json_path = tmp_path / "none" / "a.json"
  result = run(
    f"--records={small}", f"--out={tmp_path / 'out'}", f"--json={json_path}"
  )
  assert result.returncode == 1
  assert result.stderr == f"error: --json: {json_path} cannot be written\n"


def test_help_explains_each_flag():
  result = run("--help")
  assert result.returncode == 0
  flags = re.findall(
    r'(?:DEFINE_|define_)\w+\(\s*"(\w+)"',
    pathlib.Path("experiments/analyze.py").read_text(),
  )
  assert len(flags) > 15
  for flag in flags:
    assert f"--{flag}:" in result.stdout or f"--[no]{flag}:" in result.stdout
