"""Files as the evaluation harness writes them."""

import json

from emergence.analysis import output

SIZES = {"14m": 14_067_712, "160m": 162_322_944}


def make_content(
  name="EleutherAI/pythia-14m-seed1",
  score=0.25,
  *,
  revision="step143000",
  num_params=None,
  shots=0,
):
  """What version 0.4 of the harness writes, less the environment's report."""
  tasks = ("arc_easy", "lambada_openai", "mmlu", "mmlu_virology")
  config = {
    "model": "hf",
    "model_args": f"pretrained={name},revision={revision},dtype=float16",
    "random_seed": 0,
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
        "exact_match,flexible-extract": score / 5,
      },
      "mmlu": {"acc,none": score, "acc_stderr,none": 0.004, "alias": "mmlu"},
      "mmlu_virology": {"acc,none": score, "alias": "  - virology"},
      "leaderboard": {" ": " ", "alias": "leaderboard"},
    },
    "groups": {"mmlu": {"acc,none": score, "acc_stderr,none": 0.004}},
    "group_subtasks": {"mmlu": ["mmlu_virology"], "arc_easy": [], "gsm8k": []},
    "n-shot": dict.fromkeys(tasks, shots),
    "higher_is_better": {
      "arc_easy": {"acc": True, "acc_norm": True},
      "lambada_openai": {"perplexity": False, "acc": True},
    },
    "n-samples": {"arc_easy": {"original": 2376, "effective": 2376}},
    "config": config,
    "model_name": name,
    "model_name_sanitized": name.replace("/", "__"),
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


def kinds(table):
  return {issue.kind for issue in table.issues}


def find(table, kind):
  (issue,) = [found for found in table.issues if found.kind == kind]
  output.to_json(issue.rows)
  return issue
