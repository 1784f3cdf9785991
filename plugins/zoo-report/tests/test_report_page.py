import io
import json
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import soundfile
from report_parsing import Page, bytes_of
from zoo_report import make_report


@pytest.fixture(scope="module")
def page(page_file):
    return Page(page_file)


def sample(folder, name):
    return soundfile.read(folder / "samples" / f"{name}.wav", dtype="int16")[0]


def test_every_sound_is_on_the_page_sample_for_sample(comparison, tmp_path):
    folder = comparison / "distilled-seed0"
    page = Page(make_report([str(folder)], out=tmp_path / "page").path)
    sounds = page.sounds()
    assert len(sounds) == 9
    for phrase in range(3):
        for place, role in enumerate(("recording", "teacher", "student")):
            samples, rate = sounds[f"p{phrase}-{place}"]
            assert rate == 16000
            assert np.array_equal(samples, sample(folder, f"phrase{phrase + 1}_{role}"))


def test_runs_on_one_recording_stand_in_one_phrase(page):
    keys = list(page.sounds())
    # recording, teacher, alone, distilled; then the shipped model's own phrase
    assert [sum(key.startswith(f"p{phrase}-") for key in keys) for phrase in range(3)] == [4, 4, 2]
    assert page.text.count("teacher tcn-S-tones taught distilled-seed0") == 2
    assert "No sound of this phrase: gru-M-tones." in page.text
    assert "1 further phrase of these runs is left out" in page.text


def test_page_says_what_runs_are_and_what_they_reached(page, comparison):
    metrics = json.loads((comparison / "distilled-seed0" / "metrics.json").read_text())
    for system in ("teacher", "baseline", "student", "noise_floor"):
        value = metrics[system]["multi_scale_spectral"]
        assert f"{value['mean']:.3g} ± {value['std']:.2g}" in page.text
    speed = metrics["student"]["real_time_factor"]
    assert f"Real-time factor {speed['mean']:.3g} ± {speed['std']:.2g}" in page.text
    for said in (
        "student, distilled",
        "trained without a teacher",
        "baseline",
        "teacher: tcn-S-tones",
        "noise floor",
        "Parameters 437,212",
        "Weights file 1.75 MB",
        "tones (hash e4f508de791f)",
        "Over 1 seed: comparison",
        "gap closed",
        "not trained on the same data",
        "made by rule, CC0-1.0",
    ):
        assert said in page.text, said


def test_losses_of_all_runs_are_in_one_picture(page):
    labels = ("baseline-seed0", "distilled-seed0", "gru-M-tones")
    lines = [line for line in page.all("polyline") if line["points"] != "0,5 28,5"]
    assert len([line for line in lines if "thin" not in line["class"]]) == 2 * len(labels)
    for line in lines:
        points = [tuple(map(float, point.split(","))) for point in line["points"].split()]
        assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in points)
    assert "of 2,000" in page.text


def test_page_asks_nobody_for_anything(page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            if (value := attributes.get(name)) is not None:
                assert value.startswith(("data:", "#")), (tag, name)
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_what_is_seen_and_pressed_has_words(page):
    assert all(image["alt"] for image in page.all("img"))
    titles = {attributes.get("id") for _, attributes in page.elements}
    for audio in page.all("audio"):
        assert audio["aria-labelledby"] in titles
    for drawing in page.all("svg"):
        assert drawing.get("aria-hidden") == "true" or set(drawing["aria-labelledby"].split()) <= titles
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert page.all("html")[0]["lang"] == "en"


def test_spectrograms_have_one_time_axis_and_one_scale(page, tmp_path):
    pictures = [matplotlib.image.imread(io.BytesIO(bytes_of(image["src"]))) for image in page.all("img")]
    scale = next(picture for picture in pictures if picture.shape[0] == 1)
    shades = [picture for picture in pictures if picture.shape[0] > 1]
    phrase = shades[:4]
    assert len({picture.shape for picture in phrase}) == 1
    # the loudest point of a phrase has the brightest colour, in one of its pictures
    assert max(float(picture[..., :3].sum(axis=2).max()) for picture in phrase) == pytest.approx(
        float(scale[0, -1, :3].sum())
    )


def test_hostile_names_stay_text(hostile, tmp_path):
    page = Page(make_report([str(hostile)], out=tmp_path / "page").path)
    assert len(page.all("script")) == 2
    assert not [image for image in page.all("img") if "onerror" in image or image["src"] == "x"]
    assert not page.all("b")
    assert hostile.name in page.text
    assert "window.hurt=1" in page.text
    assert "49" not in page.all("title")[0]


def test_same_runs_give_the_same_page(comparison, tmp_path):
    first, second = (make_report([str(comparison)], out=tmp_path / name).path for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_page_says_what_is_missing_and_shows_the_rest(copied, tmp_path):
    distilled, baseline = copied
    for path in (*distilled.glob("samples/*_teacher.wav"), distilled / "samples" / "phrase2_recording.wav"):
        path.unlink()
    (distilled / "samples" / "phrase3_student.wav").write_bytes(b"RIFF and no more")
    (distilled / "metrics.json").unlink()
    (distilled / "history.csv").unlink()
    (distilled / "model.safetensors").unlink()
    shutil.rmtree(baseline / "samples")
    made = make_report([str(distilled), str(baseline)], out=tmp_path / "page")
    page = Page(made.path)
    for said in (
        "There are no weights in its folder.",
        "It is not measured yet: zoo evaluate RUN --data DATASET",
        "There is no history.csv",
        "It holds no samples",
        "Its samples lack the teacher.",
        "distilled-seed0 does not hold of it: teacher.",
        "distilled-seed0 does not hold of it: recording, teacher.",
        "distilled-seed0 does not hold of it: student, teacher.",
        "phrase3_student.wav: cannot be read as audio",
        "There is nothing to compare blindly",
    ):
        assert said in page.text, said
    assert any("It holds no samples" in note for note in made.notes)
    assert len(page.sounds()) == 4
    assert page.data["phrases"] == []


def test_run_without_measures_and_curves_still_has_its_sounds(copied, tmp_path):
    for folder in copied:
        (folder / "metrics.json").unlink()
        (folder / "history.csv").unlink()
    page = Page(make_report(list(map(str, copied)), out=tmp_path / "page").path)
    assert "No run is measured yet" in page.text
    assert "there are no curves" in page.text
    assert len(page.sounds()) == 12
    assert [len(phrase["sounds"]) for phrase in page.data["phrases"]] == [3, 3, 3]


def test_page_may_be_made_of_a_model_by_its_name(tmp_path):
    made = make_report(["gru-M-tones"], out=tmp_path / "page")
    assert (made.runs, made.phrases, made.sounds, made.notes) == (1, 1, 2, [])
    assert "gru-M-tones (shipped)" in Page(made.path).text


def test_paths_of_this_machine_are_not_on_the_page(comparison, tmp_path, monkeypatch):
    monkeypatch.chdir(comparison.parent)
    page = Page(make_report(["comparison"], out=tmp_path / "page").path)
    assert str(Path.cwd()) not in page.source
    assert "comparison/distilled-seed0" in page.text
