"""The protocols of an evaluation, each a function of one network's features."""
