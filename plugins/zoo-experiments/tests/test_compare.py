import csv
import json
import shutil

import pytest
from zoo_experiments.comparison import Comparison, collect, part_folder

from zoo.__main__ import main
from zoo.commands.gin_program import main_functions
from zoo.gin_config.configure import configure
from zoo.losses.distillation import Control, LoudnessMatching, OutputAudio, Reconstruction
from zoo.losses.weights import Cosine, Step, Uncertainty
from zoo.storage import read_config, read_seeds
from zoo.training import DistillConfig


def row(seed, system, mean, metric="multi_scale_spectral"):
    return {"seed": seed, "system": system, "metric": metric, "mean": mean, "std": 0.5, "n": 10}


def rows(seed, teacher, baseline, student, floor=2.0):
    found = {"teacher": teacher, "baseline": baseline, "student": student, "noise_floor": floor}
    return [row(seed, system, mean) for system, mean in found.items()]


def test_fraction_of_the_gap_is_told_with_its_spread():
    found = Comparison([*rows(0, 4.0, 6.0, 5.0), *rows(1, 4.0, 5.0, 4.25)])
    summary = found.summary()["multi_scale_spectral"]
    assert summary.systems["baseline"] == {"mean": 5.5, "std": pytest.approx(0.7071, abs=1e-4), "n": 2}
    assert summary.closed == pytest.approx((5.5 - 4.625) / (5.5 - 4.0))
    assert summary.closed_by_seed == [pytest.approx(0.5), pytest.approx(0.75)]
    line = found.markdown().splitlines()[-1]
    assert line == "| multi-scale spectral distance | 4 ± 0 | 5.5 ± 0.71 | 4.62 ± 0.53 | 2 ± 0 | 58 ± 18 % |"


def test_student_that_is_better_than_its_teacher_leaves_no_gap():
    found = Comparison(rows(0, 6.0, 5.0, 4.0))
    assert found.summary()["multi_scale_spectral"].closed is None
    assert found.markdown().splitlines()[-1].endswith("| no gap |")
    assert "over 1 seed;" in found.markdown()


def test_gap_that_is_no_larger_than_the_spread_is_within_the_noise():
    found = Comparison([*rows(0, 4.0, 4.3, 3.0), *rows(1, 4.0, 3.9, 5.0)])
    assert found.summary()["multi_scale_spectral"].closed == pytest.approx(1.0)
    assert found.markdown().splitlines()[-1].endswith("| within the noise |")


def test_distillation_that_harms_closes_less_than_nothing():
    assert Comparison(rows(0, 4.0, 5.0, 5.5)).summary()["multi_scale_spectral"].closed == pytest.approx(-0.5)


def baseline(losses):
    return DistillConfig(teacher="x", student="gru-S", dataset="y", losses=losses).baseline().losses


def test_baseline_has_the_losses_that_need_no_teacher_with_full_weight():
    given = [Reconstruction(weight=Cosine(0.0, 1.0), alpha=2.0), OutputAudio(), Control(weight=Uncertainty())]
    (kept,) = baseline(given)
    assert kept.settings.alpha == 2.0
    assert (kept.factor, kept.final_factor, kept.changes) == (1.0, 1.0, False)
    assert list(kept.state_dict()) == ["weight"]
    assert given[0].changes
    assert [loss.label for loss in baseline([Reconstruction(), OutputAudio()])] == ["reconstruction"]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((1.0, 0.2), [1.0, 0.2]),
        ((0.5, 0.1), [1.0, 0.2]),
        ((Cosine(0.0, 1.0), 0.2), [1.0, 0.2]),
        ((Step((0.0, 0.5, 0.0), (0.3, 0.31)), 0.1), [1.0, 0.2]),
        ((0.0, 0.0), [1.0, 1.0]),
    ],
)
def test_losses_of_a_baseline_count_as_much_less_than_each_other_as_they_do_in_the_distillation(weights, expected):
    recordings, loudness = weights
    kept = baseline([Reconstruction(weight=recordings), Control(), LoudnessMatching(weight=loudness)])
    assert [loss.final_factor for loss in kept] == pytest.approx(expected)
    assert not any(loss.changes for loss in kept)


@pytest.fixture(scope="module")
def compared(small_tones, teacher_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("compare") / "comparison"
    settings = [
        f"DATASET='{small_tones.path}'",
        f"TEACHER='{teacher_folder}'",
        "STEPS=2",
        "BATCH_SIZE=4",
        "distill.student_options={'hidden_size': 8, 'reverb_length': 200}",
    ]
    command = ["compare", "--gin", "distill/gru-L-to-gru-S.gin", "--seeds", "1", "--jobs", "2", "--out", str(out)]
    command += [word for setting in settings for word in ("--set", setting)]
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_HOME", str(home))
        # in this process, as another machine would do its share; the command itself then has nothing left to start
        for part in ("distilled", "baseline"):
            assert main([*command, "--part", part, "--first-seed", "0"]) == 0
        assert main(command) == 0
    return out, command


def test_compare_trains_student_and_baseline_and_tells_what_came_of_it(compared):
    out, _ = compared
    with (out / "compare.csv").open() as file:
        found = list(csv.DictReader(file))
    assert {line["system"] for line in found} == {"teacher", "baseline", "student", "noise_floor"}
    assert "gap closed" in (out / "compare.md").read_text()
    assert json.loads((out / "compare.json").read_text())["multi_scale_spectral"]["teacher"]["n"] == 1
    first, second = (read_config(out / f"{part}-seed0") for part in ("distilled", "baseline"))
    assert first.build_arguments() == second.build_arguments()
    assert "teacher" in first.lineage
    assert "teacher" not in second.lineage


def test_distilled_runs_card_shows_the_baseline(compared):
    out, _ = compared
    metrics = json.loads((out / "distilled-seed0" / "metrics.json").read_text())
    baseline = json.loads((out / "baseline-seed0" / "metrics.json").read_text())["student"]
    assert metrics["baseline"]["multi_scale_spectral"] == baseline["multi_scale_spectral"]
    assert (
        "The baseline is the same model, trained without its teacher"
        in (out / "distilled-seed0" / "README.md").read_text()
    )


def test_compare_again_trains_nothing(compared, capsys):
    out, command = compared
    before = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert main(command) == 0
    assert "| multi-scale spectral distance |" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")} == before


def test_seed_that_is_set_and_not_used_is_told(compared, capsys):
    _, command = compared
    assert main([*command, "--set", "SEED=5"]) == 0
    assert "SEED = 5 is not used: the seeds are 0 to 0." in capsys.readouterr().err


def test_runs_of_other_settings_are_not_shown_as_those_asked_for(compared, capsys):
    out, command = compared
    before = (out / "compare.md").read_text()
    for settings, difference in (
        (["--set", "LEARNING_RATE=0.5"], "learning_rate was 0.001 and is now 0.5"),
        (["--gin", "losses/feature.gin"], "losses was"),
        (["--set", "distill.student_options={'hidden_size': 6}"], "student_build was"),
    ):
        assert main([*command, *settings]) == 2
        assert f"distilled-seed0 began with other settings: {difference}" in capsys.readouterr().err
    assert (out / "compare.md").read_text() == before
    assert main([*command, "--set", "LOGGER=['tensorboard']"]) == 0  # what changes no number may differ


def test_baseline_has_a_recipe_that_makes_it_again(compared):
    out, _ = compared
    recipe = str(out / "baseline-seed0" / "config.gin")
    again = configure([recipe], functions=main_functions()).make("train")
    assert (again.model, again.steps, again.seed) == ("gru-S", 2, 0)
    assert [loss.describe() for loss in again.losses] == [Reconstruction().describe()]


def test_mistake_is_told_before_anything_runs(tmp_path, capsys):
    command = ["compare", "--gin", "distill/gru-L-to-gru-S.gin", "--out", str(tmp_path / "x")]
    assert main(command) == 2
    assert "DATASET" in capsys.readouterr().err
    assert main([*command, "--set", "DATASET=x", "--seeds", "0"]) == 2
    assert "at least one seed" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_comparison_of_an_earlier_version_goes_on_and_is_read(compared, tmp_path):
    out, _ = compared
    older = tmp_path / "older"
    shutil.copytree(out, older)
    (older / "baseline-seed0").rename(older / "alone-seed0")
    summary = json.loads((older / "compare.json").read_text())
    for found in summary.values():
        found |= {"alone": found.pop("baseline"), "distilled": found.pop("student")}
    (older / "compare.json").write_text(json.dumps(summary))
    assert read_seeds(older / "compare.json") == read_seeds(out / "compare.json")
    assert part_folder(older, "baseline", 0).name == "alone-seed0"
    assert collect(older, [0]).markdown() == (out / "compare.md").read_text()
