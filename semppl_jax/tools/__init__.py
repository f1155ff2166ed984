"""Benchmarks and checks of configs; each module beside this is a command.

Of the package, only the commands of tools call these.
"""
