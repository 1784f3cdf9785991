"""Measures the kernels against their textbook versions: `python -m zoo_kernels.bench`.

`problems` holds what is computed, `measuring` how it is timed and checked, `memory` the peak memory of a call in a
process of its own, `tables` how results are shown; `__main__` is the command.
"""
