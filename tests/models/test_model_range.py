"""The range in config.json: reading, writing, and what is refused."""

import json
from dataclasses import replace

import pytest

from zoo.errors import ConfigError
from zoo.models.architectures import config_of
from zoo.storage.config import ModelConfig
from zoo.storage.model_range import ModelRange, Quantiles

F0_HZ = Quantiles((90.0, 260.0, 261.6, 300.0, 440.0, 600.0, 800.0, 880.0, 1900.0))
LOUDNESS_DB = Quantiles((-75.0, -60.0, -55.0, -40.0, -35.5, -30.0, -25.0, -22.0, -20.0))
RANGE = ModelRange(F0_HZ, LOUDNESS_DB, lowest_f0_hz=260.0)


def read_with(**changes):
    content = json.loads(config_of("gru-S", instrument="flute").with_changes(range=RANGE).to_json())
    for key, value in changes.items():
        *path, last = key.split("__")
        place = content["range"]
        for step in path:
            place = place[step]
        place[last] = value
    return ModelConfig.from_json(json.dumps(content))


def test_quantiles_are_exact_where_they_are_kept_and_interpolated_between():
    assert [F0_HZ.at(p) for p in (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)] == list(F0_HZ.values)
    assert (F0_HZ.lowest, F0_HZ.median, F0_HZ.highest) == (90.0, 440.0, 1900.0)
    assert F0_HZ.at(0.85) == pytest.approx(700.0)


@pytest.mark.parametrize("probability", [-0.01, 1.01, float("nan")])
def test_quantiles_refuse_what_is_no_probability(probability):
    with pytest.raises(ValueError, match=r"in 0\.\.1"):
        F0_HZ.at(probability)


def test_harmonics_at_nyquist_of_the_lowest_pitch_do_not_count():
    assert RANGE.harmonics_under(8000.0) == 30
    assert ModelRange(F0_HZ, LOUDNESS_DB, lowest_f0_hz=250.0).harmonics_under(8000.0) == 31  # the 32nd is at Nyquist


def test_config_with_a_range_is_read_as_it_was_written():
    config = config_of("gru-S", instrument="flute").with_changes(range=RANGE)
    text = config.to_json()
    assert json.loads(text)["config_version"] == 3
    assert ModelConfig.from_json(text) == config
    assert ModelConfig.from_json(text).to_json() == text
    struck = config.with_changes(range=replace(RANGE, fall_db_per_second=20.5))
    assert ModelConfig.from_json(struck.to_json()) == struck


def test_config_without_a_range_is_written_for_older_versions_of_zoo_and_is_read():
    content = json.loads(config_of("gru-S").to_json())
    assert content["config_version"] == 1
    assert "range" not in content
    assert ModelConfig.from_json(json.dumps(content)).range is None
    assert ModelConfig.from_json(json.dumps({**content, "range": None})).range is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"f0_hz": 440.0}, r"range: f0_hz must be an object with 0\.01.*found 440"),
        ({"f0_hz": [1] * 9}, r"range: f0_hz must be an object"),
        ({"loudness_db__0.5": "-30"}, r'range: loudness_db: 0\.5 must be a finite number, found "-30"'),
        ({"loudness_db__0.5": True}, r"range: loudness_db: 0\.5 must be a finite number, found true"),
        ({"loudness_db__0.5": None}, r"range: loudness_db: 0\.5 must be a finite number, found null"),
        ({"loudness_db__0.5": 10**400}, r"the number 1000.* has 401 digits"),
        ({"loudness_db__0.5": -70}, r"range: loudness_db: quantiles never fall"),
        ({"f0_hz__lowest": 0}, r"range: f0_hz must be over 0 Hz, found 0"),
        ({"lowest_f0_hz": -1.0}, r"range: lowest_f0_hz must be over 0 Hz, found -1"),
        ({"lowest_f0_hz": {}}, r"range: lowest_f0_hz must be a finite number"),
        ({"lowest_f0_hx": 1.0}, r"range has unknown fields: lowest_f0_hx. Did you mean lowest_f0_hz\?"),
    ],
)
def test_damaged_range_is_refused_by_name(changes, message):
    with pytest.raises(ConfigError, match=message):
        read_with(**changes)


@pytest.mark.parametrize("value", [[], "wide", 3, False])
def test_range_of_another_type_is_refused(value):
    content = json.loads(config_of("gru-S").to_json())
    with pytest.raises(ConfigError, match="range must be an object with f0_hz, loudness_db, lowest_f0_hz"):
        ModelConfig.from_json(json.dumps({**content, "range": value}))


def test_range_that_lacks_a_quantile_is_refused():
    content = json.loads(config_of("gru-S").with_changes(range=RANGE).to_json())
    del content["range"]["f0_hz"]["highest"]
    with pytest.raises(ConfigError, match="range: f0_hz lacks highest"):
        ModelConfig.from_json(json.dumps(content))


@pytest.mark.parametrize("values", [(1.0,), (1.0,) * 8 + (0.5,), (1.0,) * 8 + (float("inf"),)])
def test_quantiles_refuse_values_that_are_none(values):
    with pytest.raises(ConfigError, match="Quantiles are"):
        Quantiles(values)
