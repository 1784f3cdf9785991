import json
import shutil

import pytest
from flat_calls import distill, train

from zoo.models.model import create
from zoo.report import make_report
from zoo.storage import checkpoint
from zoo.storage.config import read_config
from zoo.training import comparison
from zoo.training.evaluation import evaluate

SMALL = {"hidden_size": 8, "reverb_length": 200}

HOSTILE = '<img src=x onerror="window.hurt=1">\'&"{{ 7*7 }}'
HOSTILE_TEXT = "</script><script>window.hurt=1</script><b onmouseover='window.hurt=1'>\"=1+1"


@pytest.fixture(scope="session")
def arms(small_tones, tmp_path_factory):
    """What `zoo compare` leaves, of one seed: two runs, really trained and measured, if only for a moment."""
    teacher = tmp_path_factory.mktemp("models") / "teacher"
    options = {"input_size": 8, "channels": 8, "output_size": 8, "blocks": 2, "reverb_length": 400}
    checkpoint.save(create("tcn-S", instrument="tones", features=small_tones.features.to_dict(), **options), teacher)
    out = tmp_path_factory.mktemp("compare") / "arms"
    shared = {"dataset": str(small_tones.path), "steps": 2, "batch_size": 4, "evaluate": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_HOME", str(tmp_path_factory.mktemp("home")))
        distilled, alone = (comparison.part_folder(out, part, 0) for part in comparison.PARTS)
        distill(teacher=str(teacher), student="gru-S", student_options=SMALL, out=distilled, **shared)
        train(model="gru-S", model_options=SMALL, out=alone, **shared)
        for folder in (distilled, alone):
            evaluate(str(folder), data=str(small_tones.path), pitch="yin", max_segments=2)
        comparison.collect(out, [0])
    return out


@pytest.fixture
def copied(arms, tmp_path):
    """The two runs, to be changed at will: distilled, alone."""
    folder = tmp_path / "copies"
    shutil.copytree(arms, folder)
    (folder / "compare.json").unlink()
    return folder / "distilled-seed0", folder / "alone-seed0"


@pytest.fixture
def hostile(copied):
    """A run whose every text is an attack on the page that shows it."""
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
def page_file(arms, tmp_path_factory):
    return make_report([str(arms), "gru-M-tones"], out=tmp_path_factory.mktemp("report") / "page").path
