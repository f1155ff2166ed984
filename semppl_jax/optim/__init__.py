"""Optimizers and schedules of learning rate and target decay.

The train step and all smaller trainings may call it; it imports config alone.
"""
