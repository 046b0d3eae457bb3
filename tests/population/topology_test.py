"""What is planned for a topology; only the slow tests need libtpu."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emergence import config as config_lib
from emergence.config import Cell
from emergence.population import compilation, hardware, topology
from emergence.population.topology import Chip, Figures
from experiments.configs import count_width


def search(bytes_of, limit, most):
  """The block that is found, and the blocks that were measured for it."""
  measured = []

  def measure(block):
    measured.append(block)
    return bytes_of(block)

  return topology.largest_block(measure, limit, most), measured


def line(block):
  return 5 + 10 * block


@pytest.mark.parametrize(
  ("limit", "most", "found", "measured"),
  [
    (14, 99, 0, [1]),  # Not even one seed.
    (84, 99, 7, [1, 8, 7]),
    (304, 99, 29, [1, 8, 29]),
    (999, 3, 3, [1, 3]),  # No more than are wanted.
  ],
)
def test_the_largest_block_of_a_line_takes_three_measurements(
  limit, most, found, measured
):
  assert search(line, limit, most) == (found, measured)


def test_a_block_that_the_line_misjudged_is_not_taken():
  bent = lambda block: line(block) + max(0, block - 8) ** 2
  found, measured = search(bent, 304, 99)
  assert (measured[:3], len(measured)) == ([1, 8, 29], 4)
  assert found == measured[3]
  assert line(found) <= bent(found) <= 304


@pytest.mark.parametrize(
  ("override", "peak", "bound", "seconds"),
  [
    # 500 bytes at 1e4 a second; 6 times 700,000 operations at the peak.
    ("train.matmul_precision=highest", 1e8, "memory", 0.05),
    ("train.matmul_precision=highest", 1e7, "compute", 0.42),
    ("train.matmul_precision=high", 1e7, "compute", 0.21),
    ("train.matmul_precision=default", 1e7, "compute", 0.07),
    ("train.compute_dtype=bfloat16", 1e7, "compute", 0.07),
  ],
)
def test_a_plan_is_that_of_a_hand_calculation(
  tiny, monkeypatch, override, peak, bound, seconds
):
  config = config_lib.override(tiny, [override])
  devices, cell = hardware.local_devices(2), Cell.parse("count/width-8/depth-1")

  def lowerings(setup, devices):
    assert len(devices) == 1
    words = 100 * setup.config.seeds.block
    state = jax.ShapeDtypeStruct((words,), jnp.float32)
    nothing = lambda: None
    return compilation.Lowerings(None, state, *[nothing] * 4)

  monkeypatch.setattr(compilation, "lowerings", lowerings)
  one = 400  # Bytes of the state of a seed.
  # Evaluation of one seed, training of blocks of 1, 8 and 5, and one step.
  scratch = iter([100_000, 90, 800_000, 90, 0])
  monkeypatch.setattr(
    topology,
    "_figures",
    lambda lowered, kind: Figures(next(scratch), 5 * 700_000, 5 * 500, 2.5),
  )
  room = int(5.5 * (one + 100_000) / hardware.USABLE_SHARE)
  chips = {devices[0].device_kind: Chip(peak, 1e4, room)}
  monkeypatch.setattr(topology, "CHIPS", chips)
  lines = []
  found = topology.plan(config, cell, 16, devices, lines.append)
  assert (found.block, found.bytes_per_device) == (5, 5 * (one + 100_000))
  assert (found.flops, found.bytes, found.compile_seconds) == (700_000, 500, 5)
  assert (found.bound, found.seconds) == (bound, pytest.approx(seconds))
  # Two rounds of a block on each of the two chips, six steps.
  assert found.even_block == 4
  assert found.hours == pytest.approx(2 * 4 * 6 * seconds / 3600)
  assert len(lines) == 5


def test_the_peaks_are_those_of_the_data_sheets():
  """TFLOP/s in bfloat16 and GB/s, from cloud.google.com/tpu/docs, per chip."""
  published = {
    "TPU v5 lite": (197, 819),  # v5e
    "TPU v5": (459, 2765),  # v5p
    "TPU v6 lite": (918, 1640),  # v6e
  }
  assert published == {
    kind: (chip.flops / 1e12, chip.bandwidth / 1e9)
    for kind, chip in topology.CHIPS.items()
  }


HLO = """
ENTRY %main (q: f32[8,2], k: bf16[4]) -> (f32[8,2], pred[3]) {
  %q = f32[8,2]{1,0:T(8,128)} parameter(0)
  %k.1 = bf16[4]{0} parameter(1)
  %add.2 = f32[8,2]{1,0:T(8,128)S(1)} add(%q, %q)
  %s.3 = (f32[8,2], pred[3]) custom-call(%add.2, %k.1), TARGET="tpu_custom_call"
  %other = f32[8,2] custom-call(%q), TARGET="Sharding"
}
""".replace("TARGET", "custom_call_target")


def test_bytes_of_a_kernel_are_those_of_its_operands_and_results():
  assert topology.kernel_bytes(HLO) == (64 + 3) + (64 + 8)


@pytest.mark.slow
def test_one_step_counts_each_layer(tiny):
  """A loop over layers would be counted once, whatever its length."""

  def costs(depth):
    cell = Cell.parse(f"count/width-8/depth-{depth}")
    setup = compilation.make_setup(tiny, cell)
    step = compilation.lowerings(setup, hardware.local_devices(1)).step()
    found = step.compile().cost_analysis()
    return np.array([found["flops"], found["bytes accessed"]])

  one, two, three = map(costs, (1, 2, 3))
  np.testing.assert_allclose(three - two, two - one, rtol=0.05)


def test_without_libtpu_it_is_named(monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(ValueError, match="libtpu, the TPU's compiler"):
    topology.devices("v5e:2x2")


@pytest.mark.slow
@pytest.mark.skipif(
  importlib.util.find_spec("libtpu") is None,
  reason="no libtpu: pip install 'jax[tpu]'",
)
def test_the_widest_cell_of_the_paper_compiles_for_a_tpu(tmp_path, monkeypatch):
  """One layer of it, in products of one pass: of six they take 150 s of CPU."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  config = config_lib.override(
    count_width.config,
    ["grid.depths=[1]", "seeds.block=1", "train.matmul_precision=default"],
  )
  chip, *_ = topology.devices("v5e:2x2")
  setup = compilation.make_setup(config, config_lib.cells(config)[-1])
  assert (setup.arch.width, setup.arch.depth) == (320, 1)
  parts = compilation.lowerings(setup, [chip])
  lowered = parts.advance()
  # The kernels of attention: forward and backward.
  assert lowered.as_text().count("tpu_custom_call") == 2
  found = topology._figures(lowered, chip.device_kind)
  needed = found.scratch + compilation.state_bytes(parts.state, 1)
  memory = topology.CHIPS[chip.device_kind].memory
  assert 0 < needed < hardware.USABLE_SHARE * memory
  assert found.flops > 0
