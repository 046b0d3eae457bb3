"""Addition over depth at the scale of the paper, arXiv 2502.17356.

  python -m experiments.sweep --config=addition_depth --workdir=DIR

Like `addition_width`, but over the depths of `count_depth` and at the width of
`count_depth`. What is uncertain in these two configs is uncertain here.

Hardware and time: accelerators, see experiments/accelerators.md.

Expected, from the paper: as for `addition_width`, with depth in the place of
width. It has not been run to the end by us.
"""

import dataclasses

from experiments.configs.addition_width import config as addition_width
from experiments.configs.count_depth import config as count_depth

config = dataclasses.replace(addition_width, grid=count_depth.grid)
