"""What zoo promises of a decoder, a loss and a model, kept by this package's."""

import torch
from zoo_example.loss import ExampleLevel

import zoo
from zoo.testing import check_decoder, check_loss, check_model


def test_decoder_keeps_the_promises_of_its_kind():
    check_decoder("example", options={"hidden_size": 8})


def test_loss_keeps_the_promises_of_its_kind():
    check_loss("example_level", options={"weight": 0.5})


def test_model_keeps_the_promises_of_its_kind():
    check_model("example-S")


def test_model_is_listed_and_has_the_size_that_it_says():
    assert "example-S" in zoo.list_models()
    assert zoo.create("example-S").num_parameters == 16_744


def test_half_the_amplitude_is_a_level_of_six_db_less():
    model = zoo.create("example-S").eval()
    f0_hz, loudness_db = torch.full((1, 50), 440.0), torch.full((1, 50), -20.0)
    with torch.no_grad():
        made = model(f0_hz, loudness_db)
    batch = {"audio": made.audio / 2, "f0_hz": f0_hz, "valid_frames": torch.tensor([50])}
    assert torch.isclose(ExampleLevel()(made, None, batch), torch.tensor(6.02), atol=0.05)
