"""PyTorch's files against `torch.save` in both formats, and damaged ones."""

import collections
import io
import os
import struct
import zipfile

import numpy as np
import pytest
import torch

from semppl_jax.exchange import torch_reader, unpickle
from semppl_jax.models.weights import WeightsError

FORMATS = pytest.mark.parametrize('new', [True, False], ids=['zip', 'legacy'])


def _save(path, value, new=True):
  torch.save(value, path, _use_new_zipfile_serialization=new)
  return path


def _refusal(path):
  with pytest.raises(WeightsError) as caught:
    torch_reader.read(path)
  message = str(caught.value)
  assert str(path) in message and '\n' not in message
  return message


@FORMATS
@pytest.mark.parametrize(
  'dtype',
  ('float32', 'float16', 'float64', 'int64', 'int32', 'int16', 'uint8', 'bool'),
)
def test_types(tmp_path, new, dtype):
  tensor = (torch.arange(6).reshape(2, 3) - 2).to(getattr(torch, dtype))
  found = torch_reader.read(_save(tmp_path / 'x.pt', {'x': tensor}, new))
  np.testing.assert_array_equal(found['x'], tensor.numpy(), strict=True)


@FORMATS
def test_bfloat16_becomes_float32(tmp_path, new):
  tensor = torch.linspace(-3, 3, 7).bfloat16()
  found = torch_reader.read(_save(tmp_path / 'x.pt', [tensor], new))[0]
  np.testing.assert_array_equal(found, tensor.float().numpy(), strict=True)


@FORMATS
def test_views_of_one_storage(tmp_path, new):
  base = torch.arange(24.0)
  tensors = {
    'whole': base,
    'turned': base.reshape(4, 6).T,
    'part': base[5:11],
    'steps': base.reshape(2, 3, 4)[:, 1:, ::2],
    'again': base,
    'empty': base[:0].reshape(0, 3),
    'scalar': torch.tensor(3),
  }
  found = torch_reader.read(_save(tmp_path / 'x.pt', tensors, new))
  assert found.keys() == tensors.keys()
  for name, tensor in tensors.items():
    np.testing.assert_array_equal(found[name], tensor.numpy(), strict=True)


@FORMATS
def test_a_training_checkpoint(tmp_path, new):
  """As PAWS writes it: networks, optimizer, counters."""
  network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
  optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
  network(torch.ones(4, 3)).sum().backward()
  optimizer.step()
  saved = {
    'encoder': network.state_dict(),
    'parameter': torch.nn.Parameter(torch.ones(2)),
    'opt': optimizer.state_dict(),
    'epoch': 7,
    'shape': torch.Size([2, 3]),
    'nested': collections.OrderedDict(a=[None, 'b']),
  }
  found = torch_reader.read(_save(tmp_path / 'x.pth.tar', saved, new))
  assert found['epoch'] == 7 and found['shape'] == (2, 3)
  assert found['nested'] == {'a': [None, 'b']}
  np.testing.assert_array_equal(found['parameter'], np.ones(2, np.float32))
  for name, tensor in network.state_dict().items():
    np.testing.assert_array_equal(found['encoder'][name], tensor.numpy())


class _Hostile:
  def __init__(self, marker):
    self.marker = marker

  def __reduce__(self):
    return os.mkdir, (str(self.marker),)


@FORMATS
def test_runs_nothing(tmp_path, new):
  marker = tmp_path / 'ran'
  path = _save(tmp_path / 'x.pt', {'x': _Hostile(marker)}, new)
  assert 'mkdir' in _refusal(path)
  assert not marker.exists()
  torch.load(path, weights_only=False)
  assert marker.exists()


def test_a_whole_module_is_refused(tmp_path):
  path = _save(tmp_path / 'x.pt', torch.nn.Linear(2, 2))
  assert 'torch.nn.modules.linear.Linear' in _refusal(path)


@FORMATS
def test_damage_is_one_sentence(tmp_path, new):
  whole = _save(tmp_path / 'x.pt', {'x': torch.arange(5.0)}, new).read_bytes()
  path = tmp_path / 'part.pt'
  for length in range(0, len(whole) - 1, 13):
    path.write_bytes(whole[:length])
    _refusal(path)


def _rezipped(path, **entries):
  """The same archive with some entries replaced."""
  made = io.BytesIO()
  with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, 'w') as new:
    for entry in old.infolist():
      name = entry.filename.split('/', 1)[1]
      data = entries.get(name.replace('/', '_').replace('.', '_'))
      new.writestr(entry.filename, old.read(entry) if data is None else data)
  path.write_bytes(made.getvalue())
  return path


def test_other_byte_order(tmp_path):
  path = _save(tmp_path / 'x.pt', [torch.arange(4.0)])
  turned = np.arange(4.0).astype('>f4').tobytes()
  _rezipped(path, byteorder=b'big', data_0=turned)
  np.testing.assert_array_equal(torch_reader.read(path)[0], np.arange(4.0))


def test_storage_of_another_size(tmp_path):
  path = _save(tmp_path / 'x.pt', [torch.arange(4.0)])
  _rezipped(path, data_0=b'1234')
  assert 'claims 4 values where 4 bytes are there' in _refusal(path)


def test_compressed_storage(tmp_path):
  """A few bytes that unpack to any size."""
  path = _save(tmp_path / 'x.pt', [torch.zeros(4)])
  made = io.BytesIO()
  with (
    zipfile.ZipFile(path) as old,
    zipfile.ZipFile(made, 'w', zipfile.ZIP_DEFLATED) as new,
  ):
    for entry in old.infolist():
      new.writestr(entry.filename, old.read(entry))
  path.write_bytes(made.getvalue())
  assert 'larger than the file' in _refusal(path)


@pytest.mark.parametrize(
  ('size', 'stride'),
  [((10**5, 10**5), (0, 0)), ((5,), (1,)), ((2,), (4,)), ((2, 2), (1,))],
)
def test_tensor_beyond_its_storage(tmp_path, size, stride):
  class Tensor:
    def __reduce__(self):
      storage = torch.arange(4.0).untyped_storage()
      typed = torch.storage.TypedStorage(
        wrap_storage=storage, dtype=torch.float32, _internal=True
      )
      arguments = (typed, 0, size, stride, False, collections.OrderedDict())
      return torch._utils._rebuild_tensor_v2, arguments

  _refusal(_save(tmp_path / 'x.pt', [Tensor()]))


def test_offset_beyond_its_storage(tmp_path):
  path = _save(tmp_path / 'x.pt', [torch.arange(9.0)[4:6]])
  with zipfile.ZipFile(path) as archive:
    program = archive.read('x/data.pkl')
  assert program.count(b'K\x04K\x02') == 1
  _rezipped(path, data_pkl=program.replace(b'K\x04K\x02', b'K\x08K\x02'))
  assert 'storage of 9 values' in _refusal(path)


def test_legacy_storage_that_claims_more(tmp_path):
  path = _save(tmp_path / 'x.pt', [torch.arange(4.0)], new=False)
  data = path.read_bytes()
  at = len(data) - 16 - 8
  assert data[at : at + 8] == struct.pack('<q', 4)
  path.write_bytes(data[:at] + struct.pack('<q', 10 * 2**28) + data[at + 8 :])
  assert 'claims 10737418240 bytes where 16 are left' in _refusal(path)


def test_another_zip_archive(tmp_path):
  path = tmp_path / 'x.zip'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('a.txt', 'text')
  assert 'not a PyTorch file' in _refusal(path)


def test_safetensors(tmp_path):
  import safetensors.torch

  path = tmp_path / 'x.safetensors'
  tensors = {
    'half': torch.arange(3).half(),
    'brain': torch.arange(4).reshape(2, 2).bfloat16(),
    'count': torch.tensor(3),
  }
  safetensors.torch.save_file(tensors, path, {'format': 'pt'})
  found, metadata = torch_reader.read_safetensors(path)
  assert metadata == {'format': 'pt'}
  for name, tensor in tensors.items():
    want = tensor.float() if name == 'brain' else tensor
    np.testing.assert_array_equal(found[name], want.numpy(), strict=True)


def test_damaged_safetensors(tmp_path):
  path = tmp_path / 'x.safetensors'
  path.write_bytes((40).to_bytes(8, 'little') + b'{"a":{"dtype":"F32"')
  with pytest.raises(WeightsError, match='damaged'):
    torch_reader.read_safetensors(path)


def test_missing_storage(tmp_path):
  path = _save(tmp_path / 'x.pt', [torch.arange(4.0)])
  made = io.BytesIO()
  with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, 'w') as new:
    for entry in old.infolist():
      if not entry.filename.endswith('data/0'):
        new.writestr(entry.filename, old.read(entry))
  path.write_bytes(made.getvalue())
  assert 'storage data/0 not found' in _refusal(path)


@pytest.mark.parametrize('size', [3, 'text', None, (1,) * 33], ids=str)
def test_tensor_of_no_shape(size):
  storage = torch_reader._Storage(np.zeros(4, np.float32))
  for given in ((size, (1,) * 33), ((1,), size)):
    with pytest.raises(unpickle.RefusedError, match='without a shape'):
      torch_reader._tensor(storage, 0, *given)
