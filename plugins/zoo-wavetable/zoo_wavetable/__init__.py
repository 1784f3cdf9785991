"""A synth of learned wavetables and its models for zoo, which finds them by the entry points in pyproject.toml."""
