"""Consoles that print text as it is.

Rich takes ``[vw]`` for markup and ``:100:`` for an emoji, which loses parts of names; its styles are set by objects.
"""

from __future__ import annotations

from rich.console import Console


def console(*, stderr: bool = False, least_width: int = 0, highlight: bool = True) -> Console:
    """Return a console for standard output or error; a narrower terminal than ``least_width`` wraps lines."""
    made = Console(stderr=stderr, markup=False, emoji=False, highlight=highlight)
    if made.width < least_width:
        made.width = least_width
    return made
