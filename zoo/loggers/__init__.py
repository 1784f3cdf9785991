"""Where a training shows its losses and sounds beside history.csv: TensorBoard, Weights & Biases, MLflow, trackio."""

from zoo.loggers.base import LoggedRun as LoggedRun
from zoo.loggers.base import Logger as Logger
from zoo.loggers.base import client as client
