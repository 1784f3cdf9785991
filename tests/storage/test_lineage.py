"""What is written of a lineage is short, and says all that the whole one said."""

import json

from hypothesis import given
from hypothesis import strategies as st

from zoo.storage import attributions, teachers_of
from zoo.storage.config import ComponentConfig, ModelConfig
from zoo.storage.lineage import ORIGINS


def config(lineage):
    parts = [ComponentConfig("gru", {}), ComponentConfig("harmonic_noise", {})]
    return ModelConfig(architecture="gru-S", decoder=parts[0], synth=parts[1], lineage=lineage)


def made(models, *, written):
    """Each model from former ones: `(dataset, {origin: how many models back})`; as it is, or read back each time."""
    configs = []
    for number, (dataset, origins) in enumerate(models):
        lineage = {"dataset": {"name": "d", "hash": str(dataset), "attribution": [f"Jane Doe, CC0, {dataset}.wav"]}}
        for origin, back in origins.items():
            if back <= number:
                weights = str(number - back)
                lineage[origin] = {"name": "m", "weights": weights, "lineage": configs[number - back].lineage}
        one = config(lineage)
        configs.append(ModelConfig.from_json(one.to_json()) if written else one)
    return configs


MODELS = st.lists(
    st.tuples(st.integers(0, 3), st.dictionaries(st.sampled_from(ORIGINS), st.integers(1, 4))), min_size=1, max_size=7
)


@given(models=MODELS)
def test_lineage_that_is_written_names_all_teachers_and_authors(models):
    def told(one):
        return attributions(one), [teacher["weights"] for teacher in teachers_of(one)]

    for whole, written in zip(made(models, written=False), made(models, written=True), strict=True):
        assert told(written) == told(whole)


def test_many_generations_from_the_same_data_are_short():
    generations = [(0, dict.fromkeys(ORIGINS, 1)) for _ in range(10)]
    *_, last = made(generations, written=True)
    text = last.to_json()
    assert text.count("Jane Doe") == 1
    assert len(text) < 10_000
    assert json.loads(text)["lineage"] == last.lineage
