"""Only of StableHLO; the rest is in `test_graph_formats`."""

from jax import export


def test_it_is_for_every_platform(written):
  *_, path = written('stablehlo')
  found = export.deserialize(bytearray(path.read_bytes()))
  assert found.platforms == ('cpu', 'cuda', 'tpu')
  # Neither on a TPU nor on a GPU may float32 be rounded to fewer bits.
  assert 'HIGHEST' in found.mlir_module()
  assert 'DEFAULT' not in found.mlir_module()
