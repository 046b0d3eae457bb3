import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from emergence.config import TaskConfig
from emergence.tasks import make_task, reverse_addition

CONFIG = TaskConfig(
  name="reverse_addition",
  min_train_length=1,
  max_train_length=4,
  test_lengths=(4, 7),
  vocab_size=9,
  context_length=64,
)


def check(task, tokens_L, is_answer_L, length):
  """Parses one example in plain Python; returns its operands and hints."""
  symbols = task.render(tokens_L).split()
  assert len(symbols) == length
  plus, equals = symbols.index("+"), symbols.index("=")
  left, right = symbols[1:plus], symbols[plus + 1 : equals]
  hints = left[::2]
  assert right[::2] == hints
  first = int(hints[0][1:])
  assert hints == [f"i{first + i}" for i in range(len(hints))]
  assert first + len(hints) <= CONFIG.vocab_size
  assert symbols[0] == "S"
  assert left[1] == right[1] == "0"
  assert symbols[equals + 1 :] == task.solve(symbols[: equals + 1])
  assert is_answer_L.tolist()[:length] == [False] * (equals + 1) + [True] * (
    length - equals - 1
  )
  operands = "".join(left[1::2]), "".join(right[1::2])
  # The answer read backwards is the sum, worked out by Python.
  answer = symbols[equals + 1 : -1]
  assert int("".join(answer[1::2][::-1])) == sum(map(int, operands))
  assert answer[0::2] == hints[::-1]
  return (*map(int, operands), len(hints) - 1, first)


def test_the_example_of_the_paper():
  task = make_task(CONFIG)
  prompt = "S i0 0 i1 0 i2 8 i3 8 + i0 0 i1 8 i2 4 i3 2 =".split()
  answer = "i3 0 i2 3 i1 9 i0 0 E".split()
  assert task.solve(prompt) == answer
  columns = [8, 8, 0, 0], [2, 4, 8, 0], [0, 3, 9, 0]
  write = jax.jit(reverse_addition._write)
  written = write(*map(jnp.array, columns), 3, 0)
  assert task.render(written.tokens_L).split() == prompt + answer


def test_carries_pass_over_columns_of_nine():
  # A quarter of the columns add up to 9: 5 + 4 or 9 + 0.
  rng = np.random.default_rng(0)
  digits = rng.choice([0, 4, 5, 9], (2000, 2, 8))
  digits[:3] = [[[9] * 8, [1] + [0] * 7], [[4] * 8, [5] * 8], [[9] * 8] * 2]
  digits = np.pad(digits, ((0, 0), (0, 0), (0, 1)))
  key = jax.random.key(0)
  write = lambda pair: reverse_addition._write_sum(pair, 8, key, 9)
  tokens = np.asarray(jax.jit(jax.vmap(write))(jnp.array(digits)).tokens_L)
  answers = tokens[:, 2 * 19 + 2 : -1 : 2]
  powers = 10 ** np.arange(9)
  assert ((answers @ powers) == digits.sum(axis=1) @ powers).all()


def samples(task):
  """4,000 examples, parsed; see `check`."""
  keys = jax.random.split(jax.random.key(0), 4000)
  batch = jax.tree.map(np.asarray, jax.jit(jax.vmap(task.sample))(keys))
  return [check(task, *row) for row in zip(*batch)]


def test_thousands_of_samples_agree_with_the_solver():
  seen = samples(make_task(CONFIG))
  digits = [max(len(str(a)), len(str(b))) for a, b, _, _ in seen]
  assert digits == [n for _, _, n, _ in seen]
  assert set(digits) == {1, 2, 3, 4}
  # Every hint token is trained, although 4 digits use only 5 of the 9.
  assert {first for *_, n, first in seen if n == 4} == set(range(5))
  assert any(len(str(a)) < len(str(b)) for a, b, _, _ in seen)
  assert any(len(str(a)) > len(str(b)) for a, b, _, _ in seen)


def test_evaluation_has_exactly_the_length_asked_for():
  task = make_task(CONFIG, items=64)
  items = jax.tree.map(np.asarray, task.evaluation(7))
  seen = [check(task, *row) for row in zip(*items)]
  assert len(set(seen)) > 50
  assert {n for _, _, n, _ in seen} == {7}
  with jax.default_prng_impl("rbg"):  # No environment changes the items.
    again = task.evaluation(7)
  assert np.array_equal(again.tokens_L, items.tokens_L)


def test_operands_drawn_alike_have_independent_lengths_and_leading_zeros():
  config = dataclasses.replace(
    CONFIG, independent_operands=True, test_lengths=(3,)
  )
  task = make_task(config, items=2000)
  seen = samples(task)
  # The larger of two uniform lengths of 1 to 4.
  lengths = np.bincount([n for _, _, n, _ in seen])[1:]
  expected = 4000 * np.array([1, 3, 5, 7]) / 16
  assert stats.chisquare(lengths, expected).pvalue > 1e-3
  # A number of so many uniform digits, averaged over the lengths.
  mean = np.mean([(10.0**n - 1) / 2 for n in (1, 2, 3, 4)])
  for operand in (0, 1):
    values = np.array([row[operand] for row in seen])
    assert abs(values.mean() - mean) < 4 * values.std() / np.sqrt(4000)
  items = jax.tree.map(np.asarray, task.evaluation(3))
  tested = [check(task, *row) for row in zip(*items)]
  assert {n for _, _, n, _ in tested} == {3}
  # Both below 100 in one of a hundred.
  both = sum(a < 100 and b < 100 for a, b, _, _ in tested)
  assert stats.binomtest(both, 2000, 0.01).pvalue > 1e-3
