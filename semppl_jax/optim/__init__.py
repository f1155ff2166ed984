"""Optimizers, learning rate and target decay, for everything that trains."""
