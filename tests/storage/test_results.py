"""metrics.json, and how what is measured is written down, wherever it is shown."""

import json

import pytest

from zoo.errors import CheckpointError
from zoo.storage import (
    MeasuredResults,
    markdown_table,
    metrics_in,
    read_metrics,
    read_seeds,
    rows_of,
    seed_rows,
    spread,
    summarize_seeds,
    systems_in,
    text_table,
    write_metrics,
    write_seeds,
)


def measure(mean, std=0.5, n=7):
    return {"mean": mean, "std": std, "n": n}


RESULTS = {
    "student": {"buzz": measure(1.0), "f0_over_50_cents": measure(0.0123, 0.004), "real_time_factor": measure(0.01)},
    "teacher": {"multi_scale_spectral": measure(5.25)},
}


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (measure(5.2468), "", "5.25 ± 0.5"),
        (measure(1592.4, 40.2), "frechet_log_mel", "1,590 ± 40"),
        (measure(5.25, 0.0, 1), "", "5.25"),
        (measure(0.0123, 0.004), "f0_over_50_cents", "1.23 ± 0.4"),
        (None, "", ""),
    ],
)
def test_measure_is_written_one_way(value, metric, text):
    assert spread(value, metric) == text


def test_rows_are_in_the_order_of_metrics_and_systems_and_leave_out_the_speed():
    assert rows_of(RESULTS) == [
        ["distance to the recordings", "teacher", "student"],
        ["multi-scale spectral distance", "5.25 ± 0.5", ""],
        ["frames over 50 cents off (%)", "", "1.23 ± 0.4"],
        ["buzz", "", "1 ± 0.5"],
    ]
    assert metrics_in(RESULTS) == ["multi_scale_spectral", "f0_over_50_cents", "buzz"]
    assert systems_in({"other": 1, **RESULTS}) == ["teacher", "student", "other"]


def test_tables_are_neither_cut_nor_wrapped():
    rows = [["name", "x"], ["a" * 300, "1"]]
    assert text_table(rows) == f"{'name'.ljust(300)}  x\n{'a' * 300}  1"
    assert markdown_table(rows) == f"| name | x |\n| --- | --- |\n| {'a' * 300} | 1 |"


def test_metrics_are_read_as_they_were_written_and_older_names_are_known(tmp_path):
    path = tmp_path / "metrics.json"
    assert read_metrics(path) == {}
    write_metrics(MeasuredResults(RESULTS, split="train"), path)
    assert read_metrics(path) == RESULTS
    assert (read_metrics(path).split, read_metrics(path).held_out, read_metrics(path).segments) == ("train", False, 7)
    path.write_text(json.dumps({"alone": {"buzz": measure(1.0)}}))
    assert read_metrics(path) == {"baseline": {"buzz": measure(1.0)}}
    assert read_metrics(path).split == "test"


@pytest.mark.parametrize("content", ["[]", '{"student": 3}', '{"split": 3}', '{"student": {"buzz": {"mean": 1}}}', "{"])
def test_damaged_metrics_are_told(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"metrics\.json"):
        read_metrics(tmp_path / "metrics.json")


def by_seed(teacher, baseline, student):
    return {"buzz": {name: dict(enumerate(own)) for name, own in
                     {"teacher": teacher, "baseline": baseline, "student": student}.items()}}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (by_seed([4.0, 4.0], [6.0, 5.0], [5.0, 4.25]), "58 ± 18 %"),
        (by_seed([4.0] * 3, [6.0, 6.0, 3.9], [5.0, 4.5, 4.0]), "62 ± 18 % (± over 2 of 3 seeds)"),
        (by_seed([4.0], [6.0], [5.0]), "50 %"),
        (by_seed([6.0], [5.0], [4.0]), "no gap"),
        (by_seed([4.0, 4.0], [4.3, 3.9], [3.0, 5.0]), "within the noise"),
        (by_seed([], [4.3], [3.0]), ""),
    ],
)
def test_gap_is_told_one_way_whoever_reads_it(tmp_path, values, words):
    found = summarize_seeds(values)
    write_seeds(found, tmp_path / "compare.json")
    assert read_seeds(tmp_path / "compare.json") == found
    assert seed_rows(found)[1][-1] == words
