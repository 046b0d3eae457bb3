import pytest

from emergence.config import Config, override


@pytest.mark.parametrize(
  ("assignment", "read", "value"),
  [
    ("train.steps=500", lambda c: c.train.steps, 500),
    ("train.learning_rate=1", lambda c: c.train.learning_rate, 1.0),
    ("train.learning_rate=1e-4", lambda c: c.train.learning_rate, 1e-4),
    ("task.packed=false", lambda c: c.task.packed, False),
    ("task.packed=True", lambda c: c.task.packed, True),
    ("task.name=null", lambda c: c.task.name, "null"),
    ("grid.depths=[1,2,3]", lambda c: c.grid.depths, (1, 2, 3)),
    ("grid.depths=(5,)", lambda c: c.grid.depths, (5,)),
    ("root_seed = 7", lambda c: c.root_seed, 7),
  ],
)
def test_an_override_is_typed_by_its_field(assignment, read, value):
  found = read(override(Config(), [assignment]))
  assert found == value
  assert type(found) is type(value)


@pytest.mark.parametrize(
  ("assignment", "message"),
  [
    ("train.stepz=500", "did you mean train.steps"),
    ("steps=500", "did you mean train.steps"),
    ("nonsense=1", "unknown config key 'nonsense'"),
    ("train=1", "unknown config key 'train'"),
    ("train.steps", "reads KEY=VALUE"),
    ("train.steps=many", "train.steps must be a whole number, got 'many'"),
    ("train.steps=1.5", "train.steps must be a whole number"),
    ("train.steps=True", "train.steps must be a whole number"),
    ("train.steps=0", "train.steps must be at least 1"),
    ("train.learning_rate=1e999", "must be a finite number"),
    ("train.learning_rate=None", "must be a number"),
    ("train.warmup_fraction=1.0", r"must be in \[0, 1\)"),
    ("train.learning_rate_by_width=3", "must read like"),
    ("train.learning_rate_by_width={16:-1.0}", "rates above 0"),
    ("train.compute_dtype=float8", "one of float32, bfloat16"),
    ("train.matmul_precision=low", "one of default, high, highest"),
    ("task.packed=1", "true or false"),
    ("task.test_lengths=[20,10]", "increasing"),
    ("task.test_lengths=[]", "increasing"),
    ("task.test_lengths=20", "a list such as"),
    ("task.max_train_length=0", "at least task.min_train_length"),
    ("grid.widths=[16,16]", "increasing"),
    ("model.rotary_fraction=2.0", "between 0 and 1"),
    ("seeds.design=latin", "one of paired"),
    ("seeds.num_data=4", "0 unless seeds.design=crossed"),
    ("eval.num_points=9999", "at most train.steps"),
    ("root_seed=-1", "root_seed must be in"),
  ],
)
def test_a_bad_override_names_the_key_and_what_was_expected(
  assignment, message
):
  with pytest.raises(ValueError, match=message):
    override(Config(), [assignment])


def test_overrides_are_validated_together():
  # Neither of the two is valid alone.
  config = override(
    Config(), ["task.min_train_length=40", "task.max_train_length=50"]
  )
  assert (config.task.min_train_length, config.task.max_train_length) == (
    40,
    50,
  )
