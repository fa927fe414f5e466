"""The one exception for input that a user can mend, and the one warning for input that is odd but usable."""


class InputError(ValueError):
    """The user's input is wrong: reported in one line, exit code 2, no traceback.

    Args:
        key: the recipe key (dotted, ``fleet.planes``), file or argument that is wrong.
        value: the value found there.
        problem: what is wrong with it and what would be accepted, as one line.
    """

    def __init__(self, key: str, value: object, problem: str) -> None:
        self.key = key
        self.value = value
        self.problem = problem
        super().__init__(f"{key} = {value!r}: {problem}")

    def __reduce__(self) -> tuple[type, tuple[str, object, str]]:
        """So that it arrives whole from another process."""
        return type(self), (self.key, self.value, self.problem)


class InputWarning(UserWarning):
    """The input is usable, but the user should know something about it before believing the result."""
