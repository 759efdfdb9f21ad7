"""Raw examples in tar files with an index, for data that do not fit on one disk or live in an object store."""
