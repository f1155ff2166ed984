"""Sampling, crops and augmentation inside the jitted step; pure JAX.

For `semppl_jax.training` and other rooms that run a step.
"""
