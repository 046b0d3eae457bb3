"""Makes the pages of the findings: figures, table of claims, list of runs.

Everything on them is computed from the committed records.
"""

import concurrent.futures
import math
import multiprocessing
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from etils import epath

from emergence import tables
from emergence.analysis import questions, words
from emergence.config import axis_text
from emergence.config import cells as cells_of
from emergence.plotting import rendering
from emergence.statistics.options import Options
from emergence.statistics.summary import count_by_tenth
from emergence.storage import records
from emergence.storage.files import write_atomically
from emergence.sweep import console, time_budget
from experiments import claims, failures, paper_figures, precursors
from experiments.claims import CLAIMS, Claim, Grid, Outcome, Verdict
from experiments.precursors import Trial
from experiments.studies import Study

PLACE = pathlib.Path(__file__).parent
COMMAND = "python -m experiments.reproduce --figures"


def _components(grid: Grid, _: Mapping[str, str]) -> str:
  found = grid.score.answers["variance_components"]
  if not found:
    return ""
  components = found[0].components
  rest = components.rest
  low, high = words.percent(rest.low), words.percent(rest.high)
  return (
    f"{paper_figures.said(grid.score, 'variance_components')} The rest,"
    f" {words.percent(rest.value)} ({low.removesuffix('%')}–{high}), is"
    " interaction and residual, which cannot be separated with one run per pair"
    " of initialization and data order."
    f" Permutation p: {words.number(components.init_p, 2)} for the"
    f" initialization, {words.number(components.data_p, 2)} for the data order."
  )


def _pairing(grid: Grid, _: Mapping[str, str]) -> str:
  found = grid.score.answers["pairing"]
  if found is None or math.isnan(found.correlation):
    return ""
  least, greatest = map(words.signed, (found.least, found.greatest))
  return (
    "The rank correlation between the scores of two scales is"
    f" {words.signed(found.correlation)} on average over pairs of scales, and"
    f" from {least} to {greatest} for single pairs; p ="
    f" {words.number(found.p, 2)} from shuffling the seeds of each scale, not"
    " corrected over grids."
    f" {found.shares}"
  ).strip()


def _losses(grid: Grid, _: Mapping[str, str]) -> str:
  return failures.loss_sentence(grid)


def _errors(_: Grid, said: Mapping[str, str]) -> str:
  names = "errors", "right_up_to", "attention"
  return " ".join(said[name] for name in names if name in said)


def _lost(_: Grid, said: Mapping[str, str]) -> str:
  return said.get("curves", "")


def _forecasts(_: Grid, said: Mapping[str, str]) -> str:
  return said.get("forecasts", "")


def _false_alarms(grid: Grid, _: Mapping[str, str]) -> str:
  if grid.score.answers["variance_components"]:
    return ""
  kinds = "modality", "distance", "curve", "pairing"
  texts = [paper_figures.said(grid.score, kind) for kind in kinds]
  nll = paper_figures.said(grid.likelihoods[claims.NLL], "modality")
  return " ".join(filter(None, [*texts, nll and f"In NLL: {nll}"]))


# Questions that the paper does not ask. Each has the roles of the studies that
# answer it, and a function that does so from the records and the figures' text.
FURTHER: dict[
  str, tuple[tuple[str, ...], Callable[[Grid, Mapping[str, str]], str]]
] = {
  "Did the seeds that fail at the end succeed earlier in training?": (
    ("grid", "search"),
    _lost,
  ),
  "How much do initialization and data order decide?": (
    ("control",),
    _components,
  ),
  "Does a seed index that scores high at one scale score high at others?": (
    ("grid",),
    _pairing,
  ),
  "Do seeds that succeed have a lower loss on the training distribution?": (
    ("grid", "search"),
    _losses,
  ),
  "How do the answers of failing seeds go wrong?": (("grid",), _errors),
  "Can one tell during training which seeds will succeed?": (
    ("grid",),
    _forecasts,
  ),
  "What do the analyses report where nothing changes with scale?": (
    ("control",),
    _false_alarms,
  ),
}


# The figures that are drawn of controls: any effect would show in them.
_OF_CONTROLS = (
  *("variance_components", "distribution", "summaries", "likelihood"),
  "distances",
)


class Drawn(NamedTuple):
  """What is known of a study once its figures are drawn.

  Attributes:
    study: the study.
    captions: of its figures, by name.
    verdicts: by the number of the claim: a grid has all, a search has one.
    trials: signs at its scales and in null populations.
    further: its answer to each question of `FURTHER` that its role answers.
  """

  study: Study
  captions: dict[str, str]
  verdicts: dict[int, Verdict]
  trials: list[Trial]
  further: dict[str, str]


def draw(
  study: Study, records_folder: pathlib.Path, out: pathlib.Path
) -> Drawn:
  """Writes the figures of a study to OUT/NAME/FIGURE.png.

  Args:
    study: the study.
    records_folder: the folder that has its work directory, NAME.
    out: the folder of all figures.
  """
  folder = records_folder / study.name
  grid = claims.load(study.name, folder)
  captions, said = {}, {}
  for picture in paper_figures.pictures(grid, folder):
    if study.role == "control" and picture.name not in _OF_CONTROLS:
      continue
    _save(picture, out / study.name)
    captions[picture.name] = picture.caption
    said[picture.name] = picture.finding
  verdicts = {
    claim.number: claim.rule(grid)
    for claim in CLAIMS
    if study.role == "grid" or claim.number == study.claim
  }
  # Nothing rises in a control, and a search was picked for what happens in it.
  has_trials = study.role in ("grid", "demo")
  trials = precursors.trials(grid) if has_trials else []
  further = {
    question: answer(grid, said)
    for question, (roles, answer) in FURTHER.items()
    if study.role in roles
  }
  return Drawn(study, captions, verdicts, trials, further)


def _save(picture: paper_figures.Picture, folder: pathlib.Path) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  content = rendering.render(picture.figure, "png")
  write_atomically(epath.Path(folder / f"{picture.name}.png"), content)


def draw_all(
  studies: Sequence[Study], records_folder: pathlib.Path, out: pathlib.Path
) -> list[Drawn]:
  """Draws the studies except repeats and tasks, two at a time."""
  drawn_roles = "grid", "search", "demo", "control"
  studies = [x for x in studies if x.role in drawn_roles]
  num = len(studies)
  # A fork of a process in which JAX runs would hang.
  context = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
    return list(pool.map(draw, studies, [records_folder] * num, [out] * num))


def draw_tasks(
  studies: Sequence[Study], records_folder: pathlib.Path, out: pathlib.Path
) -> str:
  """Draws the tasks side by side, each from the first study that has it.

  Returns:
    The caption; empty if no study has the role `task`.
  """
  if not any(x.role == "task" for x in studies):
    return ""
  folders = {}
  for study in studies:
    if study.role in ("grid", "task"):
      folder = records_folder / study.name
      folders.setdefault(records.read_config(folder).task.name, folder)
  folders = list(folders.values())
  picture = paper_figures.tasks(folders)
  _save(picture, out)
  return picture.caption


def outcomes(drawn: Sequence[Drawn]) -> list[dict[str, Outcome]]:
  """The decisions about each of `CLAIMS`, by the name of the grid."""
  grids = [x for x in drawn if x.study.role == "grid"]
  weak = [x.study.name for x in grids if x.study.underpowered]
  return [
    claims.decide(
      claim,
      {x.study.name: x.verdicts[claim.number] for x in grids},
      underpowered=weak,
    )
    for claim in CLAIMS
  ]


def searches(drawn: Sequence[Drawn], claim: Claim) -> dict[str, Outcome]:
  """The decision about each setting that was searched for a claim, by name.

  Each is decided alone: it is not part of Holm's correction over the grids.
  """
  return {
    x.study.name: claims.decide(
      claim, {x.study.name: x.verdicts[claim.number]}
    )[x.study.name]
    for x in drawn
    if x.study.role == "search" and x.study.claim == claim.number
  }


def claim_table(drawn: Sequence[Drawn], place: str) -> str:
  """The claims as a Markdown table: one row per claim, one column per grid.

  Args:
    drawn: the results of each study.
    place: what links to this folder begin with, such as `experiments/`.
  """
  decided = outcomes(drawn)
  config_of = {x.study.name: x.study.config for x in drawn}

  def link(name: str) -> str:
    return f"[{name}]({place}configs/{config_of[name]}.py)"

  def cell(claim: Claim, name: str, outcome: Outcome) -> str:
    figures = _links(claim.figures, name, drawn, f"{place}figures/")
    parts = _status(outcome), outcome.verdict.evidence, figures
    return "<br>".join(filter(None, parts))

  rows = [["claim", "result", *map(link, decided[0])]]
  for claim, of_grid in zip(CLAIMS, decided, strict=True):
    results = [f"**{claims.result(claim, of_grid)}**"] + [
      f"not a grid but picked to show this, {link(name)}:"
      f" {cell(claim, name, outcome)}"
      for name, outcome in searches(drawn, claim).items()
    ]
    cells = [cell(claim, name, outcome) for name, outcome in of_grid.items()]
    text = f"{claim.number}. {claim.statement}"
    rows.append([text, "<br>".join(results), *cells])
  return _table(rows)


def _status(outcome: Outcome) -> str:
  p = outcome.p_adjusted
  # If a rule fails for other reasons, a small p would mislead.
  if math.isnan(p) or (not outcome.verdict.holds and p <= Options().alpha):
    return outcome.status
  return f"{outcome.status}, p = {words.number(p, 2)}"


def _links(
  names: Sequence[str], study: str, drawn: Sequence[Drawn], figures: str
) -> str:
  (captions,) = [x.captions for x in drawn if x.study.name == study]
  return ", ".join(
    f"[{name.replace('_', ' ')}]({figures}{study}/{name}.png)"
    for name in names
    if name in captions
  )


def claim_numbers(drawn: Sequence[Drawn]) -> str:
  """The sentence that each decision rests on, as a list in Markdown."""
  lines = []
  for claim, of_grid in zip(CLAIMS, outcomes(drawn), strict=True):
    lines += [f"{claim.number}. {claim.statement}", ""] + [
      f"   - `{name}`, {_status(outcome)}: {outcome.verdict.sentence}."
      for name, outcome in of_grid.items()
    ]
    lines += [
      f"   - `{name}` (not a grid but picked to show this),"
      f" {_status(outcome)}: {outcome.verdict.sentence}."
      for name, outcome in searches(drawn, claim).items()
    ]
  return "\n".join(lines)


def further(drawn: Sequence[Drawn]) -> str:
  """What is found about the questions of `FURTHER`, as a list in Markdown."""
  parts = []
  for question in FURTHER:
    lines = [
      f"- `{x.study.name}`: {x.further[question]}"
      for x in drawn
      if x.further.get(question)
    ]
    if lines:
      parts += [f"**{question}**", "\n".join(lines)]
  return "\n\n".join(parts)


def precursor_table(drawn: Sequence[Drawn]) -> str:
  """Table of the signs before a rise in all studies; empty without trials."""
  trials = [trial for x in drawn for trial in x.trials]
  return _table(precursors.table(trials)) if trials else ""


def runs_table(studies: Sequence[Study], records_folder: pathlib.Path) -> str:
  """A row in Markdown for each study: cells, seeds, time, machine, speed."""
  rows = [["study", "cells", "seeds", "time", "machine", "seed-steps/s"]]
  for study in studies:
    folder = records_folder / study.name
    config = records.read_config(folder)
    axes = [cell.columns for cell in cells_of(config)]
    varying = [
      f"{axis} {words.listed([axis_text(v) for v in dict.fromkeys(values)])}"
      for axis in axes[0]
      if len(set(values := [cell[axis] for cell in axes])) > 1
    ]
    frame = records.final_rows(records.read(folder))
    seeds = len(frame[[*records.cell_columns(frame), "seed"]].drop_duplicates())
    runs = time_budget.read_runs(folder)
    seconds = time_budget.total_seconds(runs)
    steps = sum(run.seed_steps for run in runs)
    machines = {
      f"{run.devices['count']} × {run.devices['kind']}"
      f" ({run.versions.get('processor') or run.versions['machine']}, jax"
      f" {run.versions['jax_version']})"
      for run in runs
    }
    rows.append(
      [
        f"`{study.name}`",
        f"{len(axes)} of {config.task.name}"
        f"{': ' if varying else ''}{'; '.join(varying)}",
        str(seeds),
        console.format_seconds(sum(seconds.values())) if runs else "–",
        "; ".join(sorted(machines)) or "–",
        f"{steps / seconds['train']:,.0f}" if steps else "–",
      ]
    )
  return _table(rows)


def repeat_table(studies: Sequence[Study], records_folder: pathlib.Path) -> str:
  """Table of whether the demo's split is detected under each root seed.

  By the rule of PREREGISTRATION.md: `modality` of exact match at the headline
  length and depth 2, with Holm over the depths.
  """
  rows = [["root seed", "seeds by tenth of the score", "split", "p"]]
  for study in studies:
    if study.role not in ("demo", "repeat"):
      continue
    folder = records_folder / study.name
    table = tables.read(folder, score_columns=["exact_match"])
    (series,) = questions.analyze(table, kinds=["modality"]).series
    (i,) = (i for i, p in enumerate(series.populations) if p.scale == 2)
    found = series.answers["modality"].by_scale[i]
    tenths = count_by_tenth(series.populations[i].finite_S)
    name = str(records.read_config(folder).root_seed)
    if study.role == "demo":
      name += " (the demo)"
    rows.append(
      [
        name,
        " ".join(map(str, tenths)),
        found.label.replace("_", " "),
        words.number(found.p_adjusted, 2),
      ]
    )
  return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
  head, *body = (f"| {' | '.join(row)} |" for row in rows)
  return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def page(drawn: Sequence[Drawn], tasks_caption: str) -> str:
  """The page beside the figures, in Markdown.

  Args:
    drawn: what is known of the studies.
    tasks_caption: of the figure of all tasks; empty without one.
  """
  parts = [
    "# The figures",
    f"Drawn by `{COMMAND}` from [the records](../records), as are all numbers"
    " and sentences here. What was decided before the runs is in"
    " [PREREGISTRATION.md](../PREREGISTRATION.md); figures that the table of"
    " claims does not link to are exploratory. The score is exact match without"
    " the end symbol.",
  ]
  if any(x.verdicts for x in drawn):
    parts += [
      "In the table and the list of claims, the p after a status, such as"
      " “reproduced, p = 0.02”, is corrected by Holm's method over the grids"
      " that were tested. It is not corrected for a setting that is not one of"
      " the grids. For claim 1, p is three times the smallest p of the three"
      " tests of a cell: for two modes (the dip test), for a floor that seeds"
      " break out of, and for a ceiling that they fall from. For claim 3, p is"
      " the larger of this p and the p of the Wasserstein-2 distance (W2)."
      " Below the list of claims, no p is corrected over grids.",
      claim_table(drawn, "../"),
      claim_numbers(drawn),
    ]
  if text := further(drawn):
    parts += ["## What the paper does not ask (exploratory)", text]
  if table := precursor_table(drawn):
    parts += [
      "## Signs before a rise of the success probability",
      "The table is about the scales of the grids and the demo at which fewer"
      " than half of the seeds succeed, except the largest scale of each study."
      " It counts how many of these scales show a sign, separately for scales"
      " where the success probability rises to the next scale (Fisher's"
      " one-sided test at 5 %) and for scales where it does not. At the"
      " smallest scale of a study, signs that compare with the scale before are"
      " not counted. Null populations are drawn with the mean of such a scale,"
      " one mode that thins out from the floor, and no change from the scale"
      " before. Counts out of 10 or more have an exact interval. Exploratory.",
      table,
    ]
  for study, captions, *_ in drawn:
    note = {"grid": "", "search": f", picked to show claim {study.claim}"}.get(
      study.role, ", not used to decide a claim"
    )
    parts.append(f"## {study.name}{note}")
    for name, caption in captions.items():
      alt = caption.split(". ")[0].replace("[", "(").replace("]", ")")
      parts += [f"![{alt}]({study.name}/{name}.png)", caption]
  if tasks_caption:
    parts += ["## Tasks", "![A ridge for each task](tasks.png)", tasks_caption]
  return "\n\n".join(parts) + "\n"


def renew(file: pathlib.Path, blocks: Mapping[str, str]) -> None:
  """Replaces what stands between the markers of each block of a page.

  The markers are the lines `<!-- NAME -->` and `<!-- end of NAME -->`.

  Raises:
    ValueError: a marker is missing.
  """
  text = file.read_text()
  for name, block in blocks.items():
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    head, has_begin, rest = text.partition(begin)
    _, has_end, tail = rest.partition(end)
    if not has_begin or not has_end:
      raise ValueError(
        f"{file}: no lines {begin.strip()} and {end}; add both, in this order,"
        f" where {name} belongs"
      )
    text = f"{head}{begin}\n{block}\n\n{end}{tail}"
  file.write_text(text)
