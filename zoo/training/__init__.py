"""Training, distilling and evaluating: what a run does, and the folder it writes.

Nothing is imported here, so that `zoo.training.evaluation` costs no import of lightning.
"""
