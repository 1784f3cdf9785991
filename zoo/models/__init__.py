"""Models: what they are built from, what they render, and what their names mean."""

from zoo.storage.config import ComponentConfig as ComponentConfig
from zoo.storage.config import ModelConfig as ModelConfig
from zoo.storage.model_range import ModelRange as ModelRange
