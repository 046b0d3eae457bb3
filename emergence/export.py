"""Exports a trained seed as a GPT-NeoX model of Hugging Face.

The folder holds `model.safetensors`, `config.json`, which also identifies the
seed, and a tokenizer whose words are the task's symbols. Interpretability tools
open it with `AutoModelForCausalLM` and `AutoTokenizer`.
"""

import json
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors.numpy
from etils import epath

from emergence.config import Cell, Config, cells, identity_hash
from emergence.population import compilation
from emergence.storage import records
from emergence.storage.files import write_atomically
from emergence.storage.params import load_params
from emergence.tasks import Task
from emergence.training import model
from emergence.training.model import Architecture, Params

# Our name of each module, and GPT-NeoX's name of the same module.
_MODULES = {
  "attention_norm": "input_layernorm",
  "qkv": "attention.query_key_value",
  "attention_out": "attention.dense",
  "mlp_norm": "post_attention_layernorm",
  "mlp_in": "mlp.dense_h_to_4h",
  "mlp_out": "mlp.dense_4h_to_h",
}


class Exported(NamedTuple):
  """An exported seed.

  Attributes:
    folder: path of the exported folder.
    num_params: number of parameters.
    metric: the headline metric of the config, such as `exact_match`.
    scores: the recorded values of that metric at the exported step, by test
      length; empty if the seed was not evaluated at that step.
  """

  folder: str
  num_params: int
  metric: str
  scores: dict[int, float]


def export(
  workdir: epath.PathLike,
  cell: Cell,
  seed: int,
  folder: epath.PathLike,
  step: int,
) -> Exported:
  """Writes one trained seed as a GPT-NeoX model.

  Args:
    workdir: a work directory written with `--keep_params=final` or `all`.
    cell: the cell.
    seed: the seed index.
    folder: where to write; created if missing. An export of the same seed is
      overwritten, anything else is not.
    step: steps done, `train.steps` for a finished seed.

  Raises:
    ValueError: the work directory has no such cell, the parameters were not
      kept, or the folder holds something else.
  """
  experiment = records.read_config(workdir)
  if cell not in cells(experiment):
    raise ValueError(
      f"--cell: {cell} is no cell of {workdir}, which has cells such as"
      f" {cells(experiment)[0]}"
    )
  _, config, task, arch = compilation.make_setup(experiment, cell)
  params = load_params(workdir, cell, seed, step)
  metric = experiment.eval.headline_metric
  scores, diverged = _recorded(workdir, cell, seed, step, metric)
  init_seed, data_seed = config.seeds.init_and_data_seed(seed)
  origin = {
    **cell.columns,
    "seed": seed,
    "init_seed": init_seed,
    "data_seed": data_seed,
    "root_seed": config.root_seed,
    "step": step,
    "identity_hash": identity_hash(experiment),
    "compute_dtype": config.train.compute_dtype,
    "diverged": diverged,
    metric: {str(n): score for n, score in scores.items()},
  }
  folder = epath.Path(folder)
  _require_free(folder, origin)
  folder.mkdir(parents=True, exist_ok=True)
  weights = safetensors.numpy.save(
    to_gpt_neox(params), metadata={"format": "pt"}
  )
  write_atomically(folder / "model.safetensors", weights)
  special = special_symbols(task, config.task.test_lengths[0])
  longest = _longest(config, task)
  files = {
    "config.json": {
      **_model_config(arch, task, special, longest),
      "emergence": origin,
    },
    "tokenizer.json": _tokenizer(task, special),
    "tokenizer_config.json": {
      "tokenizer_class": "PreTrainedTokenizerFast",
      "clean_up_tokenization_spaces": False,
      "model_max_length": longest,
      "padding_side": "left",
      **special,
    },
  }
  for name, content in files.items():
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / name, text.encode())
  return Exported(str(folder), model.num_params(arch), metric, scores)


def to_gpt_neox(params: Params) -> dict[str, np.ndarray]:
  """Converts parameters, or their gradient, to GPT-NeoX's names and shapes.

  Kernels are transposed: ours are [in, out], PyTorch's are [out, in]. Both have
  the query, key and value of each head in the same order.

  Args:
    params: nested dict of arrays, without an axis over seeds.

  Returns:
    Contiguous float32 arrays by GPT-NeoX's name.
  """
  names = {
    "gpt_neox.embed_in.weight": params["embed"]["embedding"],
    "gpt_neox.final_layer_norm.weight": params["final_norm"]["scale"],
    "gpt_neox.final_layer_norm.bias": params["final_norm"]["bias"],
    "embed_out.weight": np.asarray(params["unembed"]["kernel"]).T,
  }
  for i, layer in params["layers"].items():
    for ours, theirs in _MODULES.items():
      for name, value in layer[ours].items():
        kind = "bias" if name == "bias" else "weight"
        value = np.asarray(value)
        names[f"gpt_neox.layers.{i}.{theirs}.{kind}"] = (
          value.T if name == "kernel" else value
        )
  return {
    name: np.ascontiguousarray(value, np.float32)
    for name, value in names.items()
  }


def rotary_share(rotary_dim: int, head_dim: int) -> float:
  """GPT-NeoX's `rotary_pct`, with int(head_dim * rotary_pct) == rotary_dim."""
  share = rotary_dim / head_dim
  return share if int(head_dim * share) == rotary_dim else share + 1e-12


def special_symbols(task: Task, length: int) -> dict[str, str]:
  """The symbols that begin, end and pad every example.

  Args:
    task: the task.
    length: a test length whose items are inspected.

  Returns:
    The symbols by name: `pad_token`; `bos_token` if all items have the same
    first symbol; `eos_token` if all have the same last symbol.
  """
  items = jax.device_get(task.evaluation(length))
  last_B = np.asarray(items.length) - 1
  first = {int(token) for token in items.tokens_L[:, 0]}
  last = {int(row[i]) for row, i in zip(items.tokens_L, last_B, strict=True)}
  found = {"pad_token": task.symbols[task.pad]}
  for name, ids in (("bos_token", first), ("eos_token", last)):
    if len(ids) == 1:
      found[name] = task.symbols[ids.pop()]
  return found


def _require_free(folder: epath.Path, origin: dict[str, Any]) -> None:
  """Raises ValueError if a folder holds anything but an export of this seed."""
  if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
    return
  try:
    content = json.loads((folder / "config.json").read_text())
    is_same = content["emergence"] == origin
  except (OSError, KeyError, TypeError, ValueError):
    is_same = False
  if not is_same:
    raise ValueError(
      f"{folder} is not an export of this seed and step; give a new or empty"
      " folder"
    )


def _recorded(
  workdir: epath.PathLike, cell: Cell, seed: int, step: int, metric: str
) -> tuple[dict[int, float], bool | None]:
  """(scores by test length, whether it diverged); ({}, None) if unrecorded."""
  rows = records.read_seed(workdir, cell, seed)
  if rows is None or step not in set(rows["step"]):
    return {}, None
  rows = rows[(rows["step"] == step) & rows["test_length"].notna()]
  pairs = zip(rows["test_length"], rows[metric], strict=True)
  scores = {int(length): float(score) for length, score in pairs}
  return scores, bool(rows["diverged"].any())


def _longest(config: Config, task: Task) -> int:
  """Length in tokens of the longest context in training or evaluation."""
  tested = [
    jax.eval_shape(lambda n=n: task.evaluation(n)).tokens_L.shape[1]
    for n in config.task.test_lengths
  ]
  return max(config.task.context_length, *tested)


def _model_config(
  arch: Architecture, task: Task, special: dict[str, str], longest: int
) -> dict[str, Any]:
  return {
    "model_type": "gpt_neox",
    "architectures": ["GPTNeoXForCausalLM"],
    "vocab_size": arch.vocab_size,
    "hidden_size": arch.width,
    "num_hidden_layers": arch.depth,
    "num_attention_heads": arch.num_heads,
    "intermediate_size": arch.width * arch.config.mlp_ratio,
    "hidden_act": "gelu",
    "layer_norm_eps": model.LAYER_NORM_EPSILON,
    "rotary_pct": rotary_share(arch.rotary_dim, arch.config.head_dim),
    "rotary_emb_base": model.ROTARY_BASE,
    "use_parallel_residual": arch.config.parallel_residual,
    "attention_bias": True,
    "attention_dropout": 0.0,
    "hidden_dropout": 0.0,
    "tie_word_embeddings": False,
    "max_position_embeddings": longest,
    "initializer_range": arch.config.init_std,
    "torch_dtype": "float32",
    **{
      f"{name}_token_id": (
        task.symbols.index(special[f"{name}_token"])
        if f"{name}_token" in special
        else None
      )
      for name in ("bos", "eos", "pad")
    },
  }


def _tokenizer(task: Task, special: dict[str, str]) -> dict[str, Any]:
  """A `tokenizers` file whose words, separated by spaces, are the symbols."""
  return {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [
      {
        "id": task.symbols.index(symbol),
        "content": symbol,
        "single_word": True,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
      }
      for symbol in sorted(set(special.values()), key=task.symbols.index)
    ],
    "normalizer": None,
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": None,
    "decoder": None,
    "model": {
      "type": "WordLevel",
      "vocab": {symbol: i for i, symbol in enumerate(task.symbols)},
      "unk_token": "<unknown>",
    },
  }
