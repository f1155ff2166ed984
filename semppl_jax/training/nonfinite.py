"""Stop of a run whose loss or gradient is not finite.

The step itself drops such an update and every later one, so the state that the
host finds, some steps later, is still the one before the non-finite step.
Inputs are a function of the step: the input of that step is read again.
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
from semppl_jax.training.train_iterator import TrainInput
from semppl_jax.training.train_step import TrainState


def stop(
  experiment: Experiment,
  source: TrainInput,
  state: TrainState,
  compiled: jax.stages.Compiled,
  workdir: epath.Path,
) -> None:
  """Saves the state and batch of the non-finite step and raises.

  Args:
    experiment: run.
    source: source of its inputs.
    state: its state, still the one before the non-finite step.
    compiled: train step.
    workdir: directory of the run; the replay goes below `nonfinite/`.

  Raises:
    NonFiniteError: always; names the step, the parts and the directory.
  """
  step = int(state.step)
  directory = (workdir / 'nonfinite' / f'step_{step + 1}').resolve()
  inputs = source.at(step)
  # Where the devices crop the views: as the step cropped them.
  views = jax.jit(
    experiment.step.views, out_shardings=mesh_lib.sharded(experiment.mesh)
  )
  arrays: dict[str, Any] = {
    name: mesh_lib.local_rows(x)
    for name, x in batch_lib.to_arrays(views(inputs, state)).items()
  }
  directory.mkdir(parents=True, exist_ok=True)
  file = directory / f'batch_{jax.process_index()}.npz'
  with file.open('wb') as stream:
    np.savez_compressed(stream, **arrays)
  with ocp.StandardCheckpointer() as saver:
    saver.save(directory / 'state', state, force=True)
  _, metrics = compiled(state, inputs)
  # Others are NaN where a batch has nothing to measure; values per example are
  # not whole in any process.
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
