"""The configuration of an experiment: typed and validated.

A `Config` has two parts. The *identity* (task, model, train, eval, seed design,
root seed) defines what is trained; its hash, with the axes of a cell, is in
every record. The *request* (the grid and the number of seeds) may grow in the
same work directory. `seeds.block` and `eval.headline_metric` may change too.

Keys at their defaults do not enter the hash, so a new key leaves old hashes as
they are. For that, the defaults of identity keys must never change.
"""

import ast
import contextlib
import dataclasses
import difflib
import functools
import hashlib
import itertools
import json
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

DESIGNS = ("paired", "fixed_init", "fixed_data", "crossed")
PRECISIONS = ("default", "high", "highest")
COMPUTE_DTYPES = ("float32", "bfloat16")
HEADLINE_METRICS = ("exact_match", "exact_match_without_end")


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
    vocab_size: how many number tokens the task has (2 for `parity`) or, for
      `reverse_addition`, index hints. Its other symbols are not counted.
    context_length: tokens of a training context.
    packed: if true, fill each context with examples one after another
      (attention is not reset between them); if false, with one padded example.
      An example that is cut off at the end of a context has no answer in the
      loss. Long examples are cut off more often, so they have a smaller share
      of the loss than of the draws.
    independent_operands: for `reverse_addition`: if true, both operands may
      have leading zeros; their lengths are independent and uniform in training,
      and equal to the test length in tests. If false, one operand has exactly
      the length of the example, without a leading zero.
  """

  _name = "task"
  name: str = "count"
  min_train_length: int = 1
  max_train_length: int = 10
  test_lengths: tuple[int, ...] = (10, 20)
  vocab_size: int = 30
  context_length: int = 64
  packed: bool = True
  independent_operands: bool = False

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
    parallel_residual: if true, attention and MLP read the same residual stream
      and are added together (GPT-NeoX); if false, attention is added before the
      MLP reads the stream (GPT-2).
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
    steps: training steps per seed.
    batch_size: contexts per step.
    learning_rate: peak rate at widths not in `learning_rate_by_width`.
    learning_rate_by_width: peak rate by width, as `{16: 0.003, 32: 0.002}`.
    warmup_fraction: share of the steps with a linear warm-up, in [0, 1).
    weight_decay: decoupled decay of matrices; biases and norms have none,
      unless `decay_all`.
    decay_all: apply weight decay to every parameter, as in the code of the
      paper's first author.
    grad_clip: largest global norm of a gradient; larger ones are scaled down.
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
  decay_all: bool = False
  grad_clip: float = 1.0
  matmul_precision: str = "highest"
  compute_dtype: str = "float32"

  def _validate(self):
    self._require(self.steps >= 1, "steps", "at least 1")
    self._require(self.batch_size >= 1, "batch_size", "at least 1")
    self._require(self.learning_rate > 0, "learning_rate", "above 0")
    self._require(
      all(rate > 0 for _, rate in self.learning_rate_by_width)
      and len(dict(self.learning_rate_by_width))
      == len(self.learning_rate_by_width),
      "learning_rate_by_width",
      "one rate above 0 for each width",
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
  """When seeds are evaluated and on which items.

  Attributes:
    num_points: evaluations after the one at step 0, evenly spaced, the last
      one at the end of training.
    items: items per test length, for tasks that draw them; `count` uses all
      its items.
    train_distribution_items: items of a further test set,
      `train_distribution`, or 0 for no such set. Its items are drawn like
      training examples, but with `root_seed`, so that they are the same for all
      seeds. Each has a context of its own, so none is cut off.
    headline_metric: the score that an analysis shows first: `exact_match`, or
      `exact_match_without_end`, which leaves out the end symbol. Both are
      always recorded, so it may change in the same work directory.
  """

  _name = "eval"
  num_points: int = 10
  items: int = 256
  train_distribution_items: int = 0
  headline_metric: str = "exact_match"

  def _validate(self):
    self._require(self.num_points >= 1, "num_points", "at least 1")
    self._require(self.items >= 1, "items", "at least 1")
    self._require(
      self.train_distribution_items >= 0,
      "train_distribution_items",
      "at least 0",
    )
    _require_choice(
      "eval.headline_metric", self.headline_metric, HEADLINE_METRICS
    )


@dataclasses.dataclass(frozen=True)
class SeedsConfig(_Section):
  """Which seeds are trained and what differs between them.

  Attributes:
    design: `paired` varies initialization and data together, `fixed_init` and
      `fixed_data` hold one of them at seed 0, `crossed` trains every
      combination: seed = init_seed · num_data + data_seed.
    block: number of seeds that a device trains and saves together. It may
      change in the same work directory.
    count: number of seeds.
    first: the first seed index.
    num_init: number of initializations of a crossed design.
    num_data: number of data streams of a crossed design; part of the identity
      there, because the meaning of a seed index depends on it.
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
      f"in [1, {2**31 - self.first:,}]",
    )
    if self.design == "crossed":
      self._require(
        self.num_init >= 1, "num_init", "at least 1 if seeds.design=crossed"
      )
      self._require(
        self.num_data >= 1, "num_data", "at least 1 if seeds.design=crossed"
      )
      total = self.num_init * self.num_data
      self._require(self.first == 0, "first", "0 if seeds.design=crossed")
      self._require(
        self.count == total,
        "count",
        f"num_init · num_data = {total} if seeds.design=crossed",
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
    """Raises ValueError for a seed index that this design does not have."""
    crossed = self.design == "crossed"
    limit = self.num_init * self.num_data if crossed else 2**31
    for seed in seeds:
      if not 0 <= seed < limit:
        raise ValueError(f"--seeds: {seed} is not in 0..{limit - 1}")

  def init_and_data_seed(self, seed: int) -> tuple[int, int]:
    """The seeds of initialization and data of a seed index in this design."""
    match self.design:
      case "paired":
        return seed, seed
      case "fixed_init":
        return 0, seed
      case "fixed_data":
        return seed, 0
      case _:
        return divmod(seed, self.num_data)


# Values of a config key that is an axis.
AxisValue = int | float | bool | str
Axes = tuple[tuple[str, tuple[AxisValue, ...]], ...]


@dataclasses.dataclass(frozen=True)
class GridConfig(_Section):
  """The cells: every combination of the values of the axes.

  Attributes:
    widths: dimensions of the residual stream.
    depths: numbers of layers.
    axes: further axes, each a config key with its values, written
      `{"task.max_train_length": [5, 10]}`; see `axis_kinds` for the keys. The
      value of such a key elsewhere in the config must be valid and is not used.
  """

  _name = "grid"
  widths: tuple[int, ...] = (16,)
  depths: tuple[int, ...] = (1, 2, 4)
  axes: Axes = ()

  def _validate(self):
    for field in ("widths", "depths"):
      values = getattr(self, field)
      self._require(
        _is_increasing(values) and values[0] >= 1,
        field,
        "increasing sizes of at least 1",
      )

  @property
  def axis_names(self) -> tuple[str, ...]:
    """The names of all axes, `width` and `depth` first."""
    return ("width", "depth", *(name for name, _ in self.axes))


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
    if self.train.learning_rate_by_width and any(
      name == "train.learning_rate" for name, _ in self.grid.axes
    ):
      raise ValueError(
        "grid.axes: train.learning_rate cannot be an axis if"
        " train.learning_rate_by_width is set; leave one of them out"
      )

  @property
  def headline_length(self) -> int:
    """The test length that tables and figures show first: the last one."""
    return self.task.test_lengths[-1]

  @property
  def test_sets(self) -> dict[str, int | None]:
    """Test length by test set, in score order; None for train_distribution."""
    sets: dict[str, int | None] = {
      f"length-{length}": length for length in self.task.test_lengths
    }
    if self.eval.train_distribution_items:
      sets["train_distribution"] = None
    return sets

  @property
  def eval_steps(self) -> tuple[int, ...]:
    """Steps at which seeds are evaluated: 0, then `eval.num_points` more."""
    steps, points = self.train.steps, self.eval.num_points
    return tuple(steps * i // points for i in range(points + 1))


class Cell(NamedTuple):
  """One point of the grid. `str` gives its folder, `count/width-32/depth-4`.

  Attributes:
    task: name of the task.
    axes: name and value of each axis, in the order of `GridConfig.axis_names`.
  """

  task: str
  axes: tuple[tuple[str, AxisValue], ...]

  @property
  def width(self) -> int:
    return int(dict(self.axes)["width"])

  @property
  def depth(self) -> int:
    return int(dict(self.axes)["depth"])

  @property
  def columns(self) -> dict[str, AxisValue]:
    """Task and axes by column name: what identifies the cell in records."""
    return {"task": self.task, **dict(self.axes)}

  def __str__(self) -> str:
    parts = [f"{name}-{axis_text(value)}" for name, value in self.axes]
    return "/".join([self.task, *parts])

  @classmethod
  def parse(cls, text: str) -> "Cell":
    """Inverse of `str`; ValueError if the text is no cell."""
    task, *parts = text.strip().split("/")
    matches = [re.fullmatch(r"([a-z0-9_.]+)-(.+)", part) for part in parts]
    axes = [(m[1], _parse_axis(m[1], m[2])) for m in matches if m]
    names = [name for name, _ in axes]
    is_cell = (
      re.fullmatch(r"\w+", task)
      and all(matches)
      and names[:2] == ["width", "depth"]
      and len(set(names)) == len(names)
    )
    if not is_cell:
      raise ValueError(
        f"a cell is written as count/width-32/depth-4, got {text!r}"
      )
    return cls(task, tuple(axes))


def cells(config: Config) -> list[Cell]:
  """Every cell of the grid, smallest width first, then smallest depth."""
  grid = config.grid
  axes = [("width", grid.widths), ("depth", grid.depths), *grid.axes]
  names = [name for name, _ in axes]
  return [
    Cell(config.task.name, tuple(zip(names, values, strict=True)))
    for values in itertools.product(*(values for _, values in axes))
  ]


def cell_config(config: Config, cell: Cell) -> Config:
  """The config of one cell, with a one-cell grid and the cell's axis values.

  Raises:
    ValueError: the values do not fit together with the rest of the config.
  """
  sections: dict[str, dict[str, AxisValue]] = {}
  for name, value in cell.axes:
    if name not in ("width", "depth"):
      section, _, field = name.rpartition(".")
      sections.setdefault(section, {})[field] = value
  try:
    changes: dict[str, Any] = dict(sections.pop("", {}))
    for section, fields in sections.items():
      changes[section] = dataclasses.replace(getattr(config, section), **fields)
    grid = GridConfig((cell.width,), (cell.depth,))
    return dataclasses.replace(config, grid=grid, **changes)
  except ValueError as error:
    raise ValueError(f"{cell}: {error}") from error


@functools.cache
def axis_kinds() -> Mapping[str, type]:
  """Type of each config key that can be an axis.

  These are all single-valued keys of task, model, train and eval, and the root
  seed, but not `task.name` and `eval.headline_metric`.
  """
  sections = {
    section: typing.get_type_hints(kind)
    for section, kind in typing.get_type_hints(Config).items()
    if section in ("task", "model", "train", "eval")
  }
  found = {
    f"{section}.{field}": kind
    for section, fields in sections.items()
    for field, kind in fields.items()
    if kind in _KIND_NAMES and not field.startswith("_")
  }
  del found["task.name"], found["eval.headline_metric"]
  return types.MappingProxyType(found | {"root_seed": int})


def axes_of(columns: Iterable[str]) -> list[str]:
  """The columns that are axes of cells, in the order given."""
  names = {"width", "depth", *axis_kinds()}
  return [column for column in columns if column in names]


def axis_text(value: AxisValue) -> str:
  """The value of an axis as text: 32, 0.1, true, bfloat16."""
  return str(value).lower() if isinstance(value, bool) else str(value)


def _parse_axis(name: str, text: str) -> AxisValue:
  """Inverse of `axis_text`."""
  kinds = {"width": int, "depth": int, **axis_kinds()}
  if name not in kinds:
    raise ValueError(f"there is no axis {name!r}")
  kind = kinds[name]
  try:
    return {"true": True, "false": False}[text] if kind is bool else kind(text)
  except (KeyError, ValueError):
    raise ValueError(
      f"{name} of a cell must be {_KIND_NAMES[kind]}, got {text!r}"
    ) from None


def _coerce_axes(value: Any) -> Axes:
  """Validates `grid.axes` and converts the values to their keys' types."""
  if isinstance(value, Mapping):
    value = tuple(value.items())
  kinds, found = axis_kinds(), {}
  try:
    pairs = [(name, values) for name, values in value]
    if not all(isinstance(values, list | tuple) for _, values in pairs):
      raise ValueError
  except (TypeError, ValueError):
    raise ValueError(
      'grid.axes must read like {"task.max_train_length": [5, 10]}, got'
      f" {value!r}"
    ) from None
  for name, values in pairs:
    if name not in kinds:
      near = difflib.get_close_matches(str(name), kinds, n=3) or kinds
      raise ValueError(
        f"grid.axes: {name!r} cannot be an axis; did you mean"
        f" {' or '.join(near)}?"
      )
    kind = kinds[name]
    found[name] = tuple(_coerce(f"grid.axes: {name}", v, kind) for v in values)
    if kind is bool:
      found[name] = tuple(sorted(found[name]))
    is_ordered = kind is str or _is_increasing(found[name])
    if not values or not is_ordered or len({*values}) < len(values):
      raise ValueError(
        f"grid.axes: {name} must have"
        f" {'different' if kind is str else 'increasing'} values, got"
        f" {list(values)}"
      )
  if len(found) < len(pairs):
    raise ValueError(f"grid.axes names an axis twice: {value!r}")
  return tuple(found.items())


def _coerce(key: str, value: Any, kind: Any) -> Any:
  """Converts a value to a type; raises ValueError if that is not lossless."""
  if kind == Axes:
    return _coerce_axes(value)
  origin, arguments = typing.get_origin(kind), typing.get_args(kind)
  if origin is tuple and typing.get_origin(arguments[0]) is tuple:
    if isinstance(value, Mapping):
      value = tuple(value.items())
    width, rate = typing.get_args(arguments[0])
    try:
      pairs = [(_number(w), r) for w, r in value]
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


def _number(value: Any) -> Any:
  """Turns a width that JSON stored as an object key back into an int."""
  return int(value) if isinstance(value, str) else value


_KIND_NAMES = types.MappingProxyType(
  {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
  }
)


def _is_increasing(values: Sequence[Any]) -> bool:
  return bool(values) and all(a < b for a, b in itertools.pairwise(values))


def _require_choice(key: str, value: str, choices: tuple[str, ...]):
  if value not in choices:
    raise ValueError(
      f"{key} must be one of {', '.join(choices)}, got {value!r}"
    )


def to_dict(config: Config) -> dict[str, Any]:
  """The config as nested dicts, lists, numbers and strings."""
  plain = dataclasses.asdict(config)
  plain["train"]["learning_rate_by_width"] = {
    str(width): rate for width, rate in config.train.learning_rate_by_width
  }
  return json.loads(json.dumps(plain))


def from_dict(plain: Mapping[str, Any]) -> Config:
  """Inverse of `to_dict`; raises ValueError on unknown keys or bad values."""
  sections = {f.name: f.type for f in dataclasses.fields(Config)}
  arguments = {}
  for name, value in plain.items():
    if name not in sections:
      raise ValueError(unknown_key(name, sections))
    kind = sections[name]
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
      if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping of fields, got {value!r}")
      fields = [f.name for f in dataclasses.fields(kind)]
      for key in value:
        if key not in fields:
          raise ValueError(unknown_key(f"{name}.{key}", config_keys()))
      value = kind(**value)
    arguments[name] = value
  return Config(**arguments)


def config_keys() -> list[str]:
  """Every key that an override takes, such as `train.steps`."""
  keys = []
  for field in dataclasses.fields(Config):
    if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
      keys += [f"{field.name}.{f.name}" for f in dataclasses.fields(field.type)]
    else:
      keys.append(field.name)
  return keys


def unknown_key(key: str, known: Iterable[str]) -> str:
  """Error message for an unknown config key, with the nearest valid ones."""
  known = list(known)
  near = difflib.get_close_matches(key, known, n=3, cutoff=0.4)
  last = key.rsplit(".", 1)[-1]
  near = [k for k in known if k.rsplit(".", 1)[-1] == last] or near
  return (
    f"unknown config key {key!r}; did you mean {' or '.join(near or known)}?"
  )


def override(config: Config, assignments: Iterable[str]) -> Config:
  """Applies `KEY=VALUE` texts to a config and validates the result.

  All of them are applied before validation, so that settings which are valid
  only together can be given in any order.

  Args:
    config: the config to start from.
    assignments: texts such as `train.steps=500` or `grid.depths=[1,2,3]`.

  Raises:
    ValueError: an unknown key (the nearest valid ones are named) or a value
      that does not fit.
  """
  plain = to_dict(config)
  for text in assignments:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals:
      raise ValueError(f"an override reads KEY=VALUE, got {text!r}")
    if key not in config_keys():
      raise ValueError(unknown_key(key, config_keys()))
    *section, field = key.split(".")
    target = plain[section[0]] if section else plain
    target[field] = _literal(value.strip())
  return from_dict(plain)


def _literal(text: str) -> Any:
  if text.lower() in ("true", "false"):
    return text.lower() == "true"
  errors = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
  # Only JSON parses values such as {"task.packed": [true, false]}.
  for parse in (ast.literal_eval, *[json.loads] * text.startswith(("{", "["))):
    with contextlib.suppress(*errors):
      return parse(text)
  return text  # If that does not fit the key, its type check says so.


# Keys outside of the identity: analysis, request and block size, and what
# differs between cells.
_NOT_IDENTITY = (
  "eval.headline_metric",
  "seeds.count",
  "seeds.first",
  "seeds.num_init",
  "seeds.block",
  "grid.widths",
  "grid.depths",
  "train.learning_rate_by_width",
)


def identity(config: Config) -> dict[str, Any]:
  """The values of the keys that define what is trained.

  Keys that are axes appear by name only, under `grid.axes`. Learning rates by
  width are in `cell_hash`.
  """
  plain = to_dict(config)
  axes = [name for name, _ in config.grid.axes]
  left_out = {*_NOT_IDENTITY, *axes}
  if config.seeds.design != "crossed":
    left_out.add("seeds.num_data")
  found = {}
  for key in config_keys():
    if key not in left_out:
      *section, field = key.split(".")
      found[key] = (plain[section[0]] if section else plain)[field]
  found["grid.axes"] = axes
  return found


def identity_hash(config: Config) -> str:
  """Hash of the identity; the same for all cells."""
  return _hash(identity(config))


def cell_hash(config: Config, cell: Cell) -> str:
  """Hash of one cell: the identity of its config, its width and depth."""
  config = cell_config(config, cell)
  found = identity(config)
  found["train.learning_rate"] = config.train.learning_rate_at(cell.width)
  return _hash(found | {"width": cell.width, "depth": cell.depth})


def first_difference(a: Config, b: Config) -> tuple[str, Any, Any] | None:
  """The first identity key in which two configs differ.

  If all keys agree, the first width at which their learning rates differ.

  Returns:
    The key and both values; None if the experiments are the same.
  """
  of_a, of_b = identity(a), identity(b)
  # Axes first: they decide which other keys count.
  for key in ["grid.axes", *config_keys()]:
    if of_a.get(key) != of_b.get(key):
      return key, of_a.get(key), of_b.get(key)
  for width in sorted({*a.grid.widths} & {*b.grid.widths}):
    rates = [config.train.learning_rate_at(width) for config in (a, b)]
    if rates[0] != rates[1]:
      return f"the learning rate at width {width}", rates[0], rates[1]
  return None


def _hash(values: dict[str, Any]) -> str:
  defaults = identity(Config())
  changed = {
    key: value
    for key, value in values.items()
    if key not in defaults or value != defaults[key]
  }
  text = json.dumps(changed, sort_keys=True, separators=(",", ":"))
  return hashlib.sha256(text.encode()).hexdigest()[:16]
