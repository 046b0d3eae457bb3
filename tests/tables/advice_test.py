"""What is advised about tables as other people make them works when typed."""

import concurrent.futures
import gzip
import multiprocessing
import re
import shlex

import pytest

from emergence import tables
from tests.harness_files import make_content, put

_FLAG = r"--\w+(?:=(?:'[^']*'|[^\s;]*[^\s;.,?]))?"
_ADVICE = re.compile(rf"{_FLAG}(?: {_FLAG})*")


def grid(*scales):
  """Lines of four scores at each scale that tell their scale and seed."""
  return "\n".join(
    f"{scale},{seed},{(i + 1) / 5 + seed / 100:.4f}"
    for i, scale in enumerate(scales)
    for seed in range(4)
  )


def wide(*names):
  return (
    f"params,{','.join(names)}\n10M,{','.join('0.2' for _ in names)}\n"
    f"40M,{','.join('0.4' for _ in names)}\n"
  )


def steps():
  """Rows of two evaluations of each run, the last one first."""
  rows = [
    f"{scale},{step},s{seed},{score + seed / 100:.3f}"
    for scale, score in (("10M", 0.2), ("40M", 0.4))
    for seed in range(3)
    for step, score in ((100, score / 2), (200, score))
  ]
  return "params,step,seed,acc\n" + "\n".join(rows[::-1]) + "\n"


HEAD = "scale,seed,score\n"
PARAMS = "params,seed,acc\n"
PLAIN = HEAD + grid("10M", "40M")
CHART = "Step,m-10M-seed0 - acc,m-10M-seed1 - acc,m-40M-seed0 - acc\n" + (
  "1,0.1,,0.2\n2,,0.21,0.4\n3,0.2,,\n"
)
# A name, the text, the flags given, and scores by scale that come of all
# advice, or of the flags said to be right where advice differs in meaning.
CASES = [
  ("pipe", PLAIN.replace(",", "|"), [], {10e6: 4, 40e6: 4}),
  ("quotes", f'"{PLAIN}"'.replace(",", '", "').replace("\n", '"\n"'))
  + ([], {10e6: 4, 40e6: 4}),
  ("blank tail", PLAIN + "\n\n,,\n", [], {10e6: 4, 40e6: 4}),
  ("title", "Results,,\n" + PLAIN, [], {10e6: 4, 40e6: 4}),
  ("excel", "sep=;\n" + PLAIN.replace(",", ";"), [], {10e6: 4, 40e6: 4}),
  ("index", ",," + PLAIN.replace("\n", "\n0,0,"), [], {10e6: 4, 40e6: 4}),
  (
    "decimal comma",
    PLAIN.replace(",", ";").replace(".", ","),
    [],
    {10e6: 4, 40e6: 4},
  ),
  ("summary", PLAIN + "\n10M,Minimum,0.1\n", [], None),
  ("words", HEAD + grid("small", "large"), [], {1: 4, 2: 4}),
  ("no scale", "seed,score\n0,0.1\n1,0.3\n", [], {1: 2}),
  (
    "sizes in names",
    "Name,score\nv1.5-0.5b-seed0,0.1\nv1.5-1.5b-seed0,0.2\nf-1b7-seed0,0.3\n",
    ["--seed_column=Name"],
    {0.5e9: 1, 1.5e9: 1, 1.7e9: 1},
  ),
  ("other column", "seed,lr,score\n0,1,0.1\n1,2,0.3\n", [], {1: 2}),
  ("one run", "Wall time,Step,acc\n1.5,0,0.1\n2.5,9,0.3\n")
  + (["--score_column=acc", "--step_column=Step"], {1: 1}),
  ("wide", wide("seed_0", "seed_1", "mean"), ["--scale_column=params"])
  + ({10e6: 2, 40e6: 2},),
  ("pivot", ",seed,0,1\nparams,,,\n10M,,0.2,0.3\n40M,,0.4,0.5\n")
  + (["--scale_column=params"], {10e6: 2, 40e6: 2}),
  ("chart", CHART, ["--step_column=Step"], {10e6: 2, 40e6: 1}),
  ("error", PARAMS.replace("acc", "err") + grid("10M", "40M"))
  + (["--scale_column=params", "--score_column=err"], {10e6: 4, 40e6: 4}),
  ("metric with a comma", 'scale,seed,"err,strict"\n' + grid("1", "2"))
  + (["--score_column=err,strict"], {1: 4, 2: 4}),
  ("a typing error", PARAMS + grid("10M", "40M"))
  + (["--scale_column=param", "--score_column=acc"], {10e6: 4, 40e6: 4}),
  ("dicts", "scale,seed,m\n1,0,\"{'acc': 0.1}\"\n1,1,\"{'acc': 0.2}\"\n")
  + (["--score_column=m"], {1: 2}),
  ("no seed", PLAIN + "\n10M,,0.5\n", [], {10e6: 4, 40e6: 4}),
  ("text", PLAIN + "\n10M,9,failed\n", [], {10e6: 4, 40e6: 4}),
]


def write(folder, text, name="t.csv"):
  path = folder / name
  path.write_text(text)
  return path


def read_flags(given):
  """What `experiments.analyze` makes of its flags; in a process of its own."""
  from absl import flags
  from absl.testing import flagsaver

  from experiments import analyze  # Two mains in a process share no flags.

  with flagsaver.flagsaver():
    flags.FLAGS(["analyze", *given])
    return analyze._read_options()


@pytest.fixture(scope="module")
def options():
  context = multiprocessing.get_context("forkserver")
  with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
    yield lambda given: pool.submit(read_flags, given).result()


def walk(options, path, given, depth=0):
  """Every way to follow the advice: the flags and the table at its end."""
  try:
    yield given, tables.read(path, **options(given))
    return
  except ValueError as error:
    message = str(error)
  assert "\n" not in message
  advice = [x for x in _ADVICE.findall(message) if "=" in x]
  advice += re.findall(r"--decimal_comma", message)
  assert advice, message
  assert depth < 5, message
  for typed in advice:
    more = shlex.split(typed)
    names = {flag.partition("=")[0] for flag in more if "_column=" in flag}
    kept = [flag for flag in given if flag.partition("=")[0] not in names]
    yield from walk(options, path, [*kept, *more], depth + 1)


def seeds_at(table):
  """How many there are, by scale."""
  return table.frame.groupby("scale")["seed"].nunique().to_dict()


@pytest.mark.parametrize(
  ("names", "sizes"),
  [
    (["f-70m", "f-70m-seed1", "f-1b7", "f-1b7-seed1"], {70e6: 2, 1.7e9: 2}),
    (["f-big-seed0", "f-big-seed1", "f-tiny-seed0"], {1: 2, 2: 1}),
    (["f2.5-1.5B-1M-seed0", "f2.5-7B-1M-seed0"], {1.5e9: 1, 7e9: 1}),
  ],
)
def test_every_advice_about_result_files_leads_to_a_table(
  options, tmp_path, names, sizes
):
  for i, name in enumerate(names):
    put(tmp_path, make_content(f"org/{name}", 0.2 + i / 100))
  ((_, table),) = walk(options, tmp_path, [])
  assert seeds_at(table) == sizes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_every_advice_leads_to_a_table(options, tmp_path, case):
  _, text, given, sizes = case
  ends = list(walk(options, write(tmp_path, text), given))
  assert ends
  if sizes:
    assert sizes in [seeds_at(table) for _, table in ends]


def test_the_last_step_counts_wherever_its_row_stands(options, tmp_path):
  given = ["--scale_column=params", "--score_column=acc"]
  path = write(tmp_path, steps())
  ends = list(walk(options, path, given))
  (table,) = [t for f, t in ends if "--step_column=step" in f]
  last = table.frame.groupby("scale")["score"].agg(sorted).to_dict()
  assert last == {10e6: [0.2, 0.21, 0.22], 40e6: [0.4, 0.41, 0.42]}
  assert table.curves.groupby("step").size().to_dict() == {100: 6, 200: 6}
  given += ["--step_column=step"]
  early = tables.read(path, **options([*given, "--at_step=0.1k"]))
  assert early.frame["score"].max() == pytest.approx(0.22)
  assert set(early.curves["step"]) == {100}
  with pytest.raises(ValueError, match="--at_step: 'first' is no training ste"):
    tables.read(path, **options([*given, "--at_step=first"]))


def test_a_run_that_ends_early_is_told_and_counts_nowhere_at_a_step(
  options, tmp_path
):
  text = steps().replace("40M,200,s2,0.420\n", "")
  given = ["--scale_column=params", "--score_column=acc", "--step_column=step"]
  path = write(tmp_path, text)
  table = tables.read(path, **options(given))
  (issue,) = [x for x in table.issues if x.kind == "early_step"]
  assert [row["seed"] for row in issue.rows] == ["s2"]
  table = tables.read(path, **options([*given, "--at_step=200"]))
  assert len(table.frame) == 5
  assert table.num_missing[(40e6, "acc")] == 1
  told = [x.sentence for x in table.issues if x.kind == "excluded"]
  assert told == [
    "At --at_step=200, 1 score is missing, counted per run and metric. A run"
    " without a score at that step is left out."
  ]


def test_rows_that_are_dropped_are_counted(options, tmp_path):
  path = write(tmp_path, PLAIN + "\n10M,mean,0.5\n10M,best,0.9\n")
  table = tables.read(path, **options(["--drop_rows=mean,best"]))
  told = [x.sentence for x in table.issues if x.kind == "excluded"]
  assert told == ["--drop_rows leaves out 2 rows."]


def test_archives_and_folders_of_files_are_read(options, tmp_path):
  (tmp_path / "t.csv.gz").write_bytes(gzip.compress(PLAIN.encode()))
  assert len(tables.read(tmp_path / "t.csv.gz").frame) == 8
  (tmp_path / "t.csv.gz").rename(tmp_path / "T.CSV.GZ")
  assert len(tables.read(tmp_path).frame) == 8
  runs = tmp_path / "runs"
  runs.mkdir()
  for name in ("10M-seed0", "10M-seed1", "40M-seed0"):
    write(runs, "Wall time,Step,Value\n1.5,0,0.1\n2.5,9,0.3\n", f"{name}.csv")
  given = ["--seed_column=file", "--score_column=Value", "--step_column=Step"]
  given += ["--higher_is_better=Value"]
  ends = walk(options, runs, given)
  table = next(t for used, t in ends if "--scale_column=none" not in used)
  assert seeds_at(table) == {10e6: 2, 40e6: 1}
  assert set(table.frame["score"]) == {0.3}


def test_mixed_units_are_told_apart_by_a_column(options, tmp_path):
  text = PARAMS + grid("10M") + "\n" + "40M,0,62\n40M,1,61\n40M,2,63"
  given = ["--scale_column=params", "--score_column=acc"]
  ends = walk(options, write(tmp_path, text), given)
  table = next(
    t for used, t in ends if "--score_unit=params=10M=fraction" in used
  )
  means = table.frame.groupby("scale")["score"].mean()
  assert means.tolist() == pytest.approx([0.215, 0.62])
