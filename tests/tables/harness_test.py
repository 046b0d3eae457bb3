"""Results of the evaluation harness: their files, metrics and directions."""

import itertools
import json

import numpy as np
import pytest

from emergence import tables
from tests.harness_files import SIZES, find, kinds, make_content, put, score_of


def test_every_metric_of_a_task_is_there_with_its_direction(evals):
  table = tables.read(evals)
  assert table.group_columns == ("model", "task")
  assert table.scale_name == "model size"
  assert table.frame.groupby("task")["metric"].agg(set).to_dict() == {
    "arc_easy": {"acc", "acc_norm"},
    "lambada_openai": {"acc", "perplexity"},
    "gsm8k": {"exact_match,strict-match", "exact_match,flexible-extract"},
    "mmlu": {"acc"},
    "mmlu_virology": {"acc"},
  }
  better = {m.name: m.higher_is_better for m in table.metrics.values()}
  assert not better.pop("perplexity")
  assert all(better.values())
  assert table.metrics["perplexity"].high == np.inf


def test_a_metric_with_both_directions_is_refused_unless_told(evals):
  content = make_content("EleutherAI/pythia-14m-seed9")
  content["higher_is_better"]["lambada_openai"]["acc"] = False
  put(evals, content)
  told = "'acc': higher .* 'arc_easy', lower in task 'lambada_openai'; give --w"
  with pytest.raises(ValueError, match=told):
    tables.read(evals)
  for flags in (
    {"higher_is_better": ["acc"]},
    {"where": ["task!=lambada_openai"]},
  ):
    assert tables.read(evals, **flags).metrics["acc"].higher_is_better


def test_the_number_of_items_is_read_where_it_is_told(evals):
  frame = tables.read(evals).frame.set_index(["task", "metric"]).sort_index()
  assert set(frame.loc[("arc_easy", "acc"), "num_items"]) == {2376}
  assert frame.loc[("mmlu", "acc"), "num_items"].isna().all()


def test_averages_over_tasks_are_pointed_out_and_can_be_left_out(evals):
  finding = find(tables.read(evals), "aggregate")
  assert finding.rows == [{"task": "mmlu", "of": ["mmlu_virology"]}]
  table = tables.read(evals, where=["task!=mmlu", "scale=160m"])
  assert "mmlu" not in set(table.frame["task"])
  assert set(table.frame["scale"]) == {160e6}
  assert "aggregate" not in kinds(table)


def test_files_of_old_versions_are_read(tmp_path):
  for size, seed in itertools.product(SIZES, range(2)):
    scores = {"ppl": 54.9, "ppl_stderr": 2.0}
    scores |= {"acc": score_of(size, seed), "acc_stderr": 0.006}
    arguments = f"pretrained=org/pythia-v1.1-{size},revision=step1000"
    content = {
      "results": {"lambada_openai": scores, "wsc": {"acc": 0.36}},
      "versions": {"lambada_openai": 0, "wsc": 0},
      "config": {"model_args": arguments, "num_fewshot": 5, "no_cache": True},
    }
    folder = tmp_path / f"pythia-{size}" / "five-shot"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{size}-5shot-seed{seed}_step1000.json").write_text(
      json.dumps(content)
    )
  table = tables.read(tmp_path, lower_is_better=["ppl"])
  rows = table.frame.query("task == 'lambada_openai' and metric == 'acc'")
  assert rows[["scale", "seed", "score"]].values.tolist() == [
    [scale, seed, pytest.approx(score_of(size, seed))]
    for scale, size in ((14e6, "14m"), (160e6, "160m"))
    for seed in range(2)
  ]
  assert set(table.frame["model"]) == {"pythia-v1.1"}
  assert not table.metrics["ppl"].higher_is_better


def test_shots_are_groups_where_a_task_has_several(evals):
  content = make_content("EleutherAI/pythia-14m-seed0", 0.2, shots=5)
  put(evals, content, "2024-09-11T00-00-00.000000")
  table = tables.read(evals)
  assert table.group_columns == ("model", "task", "num_fewshot")


def test_an_evaluation_made_twice_counts_once_or_is_refused(evals):
  name, date = "EleutherAI/pythia-14m-seed1", "2024-09-11T00-00-00.000000"
  put(evals, make_content(name, score_of("14m", 1)), date)
  assert "duplicate" in kinds(tables.read(evals))
  # Another checkpoint of the same seed is another group.
  put(evals, make_content(name, 0.9, revision="main"), date)
  assert "checkpoint" in tables.read(evals).group_columns
  again = put(evals, make_content(name, 0.9), date)
  with pytest.raises(ValueError, match="8 cases a seed has") as caught:
    tables.read(evals)
  assert again.name in str(caught.value)
  table = tables.read(evals, conflicting_scores="last")
  rows = table.frame.query("task == 'mmlu' and scale == 14e6 and seed == 1")
  assert rows["score"].iloc[-1] == 0.9


def test_a_damaged_file_is_named(tmp_path):
  (tmp_path / "results_2024.json").write_text('{"results": {')
  with pytest.raises(ValueError, match=r"results_2024\.json.* is not readable"):
    tables.read(tmp_path)


def test_a_score_that_is_no_number_is_named(evals):
  content = make_content("EleutherAI/pythia-14m-seed9")
  content["results"]["arc_easy"]["acc,none"] = "error"
  put(evals, content)
  with pytest.raises(ValueError, match=r"seed9/.*'arc_easy'.*'error' is no sc"):
    tables.read(evals)
