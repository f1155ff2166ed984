"""Config files: loading with overrides, constraints on fields, durations.

Imports `runtime` alone. Every room above may import it.
"""
