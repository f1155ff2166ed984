"""Loss functions on embeddings: pure, in float32, unaware of devices.

Networks, methods and evaluators may call it; it imports no other room.
"""
