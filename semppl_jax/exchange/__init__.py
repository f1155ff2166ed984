"""Weights from and to other formats, for commands, training and protocols.

Import of a PyTorch file: `detect`, `torch_reader`, `torch_import`,
`torch_mapping`. Export: `export`, the `to_*` module of the format, `metadata`.
"""
