import pathlib

from emergence import statistics
from emergence.statistics.options import CONFIDENCE, DEFAULT_THRESHOLD, Options

README = pathlib.Path(statistics.__path__[0]) / "README.md"


def test_the_defaults_are_those_of_the_definitions():
  text = " ".join(README.read_text(encoding="utf-8").split())
  options = Options()
  assert options.num_resamples == options.num_permutations
  for phrase in (
    f"Bootstraps and permutations are {options.num_resamples} (",
    f"t is {DEFAULT_THRESHOLD:g} unless",
    f"Intervals are of {CONFIDENCE:.0%}".replace("95%", "95 %"),
    f"`modality_p_adjusted` ≤ {options.alpha:g}",
  ):
    assert phrase in text
