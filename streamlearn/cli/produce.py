"""``streamlearn produce``: a stream's instances onto a topic."""

from __future__ import annotations

from typing import Annotated

import typer

from streamlearn.cli.options import Config, Overrides


def produce(
    stream: Annotated[
        str, typer.Argument(metavar="STREAM", help="A file .arff[.gz] or .jsonl[.gz], -, or synthetic:NAME.")
    ],
    topic: Annotated[str, typer.Option("--topic", help="Topic of the instances.")],
    bootstrap: Annotated[
        str | None,
        typer.Option("--bootstrap", help="Brokers, host:port; else kafka.bootstrap_servers.", show_default=False),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.001, help="Instances a second; else as fast as it goes.", show_default=False),
    ] = None,
    labels_topic: Annotated[
        str | None, typer.Option("--labels-topic", help="Send labels here, apart from instances.", show_default=False)
    ] = None,
    label_delay: Annotated[
        int, typer.Option("--label-delay", min=0, help="Labels follow so many instances later.")
    ] = 0,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Instances at most.", show_default=False)] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of a generator.")] = 0,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", help="Which ARFF attributes are labels: a count, names, an XML file.", show_default=False
        ),
    ] = None,
) -> None:
    """Write a stream's instances to a topic as records, keyed by id; an id that is missing is the zero-based row."""
    from streamlearn.codec.decode import EVERY_FIELD
    from streamlearn.errors import UsageError
    from streamlearn.kafka.admin.reachability import check_handshake, diagnose_connection
    from streamlearn.kafka.instance_producer import BootstrapError, send_stream
    from streamlearn.settings.addresses import server_addresses
    from streamlearn.settings.loading import load_settings
    from streamlearn.streams import open_stream

    advice = "start it, or set kafka.bootstrap_servers"
    if bootstrap is not None:
        advice = "start it, or name another with --bootstrap"
        try:
            server_addresses(bootstrap)
        except ValueError as error:
            raise UsageError(f"--bootstrap {bootstrap!r}: {error}") from None
        overrides = [*(overrides or ()), f"kafka.bootstrap_servers={bootstrap}"]
    settings = load_settings(config, overrides or ()).settings
    opened = open_stream(stream, labels=labels, seed=seed, instances=limit, text_fields=EVERY_FIELD)
    check_handshake(settings)
    try:
        sent = send_stream(
            opened,
            bootstrap=settings.kafka.bootstrap_servers,
            topic=topic,
            labels_topic=labels_topic,
            label_delay=label_delay,
            rate=rate,
            limit=limit,
            security=settings.kafka.security,
        )
    except BootstrapError as error:
        raise diagnose_connection(settings, advice) from error
    typer.echo(
        f"{sent.instances:,} instances to {topic}"
        + (f", {sent.labels:,} labels to {labels_topic}" if labels_topic else "")
    )
