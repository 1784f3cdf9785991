"""A decoder, a loss and a model for zoo, which finds them by the entry points in pyproject.toml."""
