"""FM synthesis with the patches of a DX7 for zoo, which finds it by the entry points in pyproject.toml."""

from zoo_ddx7.patches import PATCHES, Patch

__all__ = ["PATCHES", "Patch"]
