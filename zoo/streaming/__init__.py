"""Playing block by block: `Player`; a model as one graph of named states, `StreamingModel`; instrument files."""

from zoo.streaming.instrument import instrument_file
from zoo.streaming.player import Player
from zoo.streaming.streaming_model import StreamingModel

__all__ = ["Player", "StreamingModel", "instrument_file"]
