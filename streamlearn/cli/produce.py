"""``streamlearn produce``: write the instances of a stream to a topic."""

from __future__ import annotations

from typing import Annotated

import typer

from streamlearn.cli.options import STREAM_HELP, Config, Labels, Overrides, given_flags
from streamlearn.cli.output import echo


def produce(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help=STREAM_HELP)],
    topic: Annotated[str, typer.Option("--topic", help="Topic for the instances.")],
    bootstrap: Annotated[
        str | None,
        typer.Option("--bootstrap", help="Brokers, host:port; by default kafka.bootstrap_servers.", show_default=False),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", min=0.001, help="Instances per second; by default as fast as possible.", show_default=False
        ),
    ] = None,
    labels_topic: Annotated[
        str | None,
        typer.Option(
            "--labels-topic",
            help="Topic for the labels; by default each instance carries its labels.",
            show_default=False,
        ),
    ] = None,
    label_delay: Annotated[
        int | None,
        typer.Option(
            "--label-delay",
            min=0,
            help="Number of instances by which labels lag behind (default 0), with --labels-topic.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of instances.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, help="Seed of the generator (default 0), for a built-in stream.", show_default=False
        ),
    ] = None,
    labels: Labels = None,
) -> None:
    """Write the instances of a stream to a topic, keyed by id; a missing id becomes the row number, from 0."""
    from streamlearn.cli.output import echo_stream
    from streamlearn.codec.decode import EVERY_FIELD
    from streamlearn.errors import UsageError
    from streamlearn.kafka.admin.reachability import check_handshake, diagnose_connection
    from streamlearn.kafka.instance_producer import BootstrapError, send_stream
    from streamlearn.settings.loading import load_settings
    from streamlearn.streams import open_stream

    if label_delay is not None and labels_topic is None:
        raise UsageError(f"--label-delay {label_delay}: instances carry their labels; give --labels-topic too")
    if seed is not None and not stream.startswith("synthetic:"):
        raise UsageError(f"--seed {seed}: {stream} is not a built-in stream; leave it out")
    advice = "start it, or set kafka.bootstrap_servers"
    if bootstrap is not None:
        advice = "start it, or give another address with --bootstrap"
    flags = given_flags(("--bootstrap", "kafka.bootstrap_servers", bootstrap))
    settings = load_settings(config, overrides or (), flags=flags).settings
    opened = open_stream(
        stream, labels=labels, seed=seed or 0, instances=limit, text_fields=EVERY_FIELD, limits=settings.limits
    )
    check_handshake(settings)
    try:
        sent = send_stream(
            opened,
            bootstrap=settings.kafka.bootstrap_servers,
            topic=topic,
            labels_topic=labels_topic,
            label_delay=label_delay or 0,
            rate=rate,
            limit=limit,
            kafka=settings.kafka,
        )
    except BootstrapError as error:
        raise diagnose_connection(settings, advice) from error
    if not sent.instances:
        raise UsageError(f"{opened.source} has no instances: nothing was written; give a file with rows")
    echo_stream(opened)
    if labels_topic is not None and not sent.labels:
        echo(f"warning: no instance of {opened.source} has labels: nothing was written to {labels_topic}", err=True)
    echo(
        f"wrote {sent.instances:,} instances to {topic}"
        + (f", {sent.labels:,} labels to {labels_topic}" if labels_topic else "")
    )
