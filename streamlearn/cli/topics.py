"""``streamlearn topics``: create and check the topics that a configuration needs."""

from __future__ import annotations

import typer

from streamlearn.cleanup import Cleanup
from streamlearn.cli.group import new_group
from streamlearn.cli.options import Config, Overrides
from streamlearn.cli.output import echo

app = new_group("topics", "Create and check the topics that a configuration needs.")


@app.command("create")
def create(config: Config = None, overrides: Overrides = None) -> None:
    """Create the missing topics, with the partitions and retention that the settings ask for."""
    from streamlearn.kafka.admin.topics import TopicAdmin
    from streamlearn.settings.loading import load_settings

    topics = TopicAdmin(load_settings(config, overrides or ()).settings)
    with Cleanup(topics.close):
        created = topics.create(topics.describe())
    echo(f"created: {', '.join(created)}" if created else "no topic is missing")


@app.command("check")
def check(config: Config = None, overrides: Overrides = None) -> None:
    """Check the topics; print one line per fault and exit with status 2 if there is any."""
    from streamlearn.kafka.admin.topics import TopicAdmin
    from streamlearn.settings.loading import load_settings

    topics = TopicAdmin(load_settings(config, overrides or ()).settings)
    with Cleanup(topics.close):
        problems = topics.find_problems(topics.describe())
    for problem in problems:
        echo(problem, err=True)
    if problems:
        raise typer.Exit(2)
    echo("the topics are correct")
