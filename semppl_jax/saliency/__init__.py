"""Saliency masks: detectors, a mask network, stores of masks for `data.masks`.

A program, `python -m semppl_jax.saliency`; rooms below do not import it.
"""
