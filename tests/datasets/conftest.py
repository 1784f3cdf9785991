import pytest
from made_recordings import Notes

from zoo.datasets import Preparation
from zoo.features import FeatureSettings


@pytest.fixture
def notes():
    return Notes


@pytest.fixture
def yin():
    return Preparation(features=FeatureSettings(tracker="yin"))
