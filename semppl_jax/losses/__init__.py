"""Pure float32 losses on embeddings, for networks, methods and evaluators."""
