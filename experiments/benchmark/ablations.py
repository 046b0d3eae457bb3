"""Our population without one of the things that make its step fast on a CPU.

What is in its place computes the same.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
from jax import lax

from emergence.population import compilation
from emergence.training import ops

_VMAP = (compilation, "is_vmapped", lambda kind: True)
_DRAW_EACH = (compilation, "STEPS_DRAWN", 1)
_DERIVED = {
  "products": (ops, "dot_general", lax.dot_general),
  "gelu": (ops, "gelu", lambda x: jax.nn.gelu(x, approximate=False)),
  # Its own forward pass, whose gradient JAX derives then.
  "attention": (ops, "causal_attention", ops.causal_attention.__wrapped__),
}

# By side, what is in the place of what: module, name there, replacement.
ABLATIONS: dict[str, tuple[tuple[Any, str, Any], ...]] = {
  "ours-vmap": (_VMAP,),
  "ours-draw-each": (_DRAW_EACH,),
  **{f"ours-derived-{name}": (part,) for name, part in _DERIVED.items()},
  "ours-plain": (_VMAP, _DRAW_EACH, *_DERIVED.values()),
}


@contextlib.contextmanager
def ablated(side: str) -> Iterator[None]:
  """What is compiled inside lacks what a side of `ABLATIONS` lacks."""
  with contextlib.ExitStack() as stack:
    for module, name, replacement in ABLATIONS[side]:
      stack.enter_context(mock.patch.object(module, name, replacement))
    yield
