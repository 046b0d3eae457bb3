import jax.numpy as jnp
import pytest

from emergence.config import TaskConfig
from emergence.tasks import make_task
from emergence.tasks.errors import KINDS

CONFIGS = {
  "count": TaskConfig(test_lengths=(10,), vocab_size=12),
  "copy": TaskConfig(name="copy", vocab_size=20),
  "reverse_addition": TaskConfig(
    name="reverse_addition",
    max_train_length=3,
    test_lengths=(3,),
    vocab_size=6,
  ),
}
SUM = "S i1 0 i2 7 + i1 0 i2 5 = i2 2 i1 1 E"


@pytest.mark.parametrize(
  ("task", "example", "place", "predicted", "kind"),
  [
    ("count", "$ 5 7 > 5 6 7 .", 6, ".", "stops_early"),
    ("count", "$ 5 7 > 5 6 7 .", 7, "7", "runs_on"),
    ("count", "$ 5 7 > 5 6 7 .", 5, "5", "repeats"),
    ("count", "$ 5 7 > 5 6 7 .", 5, "7", "skips"),
    # What comes before the answer is nothing to repeat.
    ("count", "$ 5 7 > 5 6 7 .", 4, ">", "other_error"),
    ("count", "$ 5 7 > 5 6 7 .", 6, "9", "other_error"),
    ("count", "$ 5 7 > 5 6 7 .", 5, None, "other_error"),
    ("copy", "$ 4 1 7 > 4 1 7 .", 6, "4", "repeats"),
    ("reverse_addition", SUM, 14, "0", "wrong_carry"),
    ("reverse_addition", SUM.replace("i2 2", "i2 0"), 12, "9", "wrong_carry"),
    ("reverse_addition", SUM, 12, "4", "other_error"),
    # The next digit, which is no skip; it is off by one.
    ("reverse_addition", SUM, 12, "1", "wrong_carry"),
    ("reverse_addition", SUM, 11, "i1", "skips"),
    ("reverse_addition", SUM, 13, "i2", "repeats"),
    ("reverse_addition", SUM, 13, "i0", "other_error"),
    ("reverse_addition", SUM, 13, "E", "stops_early"),
    ("reverse_addition", SUM, 15, "i0", "runs_on"),
    ("reverse_addition", SUM, 12, None, "other_error"),
  ],
)
def test_the_first_wrong_token_tells_the_kind(
  task, example, place, predicted, kind
):
  task = make_task(CONFIGS[task])
  symbols = example.split()
  prompt_end = max(symbols.index(s) for s in (">", "=") if s in symbols)
  tokens_L = jnp.array([task.symbols.index(s) for s in symbols])
  is_answer_L = jnp.arange(len(symbols)) > prompt_end
  found = -1 if predicted is None else task.symbols.index(predicted)
  index = task.error_kind(tokens_L, is_answer_L, jnp.array(place), found)
  assert KINDS[index] == kind
