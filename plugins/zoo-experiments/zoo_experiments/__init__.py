"""Experiments with zoo: grids of pairs (`grid`), and a distilled student beside its baseline (`comparison`).

`zoo grid` and `zoo compare` are their commands. Nothing is imported here, so that these answer `--help` at once.
"""
