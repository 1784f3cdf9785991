import pytest
from zoo_ddx7.algorithm import parse

from zoo.errors import ConfigError


def test_stacks_say_who_modulates_whom():
    assert parse("6>5>1, 4>3>1,2>1", 6) == ((1, 2, 4), (), (3,), (), (5,), ())
    assert parse("1", 1) == ((),)
    assert parse("3>2>1, 3>1", 3) == ((1, 2), (2,), ())  # one operator may modulate two


@pytest.mark.parametrize(
    ("text", "operators", "message"),
    [
        ("3>1, 2>1", 2, "names operator 3; there are 2 ratios"),
        ("2>1", 3, "has no operator 3"),
        ("2-1", 2, "a stack of operators is like 3>2>1"),
        ("", 1, "a stack of operators is like 3>2>1"),
        ("0>1", 1, "a stack of operators is like 3>2>1"),
    ],
)
def test_algorithm_that_cannot_be_read_is_told(text, operators, message):
    with pytest.raises(ConfigError, match=message):
        parse(text, operators)
