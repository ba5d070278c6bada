"""Checks that the layers of several operators make of their arguments."""


def check_positive(**values: int) -> None:
    """Raises a ValueError that names the first value below 1."""
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"'{name}' must be at least 1, got {value}")
