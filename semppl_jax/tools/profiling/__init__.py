"""Times of the train step and the input pipeline, for `tools.bench*`."""
