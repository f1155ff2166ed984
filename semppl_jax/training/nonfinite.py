"""What happens when a loss or a gradient is not finite.

The step itself drops such an update and every later one, so the state that
the host finds, some steps on, is still the one before the offending step.
Batches are a function of the step: the offending one is read again.
"""

from typing import Any

from etils import epath
import jax
import numpy as np
import orbax.checkpoint as ocp

from semppl_jax.data import batch as batch_lib
from semppl_jax.runtime import mesh as mesh_lib
from semppl_jax.runtime.errors import NonFiniteError
from semppl_jax.training.experiment import Experiment
from semppl_jax.training.train_iterator import Feed
from semppl_jax.training.train_step import TrainState


def stop(
  experiment: Experiment,
  feed: Feed,
  state: TrainState,
  compiled,
  workdir: epath.Path,
) -> None:
  """Saves the state and batch of the offending step and raises.

  Args:
    experiment: the run.
    feed: what feeds it.
    state: its state, still that before the offending step.
    compiled: the train step.
    workdir: the run's directory; the replay goes below `nonfinite/`.

  Raises:
    NonFiniteError: always; says the step, the parts and the directory.
  """
  step = int(state.step)
  directory = (workdir / 'nonfinite' / f'step_{step + 1}').resolve()
  given = feed.at(step)
  # Where the devices cut the views: as the step has cut them.
  views = jax.jit(
    experiment.step.views, out_shardings=mesh_lib.sharded(experiment.mesh)
  )
  arrays: dict[str, Any] = {
    name: mesh_lib.local_rows(x)
    for name, x in batch_lib.to_arrays(views(given, state)).items()
  }
  directory.mkdir(parents=True, exist_ok=True)
  file = directory / f'batch_{jax.process_index()}.npz'
  with file.open('wb') as stream:
    np.savez_compressed(stream, **arrays)
  with ocp.StandardCheckpointer() as saver:
    saver.save(directory / 'state', state, force=True)
  _, metrics = compiled(state, given)
  # Others are NaN where a batch has nothing to measure, or, of rows, not whole
  # in any process.
  values = jax.device_get(
    {k: v for k, v in metrics.items() if k.startswith(('loss/', 'norm/'))}
  )
  parts = [
    name for name, value in values.items() if not np.isfinite(value)
  ] or ['the batch-norm averages']
  raise NonFiniteError(
    f'Step {step + 1} is not finite in {", ".join(sorted(parts))}. Its batch'
    f' and state are in {directory}, earlier checkpoints are unharmed; lower'
    ' optimizer.learning_rate, set network.precision to float32, or set'
    " on_nonfinite='skip' to drop such updates."
  )
