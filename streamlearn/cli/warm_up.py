"""``streamlearn warm-up``: compile the kernels ahead of use."""

from __future__ import annotations

from typing import Annotated

import typer

from streamlearn.cli.options import given_flags


def warm_up(
    preset: Annotated[
        list[str] | None,
        typer.Option(
            "--preset", help="default, fast or paper; may be repeated. default and fast have the same kernels."
        ),
    ] = None,
) -> None:
    """Compile the kernels, or load them from the cache: for container images, and before a service starts.

    Without --preset it does so for the default preset. STREAMLEARN_CACHE_DIR sets the folder; STREAMLEARN_CPU=x86-64-v3
    compiles for every CPU of that level instead of this machine's. It fails when the kernels cannot be stored.
    """
    from streamlearn import compilation
    from streamlearn.cli.output import echo
    from streamlearn.errors import UsageError
    from streamlearn.kernels.cache import kernel_folder, statistics
    from streamlearn.settings.loading import load_settings

    for name in preset or ():
        load_settings(environment={}, flags=given_flags(("--preset", "learner.preset", name)))
    for name in preset or ["default"]:
        compilation.warm_up(name, lambda text, name=name: echo(f"{name}: {text}"))
    if statistics.warned:
        raise UsageError("the kernels are not stored, for the reason above: the next process compiles them again")
    echo(f"kernels in {kernel_folder()}")
