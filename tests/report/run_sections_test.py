import json

import pytest

from emergence.config import from_dict
from emergence.report import sweep_sections
from emergence.sweep.time_budget import SweepRun


def run(seeds, train, other=0.0) -> SweepRun:
  seconds = {"compile": 0.0, "train": train, "evaluate": 0.0, "write": 0.0}
  return SweepRun("", seeds, 100 * seeds, seconds | {"other": other}, {}, {})


def test_the_time_of_all_runs_is_added_up_by_phase():
  section = sweep_sections.time([run(4, 30.0), run(2, 30.0, 20.0)], 6)
  assert section.sentence == (
    "2 runs add up to 1:20 min. 10 seed-steps per second of training, of seeds"
    " that were finished."
  )
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
  assert words in sweep_sections.time([run(4, 30.0)], recorded).sentence
  assert words not in sweep_sections.time([run(4, 30.0)], 4).sentence


def test_runs_without_a_time_are_no_division_by_zero():
  section = sweep_sections.time([run(0, 0.0)], 0)
  assert section.sentence == "1 run took 0 s."
  assert {row[2] for row in section.table.rows} == {"0.0%"}


def test_settings_in_which_records_differ_are_named():
  here = {"device_kind": "cpu", "git_commit": f"{'0' * 40}-dirty"}
  there = here | {"device_kind": "H100"}
  one, two = (
    sweep_sections.machine([here, here]),
    sweep_sections.machine([here, there]),
  )
  assert one.sentence.startswith("All records come from one kind of device")
  assert two.sentence == "The records come from different settings of: device."
  values = dict(two.table.rows)
  assert values["device"] == "H100, cpu"
  assert values["commit"] == f"{'0' * 12}-dirty"
  assert values["jax"] == "unknown"


def test_the_config_is_shown_whole(tiny):
  shown = json.loads(sweep_sections.setting(tiny).code)
  assert from_dict(shown) == tiny
