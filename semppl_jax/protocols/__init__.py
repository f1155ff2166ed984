"""Protocols of an evaluation: k-NN, linear, fine-tuning, robustness, transfer.

`evaluate` calls `setup.build` and `runner.run`; the latter has the table.
"""
