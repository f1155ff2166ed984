"""Readers of image data: folders, TFRecords, TFDS and arrays, for room `data`.

To add one: a module here that returns ids, labels, class names and a source
(`FileSource`, `RecordSource`, `ArraySource`); its loader in `dataset.LOADERS`.
"""
