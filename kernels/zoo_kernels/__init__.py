"""zoo_kernels."""
