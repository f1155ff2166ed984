"""The tf.data input pipeline: read, decode, crop and batch on the host.

Imports TensorFlow; `semppl_jax.data` imports it inside functions only.
"""
