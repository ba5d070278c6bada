"""Names with arguments, as they are written on a command line."""

from __future__ import annotations

import ast
from typing import Any


def parse_named_call(text: str) -> tuple[str, dict[str, Any]]:
    """Splits ``name:key=value,key=value`` into the name and its arguments.

    Values are Python literals; a bare word is a string, except ``true``, ``false``
    and ``none``.

    Raises:
        ValueError: If the arguments cannot be read.

    Example:
        >>> parse_named_call("swarm:num_iterations=4,pool=max")
        ('swarm', {'num_iterations': 4, 'pool': 'max'})
        >>> parse_named_call("mean")
        ('mean', {})
    """
    name, _, arguments = text.partition(":")
    try:
        call = ast.parse(f"f({arguments})", mode="eval").body
        return name, _arguments(call)
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"expected 'name:key=value,key=value', got {text!r} ({error})"
        ) from error


def _arguments(call: ast.expr) -> dict[str, Any]:
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError("brackets do not match")
    if call.args or any(word.arg is None for word in call.keywords):
        raise ValueError("every argument needs a name")
    return {str(word.arg): _value(word.value) for word in call.keywords}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        words = {"true": True, "false": False, "none": None}
        return words.get(node.id, node.id)
    return ast.literal_eval(node)
