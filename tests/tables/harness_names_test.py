"""Which model, size and seed a result is of, by names, paths and patterns."""

import itertools

import pytest

from emergence import tables
from emergence.tables import harness_names
from tests.harness_files import SIZES, make_content, put, score_of


def identify(name, revision="", source="results.json", base=None):
  """What a file of a model, or of an adapter of a base, is taken for."""
  arguments = f"pretrained={base or name},revision={revision},seed=1234"
  content = {"model_name": name, "config": {"model_args": arguments}}
  return harness_names.identify(source, content)


@pytest.mark.parametrize(
  ("name", "revision", "model", "scale", "seed", "checkpoint"),
  [
    ("EleutherAI/pythia-160m-seed3", "step7", "pythia", "160m", "3", "step7"),
    ("org/pythia-v1.1-1.4b-deduped", "main", "pythia-v1.1-deduped", "1.4b")
    + (None, "main"),
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


def test_a_path_may_repeat_the_label():
  for source in ("160M/seed=03/x.json", "0.16B/step8/results_2024-09-10.json"):
    run = identify("org/pythia-160m-seed3", "step7", source)
    assert (run.scale, run.seed, run.checkpoint) == ("160m", "3", "step7")


@pytest.mark.parametrize(
  ("source", "conflict"),
  [
    (
      "pile-300B-tokens/x.json",
      "gives scale 300B, but .* gives scale 160m; re",
    ),
    ("seed3/seed4/x.json", "gives seed 3 and 4, but .* gives seed 3; renam"),
  ],
)
def test_a_path_that_contradicts_the_label_is_refused(source, conflict):
  name = "org/pythia-160m-seed3"
  with pytest.raises(ValueError, match=conflict) as caught:
    identify(name, "step7", source)
  advice = harness_names.compile_pattern(str(caught.value).split("'")[-2])
  harness_names.identify(source, {"model_name": name}, advice)


def test_an_adapter_has_the_size_of_the_model_that_it_adapts():
  run = identify("/runs/lora-seed1", base="org/net-14m")
  assert (run.model, run.scale, run.seed) == ("lora", "14m", "1")


def test_a_pattern_says_what_names_do_not(tmp_path):
  for width, seed in itertools.product((64, 256), range(2)):
    put(tmp_path, make_content("org/net"), parent=f"w{width}_r{seed}")
  pattern = r"(?P<model>.)(?P<scale>\d+)_r(?P<seed>\d+)"
  frame = tables.read(tmp_path, name_pattern=pattern).frame
  cells = {*frame[["scale", "seed"]].itertuples(index=False, name=None)}
  assert cells == {(64, 0), (64, 1), (256, 0), (256, 1)}
  assert set(frame["model"]) == {"w"}


@pytest.mark.parametrize(
  ("pattern", "message"),
  [
    ("(", "is no regular expression"),
    (r"(?P<size>\d+)", "needs named groups out of model, scale, seed"),
    (
      r"(?P<seed>q\d+)",
      r"matches neither the path 'EleutherAI__pythia-14m-seed0",
    ),
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


def test_folders_may_be_the_seeds(tmp_path):
  for size, seed in itertools.product(SIZES, range(2)):
    content = make_content(f"/out/net-{size}", score_of(size, seed))
    put(tmp_path, content, parent=f"lab/run{seed}/net-{size}")
  with pytest.raises(ValueError, match="no seed for 4 of 4 files") as caught:
    tables.read(tmp_path)
  pattern = r"^(?:[^/]+/){1}(?P<seed>[^/]+)/"
  assert f"--name_pattern='{pattern}' or" in str(caught.value)
  table = tables.read(tmp_path, name_pattern=pattern)
  assert set(table.frame["seed"]) == {"run0", "run1"}
