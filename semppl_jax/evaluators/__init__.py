"""Evaluators: frozen features, classifiers on them, test sets and metrics.

The training loop, the protocols and the report call them.
"""
