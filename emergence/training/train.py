"""Training of one seed: a pure initializer and a pure step."""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emergence.config import Config, TrainConfig
from emergence.tasks import Example, Task, sample_contexts
from emergence.training import model
from emergence.training.model import Architecture, Params

Array = jax.Array

KEY_TYPE = "threefry2x32"

# Folded into the keys of a seed. Every result depends on these numbers: add
# streams, but never renumber them.
_INIT_STREAM, _DATA_STREAM = 0, 1


# Folded into the key of `train_distribution`. It is no seed's number, because
# seeds are below 2^31.
_NO_SEED = np.uint32(2**32 - 1)


class TrainState(NamedTuple):
  """What is needed to continue training one seed.

  Attributes:
    step: training steps done, int32 [].
    params: the model's parameters.
    opt_state: the optimizer's state.
    data_key: key of the seed's data; step t draws from fold_in(data_key, t).
  """

  step: Array
  params: Params
  opt_state: optax.OptState
  data_key: Array


def seed_keys(
  root_seed: int, init_seed: Array | int, data_seed: Array | int
) -> tuple[Array, Array]:
  """Derives the key of an initialization and the key of a data stream.

  Args:
    root_seed: seed of the whole experiment.
    init_seed: which initialization, int32 [].
    data_seed: which data stream, int32 [].

  Returns:
    Two typed threefry keys.
  """
  root = jax.random.key(root_seed, impl=KEY_TYPE)
  init_key = jax.random.fold_in(root, init_seed)
  data_key = jax.random.fold_in(root, data_seed)
  return (
    jax.random.fold_in(init_key, _INIT_STREAM),
    jax.random.fold_in(data_key, _DATA_STREAM),
  )


def make_optimizer(
  config: TrainConfig, width: int
) -> optax.GradientTransformation:
  """Builds AdamW (0.9, 0.999, 1e-8) with clipping of the global gradient norm.

  The learning rate warms up linearly over `warmup_fraction` of the steps to the
  peak of this width, and falls to zero along a cosine. Weight decay (Loshchilov
  & Hutter 2019, arXiv 1711.05101) applies to matrices only, or to all
  parameters with `decay_all`.
  """
  peak = config.learning_rate_at(width)
  # optax refuses a warm-up that leaves no step to decay in.
  warmup = min(round(config.warmup_fraction * config.steps), config.steps - 1)
  schedule = optax.schedules.warmup_cosine_decay_schedule(
    init_value=0.0 if warmup else peak,
    peak_value=peak,
    warmup_steps=warmup,
    decay_steps=config.steps,
  )
  is_matrix = lambda params: jax.tree.map(lambda p: p.ndim >= 2, params)
  return optax.chain(
    optax.clip_by_global_norm(config.grad_clip),
    optax.adamw(
      schedule,
      weight_decay=config.weight_decay,
      mask=None if config.decay_all else is_matrix,
    ),
  )


def answer_loss(params: Params, arch: Architecture, batch: Example) -> Array:
  """Mean cross-entropy, in nats, over the answer tokens of a batch.

  Args:
    params: the model's parameters.
    arch: the architecture.
    batch: a batch of contexts; its `tokens_L` has the shape [B, L].

  Returns:
    float32 []; 0 for a batch without answer tokens.
  """
  # The last token goes in too, although nothing follows it: products and
  # reductions of 64 rows are faster than those of 63.
  logits_BLV = model.apply(params, arch, batch.tokens_L)
  target_BL = jnp.roll(batch.tokens_L, -1, axis=1)
  weight_BL = jnp.roll(batch.is_answer_L.at[:, 0].set(False), -1, axis=1)
  weight_BL = weight_BL.astype(jnp.float32)
  # A comparison instead of an index, whose gradient would be a scatter.
  is_target_BLV = jax.nn.one_hot(target_BL, arch.vocab_size, dtype=bool)
  target_logit_BL = jnp.sum(jnp.where(is_target_BLV, logits_BLV, 0.0), axis=-1)
  losses_BL = jax.nn.logsumexp(logits_BLV, axis=-1) - target_logit_BL
  return jnp.sum(losses_BL * weight_BL) / jnp.maximum(weight_BL.sum(), 1.0)


def make_sampler(
  config: Config, task: Task
) -> Callable[[Array, Array], Example]:
  """Builds the function that draws the batch of a step.

  Args:
    config: the experiment.
    task: its task.

  Returns:
    sample(data_key, step) -> `Example` batch with tokens_BL.
  """

  def sample(data_key: Array, step: Array) -> Example:
    return sample_contexts(
      task,
      jax.random.fold_in(data_key, step),
      config.train.batch_size,
      config.task.context_length,
      config.task.packed,
    )

  return sample


def train_distribution(config: Config, task: Task) -> Example | None:
  """Draws test items from the training distribution, one per context.

  They depend on `root_seed` only and are the same for all seeds.

  Args:
    config: the experiment.
    task: its task.

  Returns:
    An `Example` batch of size `eval.train_distribution_items`; None if it is 0.
  """
  num = config.eval.train_distribution_items
  if not num:
    return None
  root = jax.random.key(config.root_seed, impl=KEY_TYPE)
  keys = jax.random.split(jax.random.fold_in(root, _NO_SEED), num)
  return jax.jit(jax.vmap(task.sample))(keys)


def make_train(
  config: Config, arch: Architecture
) -> tuple[
  Callable[[Array, Array], TrainState],
  Callable[[TrainState, Example], tuple[TrainState, Array]],
]:
  """Builds the two pure functions that train one seed.

  Args:
    config: the experiment.
    arch: the architecture of the cell.

  Returns:
    init_state(init_key, data_key) -> TrainState, and
    train_step(state, batch) -> (state after one step, loss before it,
    float32 []).
  """
  optimizer = make_optimizer(config.train, arch.width)

  def init_state(init_key: Array, data_key: Array) -> TrainState:
    params = model.init(init_key, arch)
    return TrainState(jnp.int32(0), params, optimizer.init(params), data_key)

  def train_step(state: TrainState, batch: Example) -> tuple[TrainState, Array]:
    loss, grads = jax.value_and_grad(answer_loss)(state.params, arch, batch)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = cast(Params, optax.apply_updates(state.params, updates))
    return TrainState(state.step + 1, params, opt_state, state.data_key), loss

  return init_state, train_step
