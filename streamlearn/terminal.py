"""Consoles that print text as it is.

What does not go to a terminal is for other programs: its lines are never wrapped, and nothing in it is styled, whatever
``COLUMNS`` and ``FORCE_COLOR`` say.

Rich takes ``[vw]`` for markup and ``:100:`` for an emoji, which loses parts of names; its styles are set by objects.
"""

from __future__ import annotations

import sys

from rich.console import Console

UNWRAPPED_WIDTH = 1_000_000
"""Characters of a line that does not go to a terminal, more than any has."""


def console(*, stderr: bool = False, least_width: int = 0, highlight: bool = True) -> Console:
    """Return a console for standard output or error; a narrower terminal than ``least_width`` wraps lines."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    made = Console(
        stderr=stderr, markup=False, emoji=False, highlight=highlight, force_terminal=None if is_terminal else False
    )
    if not is_terminal:
        made.width = UNWRAPPED_WIDTH
    elif made.width < least_width:
        made.width = least_width
    return made
