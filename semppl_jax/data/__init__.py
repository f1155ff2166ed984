"""Data sets, label subsets, saliency masks and batches, for all rooms above."""
