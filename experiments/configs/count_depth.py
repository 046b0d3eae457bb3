"""Count over depth at the scale of the paper, arXiv 2502.17356.

  python -m experiments.sweep --config=count_depth --workdir=DIR

As `count_width`, over depth. Read in a primary source: a figure of the paper
speaks of depths 2 and 3. Recollected: that depth was swept. Not found, so ours:
the width, and how many depths. (The recorded launch had width 512 and 6 layers;
`--override=grid.widths=[512]` takes that width.)

Hardware and time: accelerators, see experiments/accelerators.md.

Expected, from the paper: as for `count_width`, with depth in the place of
width. It has not been run to the end by us.
"""

import dataclasses

from emergence.config import GridConfig
from experiments.configs.count_width import config as count_width

config = dataclasses.replace(
  count_width, grid=GridConfig(widths=(256,), depths=(1, 2, 3, 4, 5, 6))
)
