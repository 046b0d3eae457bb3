"""What can be checked without PyTorch; `make reference` does the rest."""

import json

import numpy as np
import pytest
import safetensors.numpy

from emergence import export, tasks
from emergence.config import Cell, TaskConfig
from emergence.storage.params import load_params

CELL = Cell.parse("count/width-8/depth-2")


@pytest.fixture
def workdir(finished_copy):
  return finished_copy


def test_weights_are_those_of_the_seed_under_the_names_of_gpt_neox(
  tiny, workdir, tmp_path
):
  result = export.export(workdir, CELL, 2, tmp_path / "out", 6)
  params = load_params(workdir, CELL, 2)
  weights = safetensors.numpy.load_file(tmp_path / "out/model.safetensors")
  assert sum(w.size for w in weights.values()) == result.num_params
  np.testing.assert_array_equal(
    weights["gpt_neox.embed_in.weight"], params["embed"]["embedding"]
  )
  np.testing.assert_array_equal(
    weights["gpt_neox.layers.1.mlp.dense_h_to_4h.weight"],
    params["layers"][1]["mlp_in"]["kernel"].T,
  )
  np.testing.assert_array_equal(
    weights["gpt_neox.layers.0.attention.query_key_value.bias"],
    params["layers"][0]["qkv"]["bias"],
  )
  assert len(weights) == 4 + 2 * 12
  early = export.export(workdir, CELL, 2, tmp_path / "early", 0)
  assert early.num_params == result.num_params
  first = safetensors.numpy.load_file(tmp_path / "early/model.safetensors")
  assert not np.array_equal(
    first["embed_out.weight"], weights["embed_out.weight"]
  )


def test_the_config_says_what_the_model_is_and_where_it_comes_from(
  tiny, workdir, tmp_path
):
  result = export.export(workdir, CELL, 1, tmp_path / "out", 6)
  config = json.loads((tmp_path / "out/config.json").read_text())
  task = tasks.make_task(tiny.task)
  assert config["model_type"] == "gpt_neox"
  assert config["hidden_size"] == 8
  assert config["num_hidden_layers"] == 2
  assert config["num_attention_heads"] == 2
  assert config["intermediate_size"] == 32
  assert config["vocab_size"] == len(task.symbols)
  assert config["tie_word_embeddings"] is False
  assert config["max_position_embeddings"] == 24
  for name, symbol in [("bos", "$"), ("eos", "."), ("pad", "*")]:
    assert task.symbols[config[f"{name}_token_id"]] == symbol
  origin = config["emergence"]
  assert (origin["seed"], origin["depth"], origin["step"]) == (1, 2, 6)
  assert set(result.scores) == {4, 6}
  for length, score in result.scores.items():
    assert origin["exact_match"][str(length)] == score


def test_special_symbols_are_those_at_both_ends():
  config = TaskConfig(name="reverse_addition", max_train_length=5)
  found = export.special_symbols(tasks.make_task(config, items=16), 5)
  assert found == {"bos_token": "S", "eos_token": "E", "pad_token": "*"}


def test_the_rotated_share_gives_back_the_rotated_dimensions():
  for head_dim in range(2, 257):
    for rotary_dim in range(0, head_dim + 1, 2):
      share = export.rotary_share(rotary_dim, head_dim)
      assert int(head_dim * share) == rotary_dim
      assert share <= 1


def test_a_corrupt_file_of_parameters_is_named(workdir, tmp_path):
  for path in (workdir / "params").glob("*/*/*/*/step-00000006.npz"):
    path.write_bytes(path.read_bytes()[:-10])
  with pytest.raises(ValueError, match=r"step-00000006\.npz is corrupt"):
    export.export(workdir, CELL, 1, tmp_path / "out", 6)


def test_only_an_export_of_the_same_seed_is_written_over(workdir, tmp_path):
  export.export(workdir, CELL, 1, tmp_path / "out", 6)
  export.export(workdir, CELL, 1, tmp_path / "out", 6)
  before = (tmp_path / "out/model.safetensors").read_bytes()
  for folder, seed in ((tmp_path / "out", 2), (workdir, 1)):
    with pytest.raises(ValueError, match="is not an export of this seed"):
      export.export(workdir, CELL, seed, folder, 6)
  assert (tmp_path / "out/model.safetensors").read_bytes() == before
  assert "emergence" not in json.loads((workdir / "config.json").read_text())
