import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from emergence.config import Cell, from_dict
from emergence.population import hardware
from emergence.population.population import Snapshot
from emergence.report import sweep_sections
from emergence.report.page import render_page
from emergence.storage import records
from emergence.sweep.time_budget import SweepRun
from emergence.training.evaluate import Scores


@pytest.fixture
def workdir(finished_copy):
  return finished_copy


def write_scores(tiny, workdir, scores_by_depth, diverged=()):
  """Replaces the records by seeds whose exact match is given at length 6."""
  shutil.rmtree(workdir / "records")
  for depth, scores in scores_by_depth.items():
    snapshots = []
    for step in tiny.eval_steps:
      final_S = np.asarray(scores, np.float32)
      match_SP = np.stack([np.ones_like(final_S), final_S * step / 6], axis=1)
      nll_SP = 2 - match_SP
      lost_S = np.array([i in diverged for i in range(len(scores))])
      nll_SP[lost_S] = np.nan
      loss_S = np.where(lost_S, np.nan, 1 + final_S)
      values = Scores._make(
        np.zeros_like(nll_SP) if name in records.ERROR_COUNTS else nll_SP
        for name in Scores._fields
      )._replace(
        exact_match=match_SP,
        token_accuracy=match_SP,
        min_token_log_prob=-nll_SP,
      )
      snapshots.append(Snapshot(step, values, loss_S, lost_S))
    cell = Cell.parse(f"count/width-8/depth-{depth}")
    seeds = list(range(len(scores)))
    table = records.to_table(tiny, cell, 100, seeds, snapshots)
    provenance = records.make_provenance(
      tiny, cell, hardware.local_devices(2)[:1]
    )
    records.write(workdir, cell, table, provenance)


def all_sections(found):
  return [*sweep_sections.sections(found), *sweep_sections.provenance(found)]


def texts(workdir) -> dict[str, str]:
  found = sweep_sections.read(workdir)
  parts = {s.name: " ".join(said(s)) for s in all_sections(found)}
  return parts | {"status": sweep_sections.status(found)}


def said(section):
  return [*section.answers, section.caveat, *map(" ".join, section.points)]


def test_every_section_has_words_for_what_it_shows_and_what_it_does_not(
  finished,
):
  parts = all_sections(sweep_sections.read(finished))
  assert len({s.name for s in parts}) == len(parts)
  for section in parts:
    assert re.fullmatch(r"[a-z-]+", section.name)
    assert section.title.endswith("?")
    assert all(text.endswith(".") for text in section.answers)
    if section.figure is not None:
      assert section.caveat.endswith(".")
  assert sum(s.figure is not None for s in parts) == 4


def test_sentences_carry_the_numbers_of_the_records(tiny, workdir):
  deep = [0.0] * 5 + [0.6] * 9 + [0.9] * 6
  write_scores(tiny, workdir, {1: [0.0] * 18 + [0.25, 0.07], 2: deep})
  found = texts(workdir)
  assert "40 models were trained at 2 scales" in found["models"]
  assert (
    "16 of the 16 models that the config asks for are recorded, and 24 others"
    in found["status"]
  )
  # A score s is s · step / 6: 0.6 is at 0.2 by step 2, 0.25 by step 6.
  assert (
    "16 seeds end at 20% or more: half of them were first seen there by step"
    " 2, all by step 6."
  ) in found["training-curves"]
  assert "0 seeds had been there" in found["training-curves"]
  assert "from 0.00 to 0.90 at length 6" in found["length-curves"]
  assert "is 1 at depth 1 and 1.6 at depth 2" in found["training-loss"]
  assert (
    "is 1.6 for the seeds that succeed at length 6 and 1 for the others"
    in found["training-loss"]
  )
  likelihood = found["exact-match-against-nll"]
  assert (
    "At 2 of 2 scales the order of the seeds is nearly the same" in likelihood
  )
  assert "depth 2 rank correlation −1.00" in likelihood


def test_a_sweep_that_is_not_finished_says_so(tiny, workdir):
  shutil.rmtree(workdir / "records" / "count" / "width-8" / "depth-2")
  found = texts(workdir)
  assert (
    "8 models of 16 are recorded; 1 scale without any; 0 diverged."
    in found["status"]
  )
  assert "trained 16 models, of which 8 are recorded" in found["time"]


def test_diverged_seeds_are_told_and_left_out_where_a_number_is_needed(
  tiny, workdir
):
  scores = {1: [0.0] * 4, 2: [0.0] + [0.9] * 7}
  write_scores(tiny, workdir, scores, diverged=[0])
  found = texts(workdir)
  assert "2 diverged and count as failed" in found["status"]
  assert "2 diverged seeds left out" in found["training-loss"]
  assert "nan" not in " ".join(found.values())


def test_a_sweep_of_which_all_seeds_diverged_is_reported(tiny, workdir):
  write_scores(tiny, workdir, {1: [0.0] * 4, 2: [0.0] * 4}, diverged=range(4))
  found = texts(workdir)
  assert "8 diverged" in found["status"]
  assert "No seed has a finite training loss" in found["training-loss"]
  assert "nan" not in " ".join(found.values())
  sections = all_sections(sweep_sections.read(workdir))
  render_page("Title", "Answer.", found["status"], sections)


def test_one_seed_and_no_success_are_reported(tiny, workdir):
  write_scores(tiny, workdir, {1: [0.0]})
  found = texts(workdir)
  assert "No seed ends at 20% or more" in found["training-curves"]
  assert "1 model was trained at 1 scale" in found["models"]
  assert "No scale has 5 seeds that differ" in found["exact-match-against-nll"]


@pytest.mark.parametrize(
  ("seeds", "words"),
  [
    ({"design": "fixed_init"}, "seed of their data alone"),
    ({"design": "crossed", "num_init": 4, "num_data": 2}, "are too narrow"),
  ],
)
def test_what_a_seed_varies_is_said(tiny, finished, seeds, words):
  found = sweep_sections.read(finished)
  seeds = dataclasses.replace(tiny.seeds, **seeds)
  found = found._replace(config=dataclasses.replace(tiny, seeds=seeds))
  (models, *_) = sweep_sections.provenance(found)
  assert words in f"{models.answers[0]} {sweep_sections.status(found)}"


def test_the_time_budget_is_that_of_the_runs(finished):
  (_, section, *_) = sweep_sections.provenance(sweep_sections.read(finished))
  assert section.answers[0].startswith("1 run took")
  shares = [float(row[2].rstrip("%")) for row in section.table.rows]
  assert sum(shares) == pytest.approx(100, abs=0.3)
  phases = {row[0]: row[2] for row in section.table.rows}
  assert phases["training, data included"] != "0.0%"
  bare = sweep_sections.time([], 16)
  assert "No run has left its time budget" in bare.answers[0]


def run(seeds, train, other=0.0) -> SweepRun:
  seconds = {"compile": 0.0, "train": train, "evaluate": 0.0, "write": 0.0}
  return SweepRun("", seeds, 100 * seeds, seconds | {"other": other}, {}, {})


def test_the_time_of_all_runs_is_added_up_by_phase():
  section = sweep_sections.time([run(4, 30.0), run(2, 30.0, 20.0)], 6)
  assert section.answers == [
    "2 runs add up to 1:20 min. 10 seed-steps per second of training, of seeds"
    " that were finished."
  ]
  shares = {row[0]: row[1:] for row in section.table.rows}
  assert shares["training, data included"] == ["1:00 min", "75.0%"]
  assert shares["everything else"] == ["20 s", "25.0%"]


@pytest.mark.parametrize(
  ("recorded", "words"),
  [
    (6, "account for 4 of 6 models; the time of the others is not known"),
    (3, "trained 4 models, of which 3 are recorded: some were trained twice"),
  ],
)
def test_models_that_no_run_accounts_for_are_told(recorded, words):
  assert words in sweep_sections.time([run(4, 30.0)], recorded).answers[0]


def test_settings_in_which_records_differ_are_named():
  here = {"device_kind": "cpu", "git_commit": f"{'0' * 40}-dirty"}
  there = here | {"device_kind": "H100"}
  one = sweep_sections.machine([here, here])
  assert one.answers[0].startswith("All records come from one kind of device")
  two = sweep_sections.machine([here, there])
  assert two.answers == ["The records come from different settings of: device."]
  values = dict(two.table.rows)
  assert values["device"] == "H100, cpu"
  assert values["commit"] == f"{'0' * 12}-dirty"
  assert values["jax"] == "unknown"


def test_the_config_is_shown_whole(tiny):
  shown = json.loads(sweep_sections.setting(tiny).code)
  assert from_dict(shown) == tiny
