import pytest
import torch
from flat_calls import distill, train

from zoo import resolve
from zoo.cards import card_text
from zoo.errors import ConfigError, ModelNotFoundError
from zoo.hub.client import HubClient
from zoo.hub.publishing import prepare_publication
from zoo.models.creating import create
from zoo.storage import checkpoint
from zoo.storage.checkpoint import weights_hash
from zoo.storage.config import read_config
from zoo.storage.lineage import attributions
from zoo.training import DistillConfig, OptimizerConfig
from zoo.training import distill as distill_config
from zoo.training import train as train_config

SMALL = {"hidden_size": 8, "reverb_length": 200}


@pytest.fixture(scope="module")
def flute(tmp_path_factory, small_tones):
    """A saved model of another instrument, made from recordings by somebody."""
    folder = tmp_path_factory.mktemp("models") / "flute"
    torch.manual_seed(7)
    model = create("gru-S", instrument="flute", features=small_tones.features.to_dict(), **SMALL)
    model.config = model.config.with_changes(lineage={"dataset": {"name": "f", "attribution": ["A flutist, CC BY"]}})
    checkpoint.save(model, folder)
    return folder


def begin(small_tones, out, start, **options):
    return train(
        model="gru-S",
        model_options=SMALL,
        dataset=small_tones.path,
        out=out,
        init_from=str(start),
        batch_size=4,
        evaluate=False,
        progress=False,
        **options,
    )


def test_training_begins_with_the_network_of_a_model_of_another_instrument(small_tones, flute, tmp_path):
    done = begin(small_tones, tmp_path / "run", flute, steps=1, learning_rate=1e-9)
    model, other = resolve.load(done.folder), resolve.load(flute)
    assert model.name == "gru-S-tones"
    torch.testing.assert_close(dict(model.decoder.state_dict()), dict(other.decoder.state_dict()), rtol=0, atol=1e-7)
    # the room of the other recordings is not taken over
    assert not torch.allclose(model.synth.reverb.noise, other.synth.reverb.noise, atol=0.1)


def test_lineage_and_card_name_what_it_began_with_and_its_authors(small_tones, flute, tmp_path):
    done = begin(small_tones, tmp_path / "run", flute, steps=1)
    config = read_config(done.folder)
    start = config.lineage["start"]
    assert (start["name"], start["path"]) == ("gru-S-flute", str(flute.resolve()))
    assert start["weights"] == checkpoint.weights_hash(resolve.load(flute))
    assert "A flutist, CC BY" in attributions(config)
    card = card_text(done.folder)
    assert "began with the network of gru-S-flute" in card
    assert "A flutist, CC BY" in card
    published = prepare_publication(done.folder, repo_id="me/gru-S-tones", client=HubClient())
    assert "path" not in published.config.lineage["start"]


def test_resumed_run_goes_on_where_it_was_and_not_from_the_start(small_tones, flute, tmp_path):
    whole = begin(small_tones, tmp_path / "whole", flute, steps=4)
    begin(small_tones, tmp_path / "run", flute, steps=2)
    done = begin(small_tones, tmp_path / "run", flute, steps=4, resume=True)
    assert (done.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


def test_student_may_begin_with_a_trained_model(small_tones, flute, teacher_folder, tmp_path):
    done = distill(
        teacher=str(teacher_folder),
        student="gru-S",
        student_options=SMALL,
        init_from=str(flute),
        dataset=small_tones.path,
        out=tmp_path / "run",
        steps=1,
        learning_rate=1e-9,
        batch_size=4,
        evaluate=False,
        progress=False,
    )
    model, other = resolve.load(done.folder), resolve.load(flute)
    torch.testing.assert_close(dict(model.decoder.state_dict()), dict(other.decoder.state_dict()), rtol=0, atol=1e-7)
    # the room of the other recordings is not taken over
    assert not torch.allclose(model.synth.reverb.noise, other.synth.reverb.noise, atol=0.1)
    assert set(read_config(done.folder).lineage) >= {"teacher", "start"}


def test_synth_and_dropout_may_be_others(small_tones, teacher_folder, tmp_path):
    options = {"input_size": 8, "channels": 8, "output_size": 8, "blocks": 2, "reverb_length": 100, "dropout": 0.0}
    common = {"dataset": small_tones.path, "steps": 1, "batch_size": 4, "evaluate": False, "progress": False}
    done = train(model="tcn-S", model_options=options, out=tmp_path / "run", init_from=str(teacher_folder), **common)
    assert resolve.load(done.folder).synth.reverb.noise.numel() == 100


def test_other_networks_are_refused_before_anything_is_written(small_tones, flute, tmp_path):
    with pytest.raises(ConfigError, match="built otherwise"):
        train(model="gru-S", dataset=small_tones.path, out=tmp_path / "run", init_from=str(flute), steps=1)
    with pytest.raises(ModelNotFoundError):
        begin(small_tones, tmp_path / "run", "gru-S-nobody", steps=1)
    assert not (tmp_path / "run").exists()


def distil_with_reverb(small_tones, teacher, out, *, student="gru-S", steps=1, learning_rate=1e-9, **options):
    return distill(
        teacher=str(teacher),
        student=student,
        reverb_from=str(teacher),
        dataset=small_tones.path,
        out=out,
        steps=steps,
        learning_rate=learning_rate,
        batch_size=4,
        evaluate=False,
        progress=False,
        **options,
    )


@pytest.mark.parametrize(
    ("student", "options", "taps"), [("gru-S", {"hidden_size": 8}, 50), ("ddx7-1stack2", {"channels": 8}, 900)]
)
def test_student_begins_with_the_teachers_reverb_as_far_as_it_reaches(
    small_tones, teacher_folder, tmp_path, student, options, taps
):
    its = resolve.load(teacher_folder).synth.reverb
    done = distil_with_reverb(
        small_tones,
        teacher_folder,
        tmp_path / "run",
        student=student,
        student_options={**options, "reverb_length": taps},
    )
    own = resolve.load(done.folder).synth.reverb
    both = min(taps, len(its.noise))
    assert both < max(taps, len(its.noise))
    torch.testing.assert_close(own.impulse()[:both], its.impulse()[:both], rtol=0, atol=1e-6)


def test_resumed_run_does_not_begin_with_the_teachers_reverb_again(small_tones, teacher_folder, tmp_path):
    options = {"student_options": {"hidden_size": 8, "reverb_length": 50}, "learning_rate": 1e-3}
    whole = distil_with_reverb(small_tones, teacher_folder, tmp_path / "whole", steps=4, **options)
    distil_with_reverb(small_tones, teacher_folder, tmp_path / "run", steps=2, **options)
    done = distil_with_reverb(small_tones, teacher_folder, tmp_path / "run", steps=4, resume=True, **options)
    assert (done.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


def test_student_without_a_reverb_is_refused_before_anything_is_written(small_tones, teacher_folder, tmp_path):
    with pytest.raises(ConfigError, match="the synth of gru-S-tones has none"):
        distil_with_reverb(small_tones, teacher_folder, tmp_path / "run", student_options={"reverb_length": 0})
    assert not (tmp_path / "run").exists()


def test_baseline_has_the_teachers_reverb_too_and_keeps_it_at_rate_0(small_tones, teacher_folder, tmp_path):
    config = DistillConfig(
        teacher=str(teacher_folder),
        reverb_from=str(teacher_folder),
        student="gru-S",
        student_options={"hidden_size": 8, "reverb_length": 50},
        dataset=small_tones.path,
        steps=2,
        batch_size=4,
        evaluate=False,
        optimizer=OptimizerConfig(synth_learning_rate=0.0),
    )
    its = resolve.load(teacher_folder).synth.reverb
    distill_config(config, out=tmp_path / "distilled", progress=False)
    train_config(config.baseline(), out=tmp_path / "baseline", progress=False)
    for run in ("distilled", "baseline"):
        reverb = resolve.load(tmp_path / run).synth.reverb
        torch.testing.assert_close(reverb.noise, its.noise[:50], rtol=0, atol=0)
    assert "reverb" not in read_config(tmp_path / "distilled").lineage  # it is the teacher's
    assert read_config(tmp_path / "baseline").lineage["reverb"]["weights"] == weights_hash(resolve.load(teacher_folder))


def test_resumed_with_another_rate_of_the_synth_says_so(small_tones, tmp_path):
    options = {"model": "gru-S", "model_options": {"hidden_size": 8}, "dataset": small_tones.path, "evaluate": False}
    options |= {"batch_size": 4, "out": tmp_path / "run", "progress": False}
    train(**options, synth_learning_rate=0.0, steps=1)
    with pytest.raises(ConfigError, match=r"synth_learning_rate was 0\.0 and is now None"):
        train(**options, steps=2, resume=True)


def test_some_minutes_of_the_recordings(small_tones, teacher_folder, tmp_path, caplog):
    whole = small_tones.split("train")
    each = whole.frames / len(whole) * small_tones.hop / small_tones.sample_rate / 60
    options = {"student": "gru-S", "student_options": {"hidden_size": 8}, "dataset": small_tones.path, "steps": 3}
    options |= {"batch_size": 4, "teacher": str(teacher_folder), "evaluate": False, "progress": False}
    with caplog.at_level("INFO"):
        distill(**options, minutes=2 * each, out=tmp_path / "run")
    assert "2 segments" in caplog.text
    assert read_config(tmp_path / "run").lineage["training"]["minutes"] == pytest.approx(2 * each, abs=0.02)
    with pytest.raises(ConfigError, match="the training split of"):
        distill(**options, minutes=1e3, out=tmp_path / "more")
    assert not (tmp_path / "more").exists() or not list((tmp_path / "more").iterdir())


def test_drawn_segments_are_the_seeds_own(small_tones):
    whole = small_tones.split("train")
    indices = {seed: [int(item["index"]) for item in whole.drawn(whole.frames // 2, seed=seed)] for seed in range(4)}
    assert indices[1] == [int(item["index"]) for item in whole.drawn(whole.frames // 2, seed=1)]
    assert len({tuple(found) for found in indices.values()}) > 1
    assert all(set(found) <= {int(item["index"]) for item in whole} for found in indices.values())
    assert len(whole.drawn(1, seed=0)) == 1
    assert len(whole.drawn(whole.frames, seed=0)) == len(whole)


def test_runs_with_several_seeds_may_see_the_same_minutes(small_tones, tmp_path):
    whole = small_tones.split("train")
    each = whole.frames / len(whole) * small_tones.hop / small_tones.sample_rate / 60
    options = {"model": "gru-S", "model_options": {"hidden_size": 8}, "dataset": small_tones.path, "steps": 1}
    options |= {"batch_size": 4, "evaluate": False, "progress": False, "minutes": each}

    def heard(name, **drawn):
        train(**options, **drawn, out=tmp_path / name)
        config = read_config(tmp_path / name)
        return config.range, config.lineage["training"].get("minutes_seed")

    ranges, drawn_by = zip(*(heard(f"same-{seed}", seed=seed, minutes_seed=0) for seed in range(3)), strict=True)
    assert len(set(ranges)) == 1
    assert drawn_by == (0, 0, 0)
    others, drawn_by = zip(*(heard(f"other-{seed}", seed=seed) for seed in range(3)), strict=True)
    assert len(set(others)) > 1
    assert others[0] == ranges[0]
    assert drawn_by == (None, None, None)
