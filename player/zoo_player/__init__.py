"""Plays instrument files: small neural audio synthesizers in real time, without a machine learning framework.

```python
import zoo_player

violin = zoo_player.Instrument("gru-S-violin.zoo")
audio = violin.process(f0_hz=[440.0] * 250, loudness_db=[-20.0] * 250)  # [250 * violin.hop], float32
```

`python -m zoo_player gru-S-violin.zoo features.csv out.wav` does the same from the command line; `zoo_player.Live` is
an instrument that follows a sound. The work is done by a small C library (`csrc/zoo_player.h`), which can be used
without Python.
"""

from zoo_player.instrument import Description, Instrument, describe
from zoo_player.library import PlayerError
from zoo_player.live import Live, LiveState, live_features, live_features_latency
from zoo_player.program import Phases, Program, Register

__all__ = [
    "Description",
    "Instrument",
    "Live",
    "LiveState",
    "Phases",
    "PlayerError",
    "Program",
    "Register",
    "describe",
    "live_features",
    "live_features_latency",
]
