"""Comparison of configs over seeds, for `tools.compare`."""
