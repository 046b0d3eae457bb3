import pytest

from emergence.tables import names


def identify(name, revision="", source="results.json", rule="refuse", **more):
  arguments = f"pretrained={name},revision={revision},seed=1234"
  content = {"model_name": name, "config": {"model_args": arguments}, **more}
  return names.identify(source, content, None, rule)


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


def test_the_rule_says_which_of_two_is_believed():
  for rule, seed in [("label", "3"), ("path", "4")]:
    run = identify("org/pythia-160m-seed3", source="seed4/x.json", rule=rule)
    assert (run.seed, run.scale) == (seed, "160m")


def test_a_folder_of_another_model_is_a_conflict():
  more = {"model_name_sanitized": "org__a-160m"}
  for folder, conflict in [("org__a-160m", False), ("org__b-160m", True)]:
    run = identify("org/a-160m", source=f"{folder}/results.json", **more)
    assert bool(run.conflicts) == conflict
  run = identify(
    "org/a-160m", source="org__b-160m/results.json", rule="path", **more
  )
  assert run.model == "b"


@pytest.mark.parametrize("config", [None, [], "x", {"model_args": None}, {}])
def test_a_config_of_another_form_tells_nothing(config):
  run = names.identify("a.json", {"config": config}, None, "refuse")
  assert (run.model, run.scale, run.seed) == ("model", None, None)
