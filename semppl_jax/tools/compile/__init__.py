"""Compilation for absent TPUs, and its costs, for `tools.compile_check`."""
