"""A corpus to a Parquet dataset of vectors: in shards, resumable, on all cores or on a cluster."""
