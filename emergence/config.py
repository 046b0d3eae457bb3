"""The configuration of an experiment: typed and validated.

A `Config` has two parts. The *identity* (task, model, train, eval, the seed
design and block, the root seed) says what is trained; with a width and a depth
it names one cell, and its hash is stored with every record. The *request* (the
grid and how many seeds) says how much of it is wanted and may grow in the same
work directory.
"""

import dataclasses
import itertools
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

DESIGNS = ("paired", "fixed_init", "fixed_data", "crossed")
PRECISIONS = ("default", "high", "highest")
COMPUTE_DTYPES = ("float32", "bfloat16")


class _Section:
  """Checks and normalizes the types of the fields of a dataclass."""

  _name: typing.ClassVar[str] = ""

  def __post_init__(self):
    for field, kind in typing.get_type_hints(type(self)).items():
      if field.startswith("_"):
        continue
      key = f"{self._name}.{field}" if self._name else field
      value = _coerce(key, getattr(self, field), kind)
      object.__setattr__(self, field, value)
    self._validate()

  def _validate(self):
    pass

  def _require(self, condition: bool, field: str, expected: str):
    if not condition:
      key = f"{self._name}.{field}" if self._name else field
      raise ValueError(f"{key} must be {expected}, got {getattr(self, field)}")


@dataclasses.dataclass(frozen=True)
class TaskConfig(_Section):
  """What the model is trained on and tested on.

  Attributes:
    name: a task of the registry `emergence.tasks.TASKS`.
    min_train_length: shortest example in training.
    max_train_length: longest example in training.
    test_lengths: lengths evaluated, increasing; the last one is the headline
      length that tables and figures show first.
    vocab_size: size of the task's open alphabet: number tokens for `count` and
      `null`, index hints for `reverse_addition`. Task symbols come on top.
    context_length: tokens of a training context.
    packed: fill each context with examples one after another (attention is not
      reset between them), else one example a context, padded.
  """

  _name = "task"
  name: str = "count"
  min_train_length: int = 1
  max_train_length: int = 10
  test_lengths: tuple[int, ...] = (10, 20)
  vocab_size: int = 30
  context_length: int = 64
  packed: bool = True

  def _validate(self):
    self._require(self.min_train_length >= 1, "min_train_length", "at least 1")
    self._require(
      self.max_train_length >= self.min_train_length,
      "max_train_length",
      f"at least task.min_train_length = {self.min_train_length}",
    )
    self._require(
      _is_increasing(self.test_lengths) and self.test_lengths[0] >= 1,
      "test_lengths",
      "increasing lengths of at least 1",
    )
    self._require(self.vocab_size >= 1, "vocab_size", "at least 1")
    self._require(self.context_length >= 2, "context_length", "at least 2")


@dataclasses.dataclass(frozen=True)
class ModelConfig(_Section):
  """The transformer, apart from its width and depth.

  Attributes:
    head_dim: dimension of a head; the number of heads is width / head_dim.
    parallel_residual: attention and MLP read the same residual stream and are
      added together (GPT-NeoX), else one after the other (GPT-2).
    rotary_fraction: share of each head's dimensions that RoPE rotates, 0..1.
    mlp_ratio: hidden dimension of the MLP over the width.
    init_std: standard deviation of the normal initialization of every matrix.
  """

  _name = "model"
  head_dim: int = 64
  parallel_residual: bool = True
  rotary_fraction: float = 0.25
  mlp_ratio: int = 4
  init_std: float = 0.02

  def _validate(self):
    self._require(self.head_dim >= 1, "head_dim", "at least 1")
    self._require(
      0 <= self.rotary_fraction <= 1, "rotary_fraction", "between 0 and 1"
    )
    self._require(self.mlp_ratio >= 1, "mlp_ratio", "at least 1")
    self._require(self.init_std > 0, "init_std", "above 0")


@dataclasses.dataclass(frozen=True)
class TrainConfig(_Section):
  """Optimization: AdamW, linear warm-up, cosine to zero.

  Attributes:
    steps: updates per seed.
    batch_size: contexts per update.
    learning_rate: peak, for widths that `learning_rate_by_width` leaves out.
    learning_rate_by_width: peak by width, written `{16: 0.003, 32: 0.002}`.
    warmup_fraction: share of the steps with a linear warm-up, in [0, 1).
    weight_decay: decoupled decay of matrices; biases and norms have none.
    grad_clip: largest global norm of a gradient.
    matmul_precision: XLA's precision of float32 matrix products.
    compute_dtype: type of matrix products; parameters and optimizer state are
      always float32.
  """

  _name = "train"
  steps: int = 2000
  batch_size: int = 8
  learning_rate: float = 2e-3
  learning_rate_by_width: tuple[tuple[int, float], ...] = ()
  warmup_fraction: float = 0.05
  weight_decay: float = 0.1
  grad_clip: float = 1.0
  matmul_precision: str = "highest"
  compute_dtype: str = "float32"

  def _validate(self):
    self._require(self.steps >= 1, "steps", "at least 1")
    self._require(self.batch_size >= 1, "batch_size", "at least 1")
    self._require(self.learning_rate > 0, "learning_rate", "above 0")
    self._require(
      all(rate > 0 for _, rate in self.learning_rate_by_width),
      "learning_rate_by_width",
      "rates above 0",
    )
    self._require(0 <= self.warmup_fraction < 1, "warmup_fraction", "in [0, 1)")
    self._require(self.weight_decay >= 0, "weight_decay", "at least 0")
    self._require(self.grad_clip > 0, "grad_clip", "above 0")
    _require_choice("train.matmul_precision", self.matmul_precision, PRECISIONS)
    _require_choice("train.compute_dtype", self.compute_dtype, COMPUTE_DTYPES)

  def learning_rate_at(self, width: int) -> float:
    """The peak learning rate of a width."""
    return dict(self.learning_rate_by_width).get(width, self.learning_rate)


@dataclasses.dataclass(frozen=True)
class EvalConfig(_Section):
  """When and on how much a seed is tested.

  Attributes:
    num_points: evaluations after the one at step 0, evenly spaced, the last
      one at the end of training.
    items: items a test length, for tasks that draw them; `count` enumerates
      all its items instead.
  """

  _name = "eval"
  num_points: int = 10
  items: int = 256

  def _validate(self):
    self._require(self.num_points >= 1, "num_points", "at least 1")
    self._require(self.items >= 1, "items", "at least 1")


@dataclasses.dataclass(frozen=True)
class SeedsConfig(_Section):
  """Which seeds are trained and what of them varies.

  Attributes:
    design: `paired` varies initialization and data together, `fixed_init` and
      `fixed_data` hold one of them at seed 0, `crossed` trains every
      combination: seed = init_seed · num_data + data_seed.
    block: seeds that one device trains at a time, and that share a file.
    count: how many seeds.
    first: the first of them.
    num_init: initializations of a crossed design.
    num_data: data streams of a crossed design. It gives a seed index its
      meaning, so in a crossed design it is part of the identity.
  """

  _name = "seeds"
  design: str = "paired"
  block: int = 16
  count: int = 32
  first: int = 0
  num_init: int = 0
  num_data: int = 0

  def _validate(self):
    _require_choice("seeds.design", self.design, DESIGNS)
    self._require(self.block >= 1, "block", "at least 1")
    self._require(0 <= self.first < 2**31, "first", "in [0, 2^31)")
    self._require(
      1 <= self.count <= 2**31 - self.first,
      "count",
      f"in [1, 2^31 − {self.first}]",
    )
    if self.design == "crossed":
      self._require(self.num_init >= 1, "num_init", "at least 1 when crossed")
      self._require(self.num_data >= 1, "num_data", "at least 1 when crossed")
      total = self.num_init * self.num_data
      self._require(self.first == 0, "first", "0 when crossed")
      self._require(
        self.count == total,
        "count",
        f"num_init · num_data = {total} when crossed",
      )
    else:
      for field in ("num_init", "num_data"):
        self._require(
          getattr(self, field) == 0, field, "0 unless seeds.design=crossed"
        )

  @property
  def requested(self) -> range:
    """The seed indices asked for."""
    return range(self.first, self.first + self.count)

  def require_seeds(self, seeds: Iterable[int]) -> None:
    """Raises ValueError where a seed index has no meaning in this design."""
    crossed = self.design == "crossed"
    limit = self.num_init * self.num_data if crossed else 2**31
    for seed in seeds:
      if not 0 <= seed < limit:
        raise ValueError(f"--seeds: {seed} is not in 0..{limit - 1}")

  def init_and_data_seed(self, seed: int) -> tuple[int, int]:
    """The two seeds that a seed index stands for under this design."""
    match self.design:
      case "paired":
        return seed, seed
      case "fixed_init":
        return 0, seed
      case "fixed_data":
        return seed, 0
      case _:
        return divmod(seed, self.num_data)


@dataclasses.dataclass(frozen=True)
class GridConfig(_Section):
  """The scales: every width with every depth (number of layers)."""

  _name = "grid"
  widths: tuple[int, ...] = (16,)
  depths: tuple[int, ...] = (1, 2, 4)

  def _validate(self):
    for field in ("widths", "depths"):
      values = getattr(self, field)
      self._require(
        _is_increasing(values) and values[0] >= 1,
        field,
        "increasing sizes of at least 1",
      )


@dataclasses.dataclass(frozen=True)
class Config(_Section):
  """One experiment; see the sections for the meaning of each field."""

  task: TaskConfig = dataclasses.field(default_factory=TaskConfig)
  model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
  train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
  eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)
  seeds: SeedsConfig = dataclasses.field(default_factory=SeedsConfig)
  grid: GridConfig = dataclasses.field(default_factory=GridConfig)
  root_seed: int = 0

  def _validate(self):
    self._require(0 <= self.root_seed < 2**31, "root_seed", "in [0, 2^31)")
    if self.eval.num_points > self.train.steps:
      raise ValueError(
        f"eval.num_points must be at most train.steps = {self.train.steps},"
        f" got {self.eval.num_points}"
      )

  @property
  def headline_length(self) -> int:
    """The test length that tables and figures show first: the last one."""
    return self.task.test_lengths[-1]

  @property
  def eval_steps(self) -> tuple[int, ...]:
    """Steps at which seeds are evaluated: 0, then `eval.num_points` more."""
    steps, points = self.train.steps, self.eval.num_points
    return tuple(steps * i // points for i in range(points + 1))


class Cell(NamedTuple):
  """One point of the grid; its text is its folder, `count/width-32/depth-4`."""

  task: str
  width: int
  depth: int

  def __str__(self) -> str:
    return f"{self.task}/width-{self.width}/depth-{self.depth}"

  @classmethod
  def parse(cls, text: str) -> "Cell":
    """The cell of such a text; ValueError where it is none."""
    match = re.fullmatch(r"([^/]+)/width-([0-9]+)/depth-([0-9]+)", text.strip())
    if not match:
      raise ValueError(
        f"a cell reads like count/width-32/depth-4, got {text!r}"
      )
    return cls(match[1], int(match[2]), int(match[3]))


def cells(config: Config) -> list[Cell]:
  """Every cell of the grid, smallest width first, then smallest depth."""
  return [
    Cell(config.task.name, width, depth)
    for width in config.grid.widths
    for depth in config.grid.depths
  ]


def _coerce(key: str, value: Any, kind: Any) -> Any:
  """`value` as `kind`, where that loses nothing; else ValueError."""
  origin, arguments = typing.get_origin(kind), typing.get_args(kind)
  if origin is tuple and typing.get_origin(arguments[0]) is tuple:
    if isinstance(value, Mapping):
      value = tuple(value.items())
    width, rate = typing.get_args(arguments[0])
    try:
      pairs = [(_number(key, w), r) for w, r in value]
    except (TypeError, ValueError):
      raise ValueError(
        f"{key} must read like {{16: 0.003, 32: 0.002}}, got {value!r}"
      ) from None
    return tuple(
      sorted((_coerce(key, w, width), _coerce(key, r, rate)) for w, r in pairs)
    )
  if origin is tuple:
    if isinstance(value, (list, tuple)):
      return tuple(_coerce(key, v, arguments[0]) for v in value)
    raise ValueError(f"{key} must be a list such as [1,2,3], got {value!r}")
  if kind is float and type(value) is int and abs(value) < 2**1023:
    value = float(value)
  if type(value) is not kind:
    raise ValueError(
      f"{key} must be {_KIND_NAMES.get(kind, kind.__name__)}, got {value!r}"
    )
  if kind is float and not abs(value) < float("inf"):
    raise ValueError(f"{key} must be a finite number, got {value}")
  return value


def _number(key: str, value: Any) -> Any:
  """JSON object keys are texts; a width read from one is a number again."""
  return int(value) if isinstance(value, str) else value


_KIND_NAMES = types.MappingProxyType(
  {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
  }
)


def _is_increasing(values: tuple[int, ...]) -> bool:
  return bool(values) and all(a < b for a, b in itertools.pairwise(values))


def _require_choice(key: str, value: str, choices: tuple[str, ...]):
  if value not in choices:
    raise ValueError(
      f"{key} must be one of {', '.join(choices)}, got {value!r}"
    )
