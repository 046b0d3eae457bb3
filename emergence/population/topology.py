"""Memory and time of a cell on TPUs that are not here, by their own compiler.

`libtpu` compiles for the chips of a named topology, such as v5e:2x2, on any
machine. Memory is what XLA plans for the programs of a sweep. Operations and
bytes are what it counts in one training step, drawing included: a program of
its own, because XLA counts a loop's body once. Of kernels in Pallas it counts
next to nothing: their operands and results are added to the bytes, and products
are at least those of `model.train_flops`. Time is what the chip's peaks allow
for these (Williams et al. 2009, the roofline). Bytes that stay in the chip's
vector memory are counted as well, so where memory binds, time may be less.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import math
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import jax
from jax.experimental import topologies

from emergence.config import Cell, Config, override
from emergence.population import compilation, hardware
from emergence.population.hardware import Device
from emergence.training import model


class Chip(NamedTuple):
  """A TPU chip.

  Attributes:
    flops: floating-point operations per second of products in bfloat16.
    bandwidth: of its memory, bytes per second.
    memory: bytes that a program may use.
  """

  flops: float
  bandwidth: float
  memory: int


# By JAX's name. Peaks are of Google Cloud's system architecture of v5e, v5p and
# v6e; memory is what libtpu names where it refuses a program.
CHIPS = {
  "TPU v5 lite": Chip(197e12, 819e9, int(15.75 * 2**30)),
  "TPU v5": Chip(459e12, 2765e9, int(95.74 * 2**30)),
  "TPU v6 lite": Chip(918e12, 1640e9, int(31.25 * 2**30)),
}

# How many bfloat16 products make one float32 product, by precision.
_PASSES = {"default": 1, "high": 3, "highest": 6}

# Seeds of the block whose memory, with that of one seed, is extrapolated.
_PROBE = 8

# Without these libtpu looks for the TPU that this machine would have.
_NO_TPU_HERE = {
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_WORKER_HOSTNAMES": "localhost",
  "TPU_ACCELERATOR_TYPE": "v5litepod-4",
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


class Figures(NamedTuple):
  """What XLA says of one program.

  Attributes:
    scratch: bytes on one device; of a refused program, all that it would use.
    flops: floating-point operations; 0 for a refused program.
    bytes: read and written, in all its operations; 0 for a refused program.
    seconds: that it took to compile.
  """

  scratch: int
  flops: float
  bytes: float
  seconds: float


class Plan(NamedTuple):
  """What one cell takes on the chips of a topology.

  Attributes:
    cell: the cell.
    num_params: parameters of one model.
    num_seeds: seeds to train.
    block: the most seeds that fit on a chip together, at most its share of the
      seeds; 0 if not even one fits.
    even_block: seeds of a block if the seeds are divided evenly over the chips
      and over as many rounds as blocks of the largest size need.
    bytes_per_device: memory of the largest block, or of one seed if that is 0.
    compile_seconds: of the programs that train and evaluate it, on this
      machine.
    flops: floating-point operations of one step of one seed.
    bytes: that one step of one seed reads and writes.
    seconds: of one step of one seed on one chip, at its peak rates.
    bound: `compute` or `memory`, whichever is the slower.
    hours: of all seeds on all chips at their peak rates, in even blocks.
  """

  cell: Cell
  num_params: int
  num_seeds: int
  block: int
  even_block: int
  bytes_per_device: int
  compile_seconds: float
  flops: float
  bytes: float
  seconds: float
  bound: str
  hours: float


def devices(name: str) -> list[Device]:
  """The chips of a topology, to compile for and not to run on.

  Call it before anything else touches a device.

  Raises:
    ValueError: libtpu is not installed, or knows no such topology.
  """
  if importlib.util.find_spec("libtpu") is None:
    raise ValueError(
      "--topology: libtpu, the TPU's compiler, is not installed;"
      " pip install -e '.[tpu]'"
    )
  for variable, value in _NO_TPU_HERE.items():
    os.environ.setdefault(variable, value)
  jax.config.update("jax_platforms", "cpu")
  try:
    found = topologies.get_topology_desc(name, "tpu").devices
  except (jax.errors.JaxRuntimeError, NotImplementedError) as error:
    raise ValueError(
      f"--topology: no topology {name!r} ({error}); write it like v5e:2x2,"
      " v5p:2x2x1 or v6e:2x2"
    ) from error
  if found[0].device_kind not in CHIPS:
    raise ValueError(
      f"--topology: the peak rates of {found[0].device_kind} are not known;"
      f" they are known for {', '.join(CHIPS)}"
    )
  return list(found)


def plan(
  config: Config,
  cell: Cell,
  num_seeds: int,
  devices: Sequence[Device],
  tell: Callable[[str], None],
) -> Plan:
  """Compiles a cell for a topology and says what it takes.

  Args:
    config: the experiment.
    cell: the cell.
    num_seeds: seeds to train.
    devices: of the topology.
    tell: called with a line about each program.

  Raises:
    ValueError: the cell is invalid.
  """
  chip = CHIPS[devices[0].device_kind]
  compiled: dict[int, tuple[int, float]] = {}

  def lower(block: int) -> compilation.Lowerings:
    setup = compilation.make_setup(
      override(config, [f"seeds.block={block}"]), cell
    )
    return compilation.lowerings(setup, devices[:1])

  def measure(name: str, block: int, lowered: jax.stages.Lowered) -> Figures:
    found = _figures(lowered, devices[0].device_kind)
    tell(
      f"{cell}, block of {block}, {name}: {found.scratch / 2**30:.2f} GiB of"
      f" scratch memory, compiled in {found.seconds:.0f} s"
    )
    return found

  evaluating = measure("evaluation", 1, lower(1).evaluate())

  def bytes_of(block: int) -> int:
    parts = lower(block)
    training = measure("training", block, parts.advance())
    needed = compilation.state_bytes(parts.state, 1)
    needed += max(training.scratch, block * evaluating.scratch)
    compiled[block] = needed, training.seconds + evaluating.seconds
    return needed

  most = math.ceil(num_seeds / len(devices))
  block = largest_block(
    bytes_of, int(hardware.USABLE_SHARE * chip.memory), most
  )
  needed, seconds = compiled[max(block, 1)]
  # More seeds than that move as many bytes each.
  probe = min(max(block, 1), _PROBE)
  step = measure("one step", probe, lower(probe).step())
  setup = compilation.make_setup(config, cell)
  train = setup.config.train
  passes = 1
  if train.compute_dtype == "float32":
    passes = _PASSES[train.matmul_precision]
  flops = max(
    step.flops / probe,
    model.train_flops(
      setup.arch, train.batch_size, setup.config.task.context_length
    ),
  )
  compute = passes * flops / chip.flops
  memory = step.bytes / probe / chip.bandwidth
  slower = max(compute, memory)
  num_rounds = math.ceil(num_seeds / max(block, 1) / len(devices))
  even_block = math.ceil(num_seeds / num_rounds / len(devices))
  return Plan(
    cell,
    model.num_params(setup.arch),
    num_seeds,
    block,
    even_block,
    needed,
    seconds,
    flops,
    step.bytes / probe,
    slower,
    "compute" if compute > memory else "memory",
    num_rounds * even_block * train.steps * slower / 3600,
  )


def largest_block(bytes_of: Callable[[int], int], limit: int, most: int) -> int:
  """The most seeds that fit in memory, by two to four measurements.

  Args:
    bytes_of: measures the memory of a block of so many seeds, which grows about
      linearly.
    limit: bytes that a block may use.
    most: seeds that are wanted at most.

  Returns:
    A number of seeds that was measured and fits, 0 if not even one does.
  """
  one = bytes_of(1)
  if one > limit or most == 1:
    return int(one <= limit)
  block = min(_PROBE, most)
  needed = bytes_of(block)
  largest = block if needed <= limit else 1
  for _ in range(2):
    slope = max((needed - one) / (block - 1), 1)
    block = min(most, math.floor(1 + (limit - one) / slope))
    if block <= largest:
      break
    needed = bytes_of(block)
    if needed <= limit:
      return block
  return largest


def kernel_bytes(hlo: str) -> int:
  """Bytes of all operands and results of Pallas kernels in a program.

  Args:
    hlo: text of the optimized program.
  """
  sizes: dict[str, int] = {}
  total = 0
  instruction = r"^\s*(?:ROOT )?%([\w.-]+) = (.*?) [\w-]+\((.*)$"
  for name, kind, rest in re.findall(instruction, hlo, re.MULTILINE):
    sizes[name] = sum(
      int(bits or 8) // 8 * math.prod(int(n) for n in axes.split(",") if n)
      for bits, axes in re.findall(r"(?:pred|[a-z]+(\d+))\[([\d,]*)\]", kind)
    )
    if 'custom_call_target="tpu_custom_call"' in rest:
      operands = re.findall(r"%([\w.-]+)", rest.partition(")")[0])
      total += sizes[name] + sum(sizes[operand] for operand in operands)
  return total


def _figures(lowered: jax.stages.Lowered, kind: str) -> Figures:
  """Compiles a program, unless its figures are in the user's cache.

  JAX's own cache keeps such programs and does not find them again.
  """
  libraries = ("jaxlib", "libtpu")
  versions = [importlib.metadata.version(name) for name in libraries]
  program = "\n".join([kind, *versions, lowered.as_text()])
  name = f"{hashlib.sha256(program.encode()).hexdigest()}.json"
  home = compilation.cache_home()
  file = home and home / "topology" / name
  if file and file.exists():
    with contextlib.suppress(ValueError):  # Cut off by a full disk.
      return Figures(**json.loads(file.read_text()))
  began = time.monotonic()
  flops = moved = 0.0
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    # The first size in the message is what the program would use.
    used = re.search(r"([\d.]+)([KMGT])\b", str(error))
    if not used or "HBM" not in str(error).upper():
      raise
    scratch = int(float(used[1]) * 2 ** (10 * (1 + "KMGT".index(used[2]))))
  else:
    scratch = compilation.work_bytes(compiled)
    costs = cast(dict, compiled.cost_analysis())
    flops = costs["flops"]
    moved = costs["bytes accessed"] + kernel_bytes(compiled.as_text() or "")
  found = Figures(scratch, flops, moved, time.monotonic() - began)
  if file:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found._asdict()))
  return found
