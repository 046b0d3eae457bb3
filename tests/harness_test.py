import itertools
import json

import numpy as np
import pytest

from emergence import tables

SIZES = {"14m": 14_067_712, "160m": 162_322_944}


def make_content(
  name="EleutherAI/pythia-14m-seed1",
  score=0.25,
  *,
  revision="step143000",
  num_params=None,
  random_seed=0,
  shots=0,
):
  """What version 0.4 of the harness writes, less the environment's report."""
  tasks = ("arc_easy", "lambada_openai", "mmlu", "mmlu_virology")
  config = {
    "model": "hf",
    "model_args": f"pretrained={name},revision={revision},dtype=float16",
    "batch_size": "16",
    "batch_sizes": [],
    "device": "cuda:0",
    "use_cache": None,
    "limit": None,
    "bootstrap_iters": 100000,
    "gen_kwargs": None,
    "random_seed": random_seed,
    "numpy_seed": 1234,
    "torch_seed": 1234,
    "fewshot_seed": 1234,
  }
  if num_params:
    config |= {"model_num_parameters": num_params, "model_revision": revision}
  return {
    "results": {
      "arc_easy": {
        "alias": "arc_easy",
        "acc,none": score,
        "acc_stderr,none": 0.009,
        "acc_norm,none": score / 2,
        "acc_norm_stderr,none": "N/A",
      },
      "lambada_openai": {
        "alias": "lambada_openai",
        "perplexity,none": 10 / score,
        "perplexity_stderr,none": 1.5,
        "acc,none": score,
        "acc_stderr,none": 0.006,
      },
      "gsm8k": {
        "alias": "gsm8k",
        "exact_match,strict-match": score / 10,
        "exact_match_stderr,strict-match": 0.002,
        "exact_match,flexible-extract": score / 5,
        "exact_match_stderr,flexible-extract": 0.003,
      },
      "mmlu": {"acc,none": score, "acc_stderr,none": 0.004, "alias": "mmlu"},
      "mmlu_virology": {
        "alias": "  - virology",
        "acc,none": score,
        "acc_stderr,none": 0.03,
      },
      "leaderboard": {" ": " ", "alias": "leaderboard"},
    },
    "groups": {"mmlu": {"acc,none": score, "acc_stderr,none": 0.004}},
    "group_subtasks": {"mmlu": ["mmlu_virology"], "arc_easy": [], "gsm8k": []},
    "configs": {"arc_easy": {"task": "arc_easy", "num_fewshot": shots}},
    "versions": {"arc_easy": 1.0, "lambada_openai": 1.0},
    "n-shot": dict.fromkeys(tasks, shots),
    "higher_is_better": {
      "arc_easy": {"acc": True, "acc_norm": True},
      "lambada_openai": {"perplexity": False, "acc": True},
    },
    "n-samples": {"arc_easy": {"original": 2376, "effective": 2376}},
    "config": config,
    "git_hash": "4c34d9f",
    "date": 1726000000.123,
    "pretty_env_info": "PyTorch version: 2.3.0",
    "transformers_version": "4.44.0",
    "task_hashes": {},
    "model_source": "hf",
    "model_name": name,
    "model_name_sanitized": name.replace("/", "__"),
    "system_instruction": None,
    "chat_template": None,
    "start_time": 1.5,
    "end_time": 2.5,
    "total_evaluation_time_seconds": "1.0",
  }


def put(folder, content, date="2024-09-10T11-12-13.141516", parent=None):
  """Where the harness puts a file: a folder a model."""
  parent = folder / (parent or content["model_name_sanitized"])
  parent.mkdir(parents=True, exist_ok=True)
  path = parent / f"results_{date}.json"
  path.write_text(json.dumps(content, indent=2))
  return path


def score_of(size, seed):
  return 0.2 + seed / 100 + list(SIZES).index(size) / 10


@pytest.fixture
def evals(tmp_path):
  """Two sizes × three training seeds."""
  for size, seed in itertools.product(SIZES, range(3)):
    name = f"EleutherAI/pythia-{size}-seed{seed}"
    put(tmp_path, make_content(name, score_of(size, seed)))
  (tmp_path / "samples_arc_easy_2024.jsonl").write_text("{}\n")
  return tmp_path


def kinds(table):
  return {finding.kind for finding in table.findings}


def find(table, kind):
  (finding,) = [f for f in table.findings if f.kind == kind]
  json.dumps(finding.rows, allow_nan=False)
  return finding


def test_models_sizes_and_seeds_are_read_from_names(evals):
  table = tables.read(evals)
  assert table.group_columns == ("model", "task")
  assert table.scale_name == "model size"
  assert set(table.frame["model"]) == {"pythia"}
  rows = table.frame.query("task == 'arc_easy' and metric == 'acc'")
  found = rows[["scale", "scale_label", "seed", "score"]]
  assert found.values.tolist() == [
    [14e6, "14m", 0, pytest.approx(0.2)],
    [14e6, "14m", 1, pytest.approx(0.21)],
    [14e6, "14m", 2, pytest.approx(0.22)],
    [160e6, "160m", 0, pytest.approx(0.3)],
    [160e6, "160m", 1, pytest.approx(0.31)],
    [160e6, "160m", 2, pytest.approx(0.32)],
  ]
  assert kinds(table) == {"item_noise", "aggregate", "score_unit"}


def test_every_metric_of_a_task_is_there_with_its_direction(evals):
  table = tables.read(evals)
  pairs = {*table.frame[["task", "metric"]].itertuples(index=False, name=None)}
  assert pairs == {
    ("arc_easy", "acc"),
    ("arc_easy", "acc_norm"),
    ("lambada_openai", "acc"),
    ("lambada_openai", "perplexity"),
    ("gsm8k", "exact_match,strict-match"),
    ("gsm8k", "exact_match,flexible-extract"),
    ("mmlu", "acc"),
    ("mmlu_virology", "acc"),
  }
  better = {m.name: m.higher_is_better for m in table.metrics.values()}
  assert not better.pop("perplexity")
  assert all(better.values())
  assert table.metrics["perplexity"].high == np.inf


def test_standard_errors_stay_item_noise(evals):
  table = tables.read(evals)
  frame = table.frame.set_index(["task", "metric"]).sort_index()
  assert set(frame.loc[("arc_easy", "acc"), "item_stderr"]) == {0.009}
  assert set(frame.loc[("arc_easy", "acc"), "num_items"]) == {2376}
  assert frame.loc[("arc_easy", "acc_norm"), "item_stderr"].isna().all()
  assert frame.loc[("mmlu", "acc"), "num_items"].isna().all()
  assert "not over runs" in find(table, "item_noise").sentence


def test_averages_over_tasks_are_pointed_out_and_can_be_left_out(evals):
  finding = find(tables.read(evals), "aggregate")
  assert finding.rows == [{"task": "mmlu", "of": ["mmlu_virology"]}]
  table = tables.read(evals, where=["task!=mmlu", "scale=160m"])
  assert "mmlu" not in set(table.frame["task"])
  assert set(table.frame["scale"]) == {160e6}
  assert "aggregate" not in kinds(table)


def test_metrics_can_be_chosen(evals):
  table = tables.read(evals, score_columns=["acc"])
  assert list(table.metrics) == ["acc"]
  with pytest.raises(ValueError, match="did you mean 'acc"):
    tables.read(evals, score_columns=["acc_nrm"])


def test_files_of_old_versions_are_read(tmp_path):
  for size, seed in itertools.product(SIZES, range(2)):
    content = {
      "results": {
        "lambada_openai": {
          "ppl": 54.9,
          "ppl_stderr": 2.0,
          "acc": score_of(size, seed),
          "acc_stderr": 0.006,
        },
        "wsc": {"acc": 0.36, "acc_stderr": 0.047},
      },
      "versions": {"lambada_openai": 0, "wsc": 0},
      "config": {
        "model": "hf-causal",
        "model_args": f"pretrained=org/pythia-v1.1-{size},revision=step1000",
        "num_fewshot": 5,
        "no_cache": True,
      },
    }
    folder = tmp_path / f"pythia-{size}" / "five-shot"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{size}-5shot-seed{seed}_step1000.json").write_text(
      json.dumps(content)
    )
  table = tables.read(tmp_path)
  rows = table.frame.query("task == 'lambada_openai' and metric == 'acc'")
  assert rows[["scale", "seed", "score"]].values.tolist() == [
    [14e6, 0, 0.2],
    [14e6, 1, pytest.approx(0.21)],
    [160e6, 0, pytest.approx(0.3)],
    [160e6, 1, pytest.approx(0.31)],
  ]
  assert set(table.frame["model"]) == {"pythia-v1.1"}
  assert not table.metrics["ppl"].higher_is_better


def test_model_arguments_may_be_an_object(tmp_path):
  for seed in range(2):
    content = make_content(f"org/m-14m-seed{seed}")
    content["config"]["model_args"] = {
      "pretrained": f"org/m-14m-seed{seed}",
      "revision": "step7",
      "seed": 1234,
    }
    del content["model_name"]
    put(tmp_path, content)
  table = tables.read(tmp_path)
  assert set(table.frame["seed"]) == {0, 1}


def test_an_adapter_has_the_size_of_the_model_that_it_adapts(tmp_path):
  for seed in range(2):
    content = make_content(f"/runs/lora-seed{seed}")
    content["config"]["model_args"] = (
      f"pretrained=org/net-14m,peft=/runs/lora-seed{seed}"
    )
    put(tmp_path, content)
  table = tables.read(tmp_path)
  assert set(table.frame["seed"]) == {0, 1}
  assert set(table.frame["scale"]) == {14e6}
  assert set(table.frame["model"]) == {"lora"}


def test_checkpoints_are_groups_where_there_are_several(evals):
  for size, seed in itertools.product(SIZES, range(3)):
    name = f"EleutherAI/pythia-{size}-seed{seed}"
    put(
      evals,
      make_content(name, 0.2, revision="step1000"),
      "2024-09-11T00-00-00.000000",
    )
  table = tables.read(evals)
  assert table.group_columns == ("model", "task", "checkpoint")
  assert set(table.frame["checkpoint"]) == {"step1000", "step143000"}
  table = tables.read(evals, where=["checkpoint=step143000"])
  assert table.group_columns == ("model", "task")


def test_shots_are_groups_where_a_task_has_several(evals):
  content = make_content("EleutherAI/pythia-14m-seed0", 0.2, shots=5)
  put(evals, content, "2024-09-11T00-00-00.000000")
  table = tables.read(evals)
  assert table.group_columns == ("model", "task", "num_fewshot")


def test_an_evaluation_made_twice_counts_once_or_is_refused(evals):
  name = "EleutherAI/pythia-14m-seed1"
  content = make_content(name, score_of("14m", 1))
  again = put(evals, content, "2024-09-11T00-00-00.000000")
  assert "duplicate" in kinds(tables.read(evals))
  content = make_content(name, 0.9, revision="main")
  again.write_text(json.dumps(content))
  # Another checkpoint of the same seed is another group.
  assert "checkpoint" in tables.read(evals).group_columns
  again.write_text(json.dumps(make_content(name, 0.9)))
  with pytest.raises(ValueError, match="8 scores are contradicted") as caught:
    tables.read(evals)
  assert again.name in str(caught.value)
  table = tables.read(evals, conflicting_scores="last")
  rows = table.frame.query("task == 'mmlu' and scale == 14e6 and seed == 1")
  assert rows["score"].tolist() == [0.9]


@pytest.mark.parametrize(
  ("parent", "conflict"),
  [
    ("pythia-14m-seed2", "seed 2, not seed 1"),
    ("runs-160m", "scale 160m, not scale 14m"),
    ("seed1/step5", "step 5, not step 143000"),
    ("EleutherAI__pythia-14m", "folder 'EleutherAI__pythia-14m', not"),
  ],
)
def test_a_path_that_says_another_run_is_refused_or_settled(
  tmp_path, parent, conflict
):
  path = put(tmp_path, make_content(), parent=parent)
  with pytest.raises(ValueError, match=conflict) as caught:
    tables.read(tmp_path)
  assert path.name in str(caught.value)
  by_label = tables.read(tmp_path, conflicting_labels="label")
  by_path = tables.read(tmp_path, conflicting_labels="path")
  for table in (by_label, by_path):
    (row,) = find(table, "conflicting_label").rows
    assert conflict in row["conflict"]
  first = [t.frame.iloc[0] for t in (by_label, by_path)]
  assert (first[0]["scale"], first[0]["seed"]) == (14e6, 1)
  if parent == "pythia-14m-seed2":
    assert first[1]["seed"] == 2
  if parent == "runs-160m":
    assert first[1]["scale"] == 160e6


def test_a_seed_may_stand_in_the_path_alone(tmp_path):
  for size, seed in itertools.product(SIZES, range(2)):
    name = f"EleutherAI/pythia-{size}"
    content = make_content(name, score_of(size, seed))
    put(tmp_path, content, parent=f"seed_{seed}/EleutherAI__pythia-{size}")
  table = tables.read(tmp_path)
  assert set(table.frame["seed"]) == {0, 1}
  assert "missing" not in kinds(table)


def test_a_pattern_says_what_names_do_not(tmp_path):
  for size, seed in itertools.product(("small", "big"), range(2)):
    name = f"org/net-{size}"
    width = {"small": 64, "big": 256}[size]
    put(tmp_path, make_content(name), parent=f"w{width}_r{seed}")
  with pytest.raises(ValueError, match="tells no model size; 4 files"):
    tables.read(tmp_path)
  table = tables.read(tmp_path, name_pattern=r"w(?P<scale>\d+)_r(?P<seed>\d+)")
  cells = {*table.frame[["scale", "seed"]].itertuples(index=False, name=None)}
  assert cells == {(64, 0), (64, 1), (256, 0), (256, 1)}
  assert set(table.frame["model"]) == {"net-small", "net-big"}
  table = tables.read(
    tmp_path, name_pattern=r"(?P<model>.)(?P<scale>\d+)_r(?P<seed>\d+)"
  )
  assert set(table.frame["model"]) == {"w"}


@pytest.mark.parametrize(
  ("pattern", "message"),
  [
    ("(", "is no regular expression"),
    ("seed", "needs named groups"),
    (r"(?P<size>\d+)", "needs named groups out of model, scale, seed"),
    (r"(?P<seed>q\d+)", r"finds nothing in 'EleutherAI__pythia-14m-seed0"),
  ],
)
def test_a_pattern_that_does_not_fit_is_refused(evals, pattern, message):
  with pytest.raises(ValueError, match=message):
    tables.read(evals, name_pattern=pattern)


def test_a_pattern_that_takes_a_word_for_a_scale_names_the_file(evals):
  with pytest.raises(ValueError, match=r"results_.*'pythia' is no scale"):
    tables.read(evals, name_pattern="(?P<scale>pythia)")


def test_a_model_config_beside_the_results_is_no_work_directory(evals):
  (evals / "config.json").write_text('{"model_type": "gpt_neox"}')
  assert "ignored_files" in kinds(tables.read(evals))


def test_without_sizes_in_names_parameters_are_counted(tmp_path):
  for size, seed in itertools.product(SIZES, range(2)):
    content = make_content(f"org/net-seed{seed}", num_params=SIZES[size])
    put(tmp_path, content, parent=f"{'ab'[list(SIZES).index(size)]}/{seed}")
  table = tables.read(tmp_path)
  assert table.scale_name == "num_params"
  assert set(table.frame["scale"]) == set(map(float, SIZES.values()))


def test_a_size_far_from_the_number_of_parameters_is_pointed_out(tmp_path):
  put(tmp_path, make_content(num_params=SIZES["160m"]))
  table = tables.read(tmp_path)
  (row,) = find(table, "conflicting_label").rows
  assert row["model_num_parameters"] == SIZES["160m"]
  assert set(table.frame["scale"]) == {14e6}


def test_seeds_of_the_evaluation_are_not_taken_for_training(tmp_path):
  for size, seed in itertools.product(SIZES, range(3)):
    content = make_content(
      f"org/net-{size}", score_of(size, seed), random_seed=seed
    )
    put(tmp_path, content, f"2024-09-1{seed}T00-00-00.000000")
  table = tables.read(tmp_path)
  assert set(table.frame["seed"]) == {0, 1, 2}
  assert "testing one trained model again" in (
    find(table, "evaluation_seed").sentence
  )
  assert "not of training" in table.seed_meaning


def test_models_without_seeds_are_one_seed_each(tmp_path):
  for size in SIZES:
    put(tmp_path, make_content(f"org/net-{size}"))
  table = tables.read(tmp_path)
  assert set(table.frame["seed"]) == {0}
  assert {"no_seed", "one_seed"} <= kinds(table)


def test_one_file_without_a_seed_among_others_is_refused(evals):
  put(evals, make_content("EleutherAI/pythia-14m"))
  with pytest.raises(ValueError, match=r"pythia-14m/results.* tells no seed"):
    tables.read(evals)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ('{"results": {', "is not readable JSON"),
    ("", "is empty"),
    ('{"results": {"a": {"alias": "a"}}}', "tells no model size"),
  ],
)
def test_a_damaged_file_is_named(tmp_path, text, message):
  (tmp_path / "results_2024.json").write_text(text)
  with pytest.raises(ValueError, match=rf"results_2024\.json.* {message}"):
    tables.read(tmp_path)


def test_a_score_that_is_no_number_is_named(evals):
  content = make_content("EleutherAI/pythia-14m-seed9")
  content["results"]["arc_easy"]["acc,none"] = "N/A"
  put(evals, content)
  with pytest.raises(ValueError, match=r"seed9/.*'arc_easy'.*'N/A' is no sco"):
    tables.read(evals)
  content["results"]["arc_easy"]["acc,none"] = float("nan")
  put(evals, content)
  table = tables.read(evals)
  assert table.frame.query("diverged")["seed"].tolist() == [9]


def test_a_seed_that_lacks_a_task_is_a_hole(evals):
  content = make_content("EleutherAI/pythia-14m-seed0")
  del content["results"]["gsm8k"]
  put(evals, content)
  (row,) = find(tables.read(evals), "missing").rows
  assert (row["task"], row["scale"]) == ("gsm8k", 14e6)
  assert row["missing_seeds"] == "0"


def test_other_json_files_are_told(evals):
  (evals / "notes.json").write_text('{"todo": []}')
  assert find(tables.read(evals), "ignored_files").rows == [
    {"source": "notes.json"}
  ]
