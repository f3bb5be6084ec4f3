"""The command line: arguments and printing, nothing else.

Listing commands and cells imports neither PyTorch nor pandas; what trains imports them itself.
"""

from gated.cli.app import main

__all__ = ["main"]
