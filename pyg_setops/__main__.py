"""The command line: ``python -m pyg_setops compare --help``."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: The words of the command line (default: those of the process).

    Returns:
        The exit status: 2 where the user must change something.
    """
    try:
        import tyro

        from .training.compare import Comparison
        from .training.options import CompareOptions
    except ModuleNotFoundError as error:
        return _refuse(
            f"{error}; the commands of pyg_setops train networks, install what that "
            f"needs with: pip install 'pyg-setops[train]'"
        )
    try:
        options = tyro.extras.subcommand_cli_from_dict(
            {"compare": CompareOptions},
            prog="python -m pyg_setops",
            description="Learnable set functions for PyTorch Geometric.",
            args=arguments,
        )
        comparison = Comparison(options)
    except (ValueError, OSError, ImportError) as error:
        return _refuse(str(error))
    comparison.run()
    return 0


def _refuse(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
