"""Our transformer against somebody else's: GPT-NeoX of transformers, PyTorch.

  make reference           installs both, then --check

  --check        checks everything below
  --write        renews the committed file
  --workdir=DIR  exports and checks every seed that a sweep has kept

`gpt_neox_reference.npz` holds logits, the loss and parameter gradients that
transformers computes in double precision, and the versions that did; the tests
compare our model with them. Parameters are not stored: both sides draw them
from numpy's frozen RandomState. A large gradient is stored as some of its
entries and its projections on random directions, which no error escapes.

The check computes the file anew, and then does what a user would: it trains
seeds, exports them, opens them with AutoModelForCausalLM and AutoTokenizer,
lets them answer every evaluation item by greedy decoding, and compares with the
records.
"""

import argparse
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import tempfile
import zlib
from typing import NamedTuple

import jax
import numpy as np

from emergence import config as config_lib
from emergence import export, tasks
from emergence.config import Cell, ModelConfig
from emergence.population import compilation
from emergence.storage import records
from emergence.storage.params import kept_files, load_params
from emergence.training import model
from emergence.training.model import Architecture

FILE = pathlib.Path(__file__).with_suffix(".npz")
LIBRARIES = ("torch", "transformers", "numpy")
MOST_ENTRIES, PROJECTIONS = 128, 8


class Case(NamedTuple):
  """An architecture and the batch it is compared on."""

  arch: Architecture
  batch_size: int
  length: int


# The block of GPT-NeoX at the defaults, and the other variants that a config
# can name.
CASES = {
  "small": Case(Architecture(ModelConfig(), 64, 2, 23), 2, 17),
  "sequential": Case(
    Architecture(
      ModelConfig(head_dim=16, parallel_residual=False, rotary_fraction=1.0),
      *(48, 3, 19),
    ),
    *(3, 12),
  ),
  "quickstart": Case(
    Architecture(ModelConfig(head_dim=16, rotary_fraction=0.125), 32, 2, 30),
    *(3, 12),
  ),
}


def draw_params(case: Case) -> dict:
  """Parameters at a scale at which every part of the model matters."""
  shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), case.arch))
  random = np.random.RandomState(0)

  def draw(path, leaf):
    noise = random.standard_normal(leaf.shape)
    if len(leaf.shape) == 2:
      return (noise * 1.5 / np.sqrt(case.arch.width)).astype(np.float32)
    is_scale = "scale" in jax.tree_util.keystr(path)
    return (is_scale + 0.2 * noise).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)


def draw_batch(case: Case) -> tuple[np.ndarray, np.ndarray]:
  """Tokens, int32 [B, L], and which of them are to be predicted."""
  random = np.random.RandomState(1)
  shape = (case.batch_size, case.length)
  tokens_BL = random.randint(0, case.arch.vocab_size, shape).astype(np.int32)
  is_answer_BL = random.random_sample(shape) < 0.6
  return tokens_BL, is_answer_BL


def digest(name: str, gradient: np.ndarray) -> dict[str, np.ndarray]:
  """A gradient in few numbers: entries, projections, norm."""
  flat = np.asarray(gradient, np.float64).ravel()
  random = np.random.RandomState(zlib.crc32(name.encode()))
  where = random.permutation(flat.size)[:MOST_ENTRIES]
  directions = [random.standard_normal(flat.size) for _ in range(PROJECTIONS)]
  return {
    "entries": flat[where],
    "projections": np.array([direction @ flat for direction in directions]),
    "norm": np.linalg.norm(flat),
  }


def hf_config(arch: Architecture, **extra) -> dict:
  """The architecture in the words of GPT-NeoX."""
  return {
    "vocab_size": arch.vocab_size,
    "hidden_size": arch.width,
    "num_hidden_layers": arch.depth,
    "num_attention_heads": arch.width // arch.config.head_dim,
    "intermediate_size": arch.width * arch.config.mlp_ratio,
    "rotary_pct": arch.config.rotary_fraction,
    "use_parallel_residual": arch.config.parallel_residual,
    "max_position_embeddings": 64,
    **extra,
  }


def compute(case: Case) -> dict[str, np.ndarray]:
  """Logits, loss and gradients of transformers, in double precision."""
  import torch
  import transformers

  settings = transformers.GPTNeoXConfig(**hf_config(case.arch))
  network = transformers.GPTNeoXForCausalLM(settings).double()
  weights = {
    name.replace("embed_out", "lm_head"): torch.tensor(value).double()
    for name, value in export.to_gpt_neox(draw_params(case)).items()
  }
  network.load_state_dict(weights, strict=True)
  tokens_BL, is_answer_BL = draw_batch(case)
  tokens = torch.tensor(tokens_BL).long()
  logits = network(tokens).logits
  losses = torch.nn.functional.cross_entropy(
    logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none"
  )
  loss = losses[torch.tensor(is_answer_BL[:, 1:])].mean()
  loss.backward()
  found = {"logits": logits.detach().numpy(), "loss": loss.detach().numpy()}
  for name, parameter in network.named_parameters():
    name = name.replace("lm_head", "embed_out")
    for part, value in digest(name, parameter.grad.numpy()).items():
      found[f"gradient/{name}/{part}"] = value
  return found


def compute_all() -> dict[str, np.ndarray]:
  """What the committed file holds."""
  found = {
    f"{case}/{name}": np.asarray(value, np.float32)
    for case in CASES
    for name, value in compute(CASES[case]).items()
  }
  versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
  return found | {"versions": np.array(json.dumps(versions))}


def check_file() -> None:
  """Computes the committed numbers anew."""
  computed = compute_all()
  with np.load(FILE, allow_pickle=False) as committed:
    assert set(committed.files) == set(computed)
    for name in committed.files:
      if name != "versions":
        np.testing.assert_allclose(
          computed[name], committed[name], rtol=1e-4, atol=1e-5, err_msg=name
        )
  print(f"{FILE.name}: {len(computed)} arrays as computed now")


def check_export(workdir: pathlib.Path, cell: Cell, seed: int) -> list[float]:
  """One exported seed answers in transformers as it does in the records.

  Returns its exact match by test length.
  """
  import torch
  import transformers

  transformers.utils.logging.disable_progress_bar()
  config = records.read_config(workdir)
  with tempfile.TemporaryDirectory() as folder:
    export.export(workdir, cell, seed, folder, config.train.steps)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
  params = load_params(workdir, cell, seed)
  for name, value in export.to_gpt_neox(params).items():
    name = name.replace("embed_out", "lm_head")
    np.testing.assert_array_equal(network.state_dict()[name].numpy(), value)
  arch = compilation.make_setup(config, cell).arch
  frame = records.read(workdir).query(
    f"width == {cell.width} and depth == {cell.depth} and seed == {seed}"
    f" and step == {config.train.steps}"
  )
  recorded = dict(zip(frame["test_length"], frame["exact_match"], strict=True))
  task = tasks.make_task(config.task, config.eval.items)
  scores = []
  for length in config.task.test_lengths:
    items = jax.device_get(task.evaluation(length))
    texts = [task.render(row) for row in items.tokens_L]
    starts = items.is_answer_L.argmax(axis=1)
    prompts = [
      " ".join(text.split()[:start])
      for text, start in zip(texts, starts, strict=True)
    ]
    # Prompts of one length need no padding, and each text comes back whole.
    encoded = tokenizer(prompts, return_tensors="pt")
    assert encoded["input_ids"].shape == (len(prompts), starts[0])
    again = tokenizer.batch_decode(tokenizer(texts)["input_ids"])
    assert again == texts, f"{again[0]!r} is not {texts[0]!r}"
    with torch.no_grad():
      theirs = network(torch.tensor(items.tokens_L).long()).logits.numpy()
      ours = np.asarray(model.apply(params, arch, items.tokens_L))
      error = np.abs(theirs - ours).max() / np.abs(ours).max()
      assert error < 1e-4, (cell, seed, length, error)
      answered = network.generate(
        encoded["input_ids"],
        attention_mask=encoded["attention_mask"],
        max_new_tokens=int(items.is_answer_L.sum(axis=1).max()),
        do_sample=False,
      )
    decoded = tokenizer.batch_decode(answered)
    right = np.mean(
      [a.split()[: len(t.split())] == t.split()
       for a, t in zip(decoded, texts, strict=True)]
    )  # fmt: skip
    assert abs(right - recorded[length]) < 1e-6, (cell, seed, length, right)
    print(
      f"{cell} seed {seed}, length {length}: exact match {right:.4f}, logits"
      f" within {error:.0e}"
    )
    scores.append(right)
  return scores


def check_workdir(workdir: pathlib.Path) -> list[float]:
  """Every seed of a work directory whose final parameters were kept."""
  config = records.read_config(workdir)
  scores = []
  for cell in config_lib.cells(config):
    for seed, steps in sorted(kept_files(workdir, cell).items()):
      if config.train.steps in steps:
        scores += check_export(workdir, cell, seed)
  return scores


def check_trained_seeds() -> None:
  """Small sweeps of both tasks and both blocks, exported and asked again."""
  shared = ["seeds.count=2", "seeds.block=2", "eval.num_points=2"]
  sweeps = {
    "parallel": ["train.steps=1500", "grid.depths=[2]"],
    "sequential": [
      *["train.steps=1500", "grid.depths=[2]", "model.rotary_fraction=1.0"],
      *["model.parallel_residual=False", "task.test_lengths=[5,10,12]"],
    ],
    "addition": [
      *["task.name=reverse_addition", "task.max_train_length=2"],
      *["task.test_lengths=[1,2]", "task.vocab_size=3", "eval.items=64"],
      *["train.steps=2000", "grid.depths=[2]", "grid.widths=[32]"],
      "model.rotary_fraction=1.0",
    ],
  }
  for name, overrides in sweeps.items():
    with tempfile.TemporaryDirectory() as folder:
      workdir = pathlib.Path(folder)
      flags = [f"--override={text}" for text in [*shared, *overrides]]
      command = [
        *(sys.executable, "-m", "experiments.sweep", f"--workdir={workdir}"),
        *("--config=quickstart", "--keep_params=final"),
      ]
      subprocess.run([*command, *flags], check=True, stdout=subprocess.DEVNULL)
      print(f"{name}:")
      scores = check_workdir(workdir)
      # All wrong or all right would say little.
      assert any(0.1 < score < 0.9 for score in scores), (name, scores)


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--write", action="store_true")
  parser.add_argument("--check", action="store_true")
  parser.add_argument("--workdir", type=pathlib.Path)
  arguments = parser.parse_args()
  if not any(vars(arguments).values()):
    parser.error("nothing to do; see --help")
  if arguments.write:
    np.savez_compressed(FILE, allow_pickle=False, **compute_all())
    print(f"wrote {FILE}")
  if arguments.check:
    check_file()
    check_trained_seeds()
  if arguments.workdir:
    check_workdir(arguments.workdir)


if __name__ == "__main__":
  main()
