"""What a model is on disk: config.json, weights, lineage, the local store; and files that are written whole."""
