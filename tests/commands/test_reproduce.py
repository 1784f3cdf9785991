"""What `zoo reproduce` says before it trains."""

import logging

import pytest

import zoo
from zoo.commands.reproduce import _compare_beginning
from zoo.storage.checkpoint import weights_hash


def warnings(caplog):
    """Leave out lesser messages, which come or not by what was tested before."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("same", [True, False])
def test_other_weights_than_a_model_began_with_are_told(caplog, same):
    model = zoo.load("gru-S-flute")
    weights = weights_hash(model) if same else "0" * 64
    start = {"id": "gru-S-flute", "name": "gru-S-flute", "weights": weights}
    _compare_beginning(model.config.with_changes(lineage={"start": start, "reverb": start}))
    told = "gru-S-flute began with the weights 000000000000... of gru-S-flute, which has others by now"
    assert sum(message.startswith(told) for message in warnings(caplog)) == (0 if same else 1)


def test_a_beginning_that_is_not_here_is_no_error_before_the_training(caplog):
    config = zoo.load("gru-S-flute").config
    _compare_beginning(config.with_changes(lineage={"start": {"id": "runs/nowhere", "name": "x", "weights": "0" * 64}}))
    assert not warnings(caplog)


def test_a_beginning_in_half_precision_is_the_same_as_before_it_was_rounded(caplog):
    model = zoo.load("gru-S-flute")
    before = model.config.lineage["compacted"]["weights"]
    start = {"id": "gru-S-flute", "name": "gru-S-flute", "weights": before}
    assert _compare_beginning(model.config.with_changes(lineage={"start": start})) == {before: weights_hash(model)}
    assert not warnings(caplog)
