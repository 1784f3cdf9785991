"""`train` and `distill` with the settings of all groups as plain keyword arguments."""

from zoo import training

_DESTINATION = ("out", "name", "resume", "force", "progress", "records")


def _split(arguments):
    to = {name: arguments.pop(name) for name in _DESTINATION if name in arguments}
    if isinstance(texts := to.get("records"), dict):
        to["records"] = lambda config: texts
    return arguments, to


def train(**arguments):
    settings, to = _split(arguments)
    return training.train(training.TrainConfig.from_flat(**settings), **to)


def distill(**arguments):
    settings, to = _split(arguments)
    return training.distill(training.DistillConfig.from_flat(**settings), **to)
