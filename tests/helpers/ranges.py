"""The range of a small model, for tests that move pitch and loudness into one."""

from zoo.storage.model_range import ModelRange, Quantiles

SPAN = ModelRange(
    Quantiles((250.0, 260.0, 270.0, 440.0, 650.0, 1300.0, 1700.0, 1750.0, 1800.0)),
    Quantiles((-75.0, -60.0, -55.0, -48.0, -42.0, -38.0, -35.0, -33.0, -30.0)),
    lowest_f0_hz=260.0,
)
