"""Which model, size and seed a result is of, by names, paths and patterns."""

import itertools

import pytest

from emergence import tables
from emergence.tables import harness_names
from tests.harness_files import SIZES, find, kinds, make_content, put, score_of


def identify(name, revision="", source="results.json", rule="refuse", **more):
  arguments = f"pretrained={name},revision={revision},seed=1234"
  content = {"model_name": name, "config": {"model_args": arguments}, **more}
  return harness_names.identify(source, content, None, rule)


@pytest.mark.parametrize(
  ("name", "revision", "model", "scale", "seed", "checkpoint"),
  [
    ("EleutherAI/pythia-160m-seed3", "step7", "pythia", "160m", "3", "step7"),
    ("EleutherAI/pythia-14m-data-seed1", "", "pythia-data", "14m", "1", ""),
    ("org/pythia-v1.1-1.4b-deduped", "main", "pythia-v1.1-deduped", "1.4b")
    + (None, "main"),
    ("Qwen/Qwen2.5-0.5B", "", "Qwen2.5", "0.5B", None, ""),
    ("facebook/opt-125m", "", "opt", "125m", None, ""),
    ("microsoft/Phi-3-mini-128k-instruct", "", "Phi-3-mini-128k-instruct")
    + (None, None, ""),
    ("mistralai/Mixtral-8x7B-v0.1", "", "Mixtral-8x7B-v0.1", None, None, ""),
    ("org/llama-7b-4bit", "", "llama-4bit", "7b", None, ""),
    ("bigscience/bloom-1b7", "", "bloom", "1b7", None, ""),
    ("/ckpt/run_13M_seed_12/", "step-50", "run", "13M", "12", "step50"),
    ("/ckpt/160m", "", "model", "160m", None, ""),
  ],
)
def test_names_tell_model_size_seed_and_checkpoint(
  name, revision, model, scale, seed, checkpoint
):
  run = identify(name, revision)
  assert (run.model, run.scale, run.seed) == (model, scale, seed)
  assert run.checkpoint == checkpoint
  assert not run.conflicts


@pytest.mark.parametrize(
  ("source", "conflict"),
  [
    ("pythia-160m-seed3/step7/results_2024-09-10T11-12-13.14.json", False),
    ("160M/seed=03/x.json", False),
    ("0.16B/x.json", False),
    ("pile-300B-tokens/x.json", True),
    ("seed3/seed4/x.json", True),
    ("step8/x.json", True),
  ],
)
def test_a_path_may_repeat_the_label_and_not_contradict_it(source, conflict):
  run = identify("org/pythia-160m-seed3", "step7", source)
  assert bool(run.conflicts) == conflict


@pytest.mark.parametrize("config", [None, [], "x", {"model_args": None}, {}])
def test_a_config_of_another_form_tells_nothing(config):
  run = harness_names.identify("a.json", {"config": config}, None, "refuse")
  assert (run.model, run.scale, run.seed) == ("model", None, None)


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


@pytest.mark.parametrize(
  ("parent", "conflict", "by_path"),
  [
    ("pythia-14m-seed2", "seed 2, not seed 1", {"seed": 2}),
    ("runs-160m", "scale 160m, not scale 14m", {"scale": 160e6}),
    ("seed1/step5", "step 5, not step 143000", {}),
    ("Org__neo-14m", "folder 'Org__neo-14m', not", {"model": "neo"}),
  ],
)
def test_a_path_that_says_another_run_is_refused_or_settled(
  tmp_path, parent, conflict, by_path
):
  path = put(tmp_path, make_content(), parent=parent)
  with pytest.raises(ValueError, match=conflict) as caught:
    tables.read(tmp_path)
  assert path.name in str(caught.value)
  by_label = {"model": "pythia", "scale": 14e6, "seed": 1}
  for rule, expected in (("label", by_label), ("path", by_label | by_path)):
    table = tables.read(tmp_path, conflicting_labels=rule)
    (row,) = find(table, "conflicting_label").rows
    assert conflict in row["conflict"]
    assert table.frame.iloc[0][list(by_label)].to_dict() == expected


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
  with pytest.raises(ValueError, match="tells no model size; 4 of 4"):
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
    ("(?P<scale>pythia)", r"results_.*'pythia' is no scale"),
  ],
)
def test_a_pattern_that_does_not_fit_is_refused(evals, pattern, message):
  with pytest.raises(ValueError, match=message):
    tables.read(evals, name_pattern=pattern)


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


def test_files_without_a_seed_have_the_one_that_is_given(tmp_path):
  for size in SIZES:
    put(tmp_path, make_content(f"org/net-{size}"))
  with pytest.raises(ValueError, match=r"2 of 2 files .* --default_seed=0$"):
    tables.read(tmp_path)
  table = tables.read(tmp_path, default_seed=0)
  assert set(table.frame["seed"]) == {0}
  assert "one_seed" in kinds(table)


def test_the_base_model_may_be_seed_0(evals):
  put(evals, make_content("EleutherAI/pythia-160m", 0.9))
  with pytest.raises(ValueError, match=r"1 of 7 files .* --default_seed=0$"):
    tables.read(evals)
  rows = tables.read(evals, where=["task=mmlu"], default_seed=7).frame
  assert rows.query("seed == 7")["score"].tolist() == [0.9]


def test_folders_may_be_the_seeds(tmp_path):
  for size, seed in itertools.product(SIZES, range(2)):
    content = make_content(f"/out/net-{size}", score_of(size, seed))
    put(tmp_path, content, parent=f"lab/run{seed}/net-{size}")
  with pytest.raises(ValueError, match="4 of 4 files have none") as caught:
    tables.read(tmp_path)
  pattern = r"^(?:[^/]+/){1}(?P<seed>[^/]+)/"
  assert f"--name_pattern='{pattern}' or" in str(caught.value)
  table = tables.read(tmp_path, name_pattern=pattern)
  assert set(table.frame["seed"]) == {"run0", "run1"}


@pytest.mark.parametrize(
  ("names", "model", "scales"),
  [
    (["fam-8x70m", "fam-8x160m"], "fam-8x", [70e6, 160e6]),
    (["fam-900K", "fam-1200K"], "fam", [900e3, 1.2e6]),
    (["fam-small", "fam-large"], "fam", [2, 1]),
  ],
)
def test_the_advised_pattern_finds_other_sizes(tmp_path, names, model, scales):
  for name, seed in itertools.product(names, range(2)):
    put(tmp_path, make_content(f"org/{name}-seed{seed}"))
  with pytest.raises(ValueError, match="4 of 4 files have none") as caught:
    tables.read(tmp_path)
  pattern = str(caught.value).split("'")[-2]
  order = ["large", "small"] if "small" in pattern else []
  table = tables.read(tmp_path, name_pattern=pattern, scale_order=order)
  assert table.scale_name == "scale"
  assert set(table.frame["model"]) == {model}
  assert set(table.frame["scale"]) == set(map(float, scales))
