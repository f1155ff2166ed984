"""Labels for a folder of images: which to label, and predictions for the rest.

Called by the commands `select` and `predict`, and by `semppl_jax.load`.
"""
