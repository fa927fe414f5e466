"""What pydantic finds wrong with a value, in the words of this project."""

from __future__ import annotations

from pydantic_core import ErrorDetails

from orbital_train.config.tables.time import INSTANT

_WANTED = {
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be an array",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "datetime_type": INSTANT,
}


def problem_of(error: ErrorDetails) -> str:
    """What is wrong with the value of a key, and what would be accepted."""
    if error["type"] == "too_long":
        return f"must be an array of {error['ctx']['max_length']}, not of {error['ctx']['actual_length']}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return _WANTED.get(error["type"], message[0].lower() + message[1:])
