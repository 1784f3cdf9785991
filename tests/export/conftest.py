import pytest
import torch
from struck import forget, struck_model

import zoo


@pytest.fixture(scope="package")
def small():
    torch.manual_seed(0)
    return zoo.create("gru-S", hidden_size=8, instrument="flute").eval()


@pytest.fixture
def struck():
    yield struck_model()
    forget()
