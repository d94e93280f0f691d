"""Episodes -> transitions -> batches: storage in shards, sampling over all of them."""
