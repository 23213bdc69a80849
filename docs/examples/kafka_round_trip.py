"""A round trip through Kafka: instances and labels go to their topics, a worker answers, the answers come back.

Start a broker and create the topics first, as "Try it in five minutes" shows, then:

    python kafka_round_trip.py [HOST:PORT]
"""

from __future__ import annotations

import json
import subprocess
import sys

from kafka import KafkaConsumer, KafkaProducer

TICKETS = [
    ({"words": 12, "refund": 1}, ["billing"]),
    ({"words": 30, "crash": 1, "login": 1}, ["bug", "account"]),
    ({"words": 8, "password": 1, "login": 1}, ["account"]),
]


def main(servers: str) -> None:
    """Send, work, read."""
    producer = KafkaProducer(bootstrap_servers=servers, value_serializer=lambda value: json.dumps(value).encode())
    for number in range(300):
        x, labels = TICKETS[number % len(TICKETS)]
        # The labels may come with the instance ("y") or, as here, later on a topic of their own.
        producer.send("instances", {"id": f"t{number}", "x": x})
        producer.send("labels", {"id": f"t{number}", "y": labels})
    producer.flush()
    producer.close()

    # In production the worker runs on; here it ends when it has answered what is there.
    subprocess.run(
        [
            *(sys.executable, "-m", "streamlearn", "run", "--stop-at-end"),
            *("--set", f"kafka.bootstrap_servers={servers}", "--set", "topics.labels=labels"),
        ],
        check=True,
    )

    consumer = KafkaConsumer(
        "predictions",
        bootstrap_servers=servers,
        auto_offset_reset="earliest",
        # Answers commit in transactions: read only those that are committed.
        isolation_level="read_committed",
        consumer_timeout_ms=5_000,
    )
    last: dict[str, object] = {}
    answers = 0
    for record in consumer:
        last = json.loads(record.value)
        answers += 1
        if answers == 300:
            break
    consumer.close()
    print(f"{answers} answers, the last: {last['id']} {last['labels']}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "localhost:9092")
