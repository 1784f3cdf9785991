import json
import shutil

import pytest

SMALL = {"hidden_size": 8, "reverb_length": 200}

HOSTILE = '<img src=x onerror="window.hurt=1">\'&"{{ 7*7 }}'
HOSTILE_TEXT = "</script><script>window.hurt=1</script><b onmouseover='window.hurt=1'>\"=1+1"


@pytest.fixture(scope="session")
def comparison(small_tones, teacher_folder, tmp_path_factory):
    """What `zoo compare` leaves, of one seed: two runs, really trained and measured, if only for a moment."""
    from zoo.storage import SPEED, read_metrics, summarize_seeds, write_metrics, write_seeds
    from zoo.training import DistillConfig, TrainConfig, distill, evaluate, train

    out = tmp_path_factory.mktemp("compare") / "comparison"
    distilled, baseline = out / "distilled-seed0", out / "baseline-seed0"
    shared = {"dataset": str(small_tones.path), "steps": 2, "batch_size": 4, "evaluate": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_HOME", str(tmp_path_factory.mktemp("home")))
        pair = {"teacher": str(teacher_folder), "student": "gru-S", "student_options": SMALL}
        distill(DistillConfig.from_flat(**pair, **shared), out=distilled)
        train(TrainConfig.from_flat(model="gru-S", model_options=SMALL, **shared), out=baseline)
        for folder in (distilled, baseline):
            evaluate(str(folder), data=str(small_tones.path), pitch="yin", max_segments=2)
    results = read_metrics(distilled / "metrics.json")
    results["baseline"] = {k: v for k, v in read_metrics(baseline / "metrics.json")["student"].items() if k != SPEED}
    write_metrics(results, distilled / "metrics.json")
    values = {
        name: {system: {0: own[name]["mean"]} for system, own in results.items() if name in own}
        for name in results["baseline"]
    }
    write_seeds(summarize_seeds(values), out / "compare.json")
    return out


@pytest.fixture
def copied(comparison, tmp_path):
    """The two runs, to be changed at will: distilled, baseline."""
    folder = tmp_path / "copies"
    shutil.copytree(comparison, folder)
    (folder / "compare.json").unlink()
    return folder / "distilled-seed0", folder / "baseline-seed0"


@pytest.fixture
def hostile(copied):
    """A run whose every text is an attack on the page that shows it."""
    from zoo.storage import read_config

    folder = copied[0].rename(copied[0].with_name(HOSTILE.replace("/", "")))
    config = read_config(folder)
    lineage = json.loads(json.dumps(config.lineage))
    lineage["dataset"] = {"name": HOSTILE_TEXT, "hash": HOSTILE_TEXT, "attribution": [HOSTILE_TEXT]}
    lineage["teacher"] |= {"name": HOSTILE_TEXT, "id": HOSTILE_TEXT}
    lineage["imported_from"] = HOSTILE_TEXT
    lineage["training"] = {"seed": 0, "note": HOSTILE_TEXT}
    (folder / "config.json").write_text(config.with_changes(lineage=lineage).to_json())
    measure = {HOSTILE_TEXT: {"mean": 1.0, "std": 0.1, "n": 3}}
    (folder / "metrics.json").write_text(json.dumps({"student": measure, HOSTILE_TEXT: measure}))
    return folder


@pytest.fixture(scope="session")
def page_file(comparison, tmp_path_factory):
    from zoo_report import make_report

    return make_report([str(comparison), "gru-M-tones"], out=tmp_path_factory.mktemp("report") / "page").path
