import logging
from dataclasses import replace

import pytest
import torch
from flat_calls import train
from hypothesis import given, settings
from hypothesis import strategies as st
from ranges import SPAN

from zoo import registry
from zoo.__main__ import main
from zoo.errors import ConfigError
from zoo.features import write_wav
from zoo.features.frontend import FeatureSettings, measure_loudness
from zoo.losses.distillation import LoudnessMatching, OutputAudio, Reconstruction, bind_losses
from zoo.losses.loudness_matching import Limits
from zoo.models.creating import create
from zoo.training import DistillConfig

FRAMES, HOP, RATE = 500, 64, 16000
LIMITS = Limits(260.0, 1750.0, -60.0, -33.0)
RATES = {"sample_rate": RATE, "hop": HOP}


def a_batch(indices=(10, 11, 12)):
    return {"f0_hz": torch.full((len(indices), FRAMES), 300.0), "index": torch.tensor(indices)}


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = create("gru-S", hidden_size=8, reverb_length=100)
    made.set_range(SPAN)
    return made


def bound(model, **options):
    loss = LoudnessMatching(**options)
    loss.bind(model, None)
    return loss


def test_it_is_a_registered_component():
    assert registry.losses.get("loudness_matching") is LoudnessMatching


@settings(deadline=None, max_examples=50)
@given(share=st.floats(0.01, 1.0), slope_db=st.floats(0.0, 80.0), step=st.integers(0, 10**6))
def test_notes_lie_within_the_range(share, slope_db, step):
    played = LoudnessMatching(share=share, slope_db=slope_db).sample_inputs(a_batch(), LIMITS, step=step, **RATES)
    length = max(1, round(share * FRAMES))
    assert played["f0_hz"].shape == played["loudness_db"].shape == (3, length)
    assert played["noise"].shape == (3, length * HOP)
    voiced = played["f0_hz"] > 0
    vibrato = 2 ** (40 / 1200) * 1.0001
    assert played["f0_hz"][voiced].ge(LIMITS.low_hz / vibrato).all()
    assert played["f0_hz"][voiced].le(LIMITS.high_hz * vibrato).all()
    assert played["loudness_db"].ge(-80.001).all()
    assert played["loudness_db"].le(LIMITS.loud_db + 1e-3).all()


def test_some_notes_begin_before_their_pitch_and_some_have_none():
    loss, lengths = LoudnessMatching(share=1.0), []
    for step in range(20):
        played = loss.sample_inputs(a_batch(range(10)), LIMITS, step=step, **RATES)
        for f0_hz, loudness_db in zip(played["f0_hz"], played["loudness_db"], strict=True):
            breath = (f0_hz == 0) & (loudness_db >= LIMITS.soft_db)
            ends = torch.diff(breath.int(), prepend=torch.zeros(1, dtype=torch.int)).nonzero().flatten().tolist()
            lengths += [(end - begin) * HOP / RATE for begin, end in zip(ends[::2], ends[1::2], strict=False)]
    late = [seconds for seconds in lengths if seconds < 0.13]
    assert len(late) > 300  # several begin late in each 20 s
    assert max(lengths) > 1.0
    assert 0.1 < sum(lengths) / (20 * 10 * FRAMES * HOP / RATE) < 0.3


def test_notes_are_the_steps_and_the_segments_own():
    loss = LoudnessMatching()
    first, again = (loss.sample_inputs(a_batch(), LIMITS, step=3, **RATES) for _ in range(2))
    other = loss.sample_inputs(a_batch(), LIMITS, step=4, **RATES)
    fewer = loss.sample_inputs(a_batch((11,)), LIMITS, step=3, **RATES)
    for name in ("f0_hz", "loudness_db", "noise"):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
        assert torch.equal(first[name][1:2], fewer[name])
    assert not torch.equal(first["f0_hz"][0], first["f0_hz"][1])


@pytest.fixture
def value_of(model):
    """What the loss says of a model that plays a sine of the loudness that it is asked for, or some dB off."""
    model.config = model.config.with_changes(features=FeatureSettings().to_dict())
    made = model(torch.full((1, 2), 300.0), torch.full((1, 2), -40.0))

    def value(loss, gain_db, *, noise_db=(-80.0, -80.0)):
        def sine(f0_hz, loudness_db, noise):
            voiced = f0_hz > 0
            f0_hz = torch.where(voiced, f0_hz, 700.0)  # a sound where no pitch is given
            hz, level = (curve.repeat_interleave(HOP, dim=1) for curve in (f0_hz.double(), loudness_db.double()))
            phase = 2 * torch.pi * (hz / RATE).cumsum(dim=1)
            flat = measure_loudness(
                phase.sin().float(), sample_rate=RATE, hop=HOP, settings=FeatureSettings()
            ).repeat_interleave(HOP, dim=1)  # what the A curve makes of the tone at amplitude 1
            audio = (phase.sin() * 10 ** ((level - flat + gain_db) / 20)).float()
            beside = torch.where(voiced, *noise_db).repeat_interleave(HOP, dim=1)
            return replace(made, audio=audio, harmonic=audio, noise=audio * 10 ** (beside / 20))

        model.forward = sine
        loss.bind(model, None)
        loss.advance(7)
        return float(loss(None, None, a_batch()))

    return value


def test_value_is_how_far_a_tone_is_from_the_loudness_that_is_asked_for(value_of):
    for gain_db in (0.0, -6.0):
        assert value_of(LoudnessMatching(), gain_db) == pytest.approx(-gain_db, abs=1.0)


@pytest.mark.parametrize(("noise_db", "clear_db", "more"), [(-20.0, 15.0, 0.0), (-10.0, 15.0, 5.0), (-10.0, 5.0, 0.0)])
def test_noise_that_is_too_loud_beside_a_note_counts_and_breath_without_a_pitch_does_not(
    value_of, noise_db, clear_db, more
):
    loss = LoudnessMatching(clear_db=clear_db)
    silent = value_of(loss, 0.0, noise_db=(-80.0, -80.0))
    assert value_of(loss, 0.0, noise_db=(noise_db, -80.0)) == pytest.approx(silent + more, abs=0.5)
    assert value_of(loss, 0.0, noise_db=(-80.0, noise_db)) == pytest.approx(silent, abs=0.5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loudness_keeps_its_digits_under_autocast(dtype):
    time = torch.arange(RATE) / RATE
    sounds = torch.stack([10.0 ** (level / 20) * torch.sin(2 * torch.pi * 440 * time) for level in (-70, -40, 0)])
    sounds.requires_grad_()
    asked = {**RATES, "settings": FeatureSettings()}
    with torch.autocast("cpu", dtype=dtype):
        found = measure_loudness(sounds, **asked)
    assert torch.equal(found, measure_loudness(sounds, **asked))


def test_training_by_it_alone_makes_a_model_as_loud_as_it_is_asked(model):
    # so small a network learns breath late where its notes are to be clear
    loss = bound(model, share=0.2, clear_db=-80.0)
    kept = {"sample_rate": RATE, "hop": HOP, "settings": model.feature_settings()}

    @torch.no_grad()
    def away():  # of all notes, and of breath that is held
        asked = torch.full((1, 200), LIMITS.loud_db - 8)
        breath = measure_loudness(model(torch.zeros(1, 200), asked).audio, **kept) - asked
        return float(loss.eval()(None, None, a_batch())), float(breath[:, 20:-20].mean().abs())

    before = away()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    loss.train()
    for step in range(60):
        loss.advance(step)
        optimizer.zero_grad()
        loss(None, None, a_batch()).backward()
        optimizer.step()
    after = away()
    assert min(before) > 10
    assert after[0] < before[0] / 3
    assert after[1] < before[1] / 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "share"),
        ({"share": 1.5}, "share"),
        ({"slope_db": -1.0}, "slope_db"),
        ({"slope_db": "x"}, "slope_db"),
        ({"clear_db": True}, "clear_db"),
    ],
)
def test_option_out_of_range_is_refused(options, message):
    with pytest.raises(ConfigError, match=f"{message} of loudness_matching"):
        LoudnessMatching(**options)


def test_loss_without_a_model_is_refused():
    with pytest.raises(ConfigError, match="must be bound"):
        LoudnessMatching()(None, None, a_batch())


def test_share_of_which_nothing_can_be_measured_is_refused(model):
    loss = LoudnessMatching(share=0.01)
    loss.bind(model, None)
    with pytest.raises(ConfigError, match=r"share = 0\.01 the notes of a row have \d+ frames.*Take a larger share"):
        loss(None, None, a_batch())


def test_model_without_a_range_plays_within_the_batch():
    loss = bound(create("gru-S", hidden_size=8, reverb_length=100))
    batch = a_batch() | {"loudness_db": torch.full((3, FRAMES), -30.0)}
    assert loss(None, None, batch).item() > 0
    assert loss(None, None, batch | {"f0_hz": torch.zeros(3, FRAMES)}).item() == 0


def test_it_needs_no_teacher_and_its_baseline_keeps_it(model):
    bind_losses([LoudnessMatching()], model, None)
    config = DistillConfig(
        teacher="x", student="y", dataset="z", losses=[Reconstruction(), OutputAudio(), LoudnessMatching()]
    )
    assert [loss.label for loss in config.baseline().losses] == ["reconstruction", "loudness_matching"]


def test_shipped_file_trains_with_it(small_tones, tmp_path):
    command = ["--gin", "train/gru-S.gin", "--gin", "losses/loudness-matching.gin"]
    for setting in (
        f"DATASET='{small_tones.path}'",
        "STEPS=2",
        "BATCH_SIZE=4",
        "train.model_options={'hidden_size': 8, 'reverb_length': 200}",
        "train.evaluate=False",
    ):
        command += ["--set", setting]
    assert main(["train", *command, "--out", str(tmp_path / "run")]) == 0
    first = (tmp_path / "run" / "history.csv").read_text().splitlines()[0]
    assert "reconstruction,loudness_matching" in first


def test_training_on_notes_that_fall_names_the_file_and_on_others_does_not(small_tones, tmp_path, caplog):
    seconds = torch.arange(6 * RATE) / RATE
    for number, hz in enumerate((220.0, 330.0)):
        struck = 0.9 * torch.exp(-3.0 * (seconds % 1.5)) * torch.sin(2 * torch.pi * hz * seconds)
        write_wav(tmp_path / "in" / f"{number}.wav", struck, sample_rate=RATE)
    assert (
        main(["prepare", str(tmp_path / "in"), str(tmp_path / "data"), "--pitch", "yin", "--instrument", "piano"]) == 0
    )
    small = {"model": "gru-S", "model_options": {"hidden_size": 8, "reverb_length": 200}}
    shared = {"steps": 1, "batch_size": 2, "evaluate": False, "progress": False}
    with caplog.at_level(logging.INFO, logger="zoo"):
        for name, dataset, losses, named in (
            ("falling", tmp_path / "data", None, True),
            ("matched", tmp_path / "data", [Reconstruction(), LoudnessMatching()], False),
            ("held", small_tones.path, None, False),
        ):
            caplog.clear()
            train(**small, **shared, dataset=dataset, losses=losses, out=tmp_path / name)
            assert ("losses/loudness-matching.gin" in caplog.text) == named
