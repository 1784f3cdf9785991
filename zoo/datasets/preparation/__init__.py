"""From recordings to a prepared dataset: what `zoo prepare` does."""
