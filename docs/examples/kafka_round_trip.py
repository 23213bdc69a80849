"""A round trip through Kafka: instances and labels go to their topics, a worker answers, the answers come back.

Start a broker as "Try it in five minutes" shows, then create the topics, with one for labels, and run this file. A
model begins with its topics, so the example has a group of its own:

    streamlearn topics create --set topics.labels=labels --set kafka.group_id=round-trip
    python kafka_round_trip.py [HOST:PORT]
"""

from __future__ import annotations

import json
import subprocess
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

TICKETS = [
    ({"words": 12, "refund": 1}, ["billing"]),
    ({"words": 30, "crash": 1, "login": 1}, ["bug", "account"]),
    ({"words": 8, "password": 1, "login": 1}, ["account"]),
]


def main(servers: str) -> None:
    """Send, work, read."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        # Answers commit in transactions: read only those that are committed.
        isolation_level="read_committed",
        consumer_timeout_ms=5_000,
    )
    answered = [TopicPartition("predictions", number) for number in consumer.partitions_for_topic("predictions") or ()]
    consumer.assign(answered)
    # Only what comes from now on, not the answers of earlier runs.
    for partition, end in consumer.end_offsets(answered).items():
        consumer.seek(partition, end)

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
            *("--set", "kafka.group_id=round-trip"),
        ],
        check=True,
    )

    last: dict[str, object] = {}
    answers = 0
    for record in consumer:
        answer = json.loads(record.value)
        if not answer["id"].startswith("t"):
            continue  # an instance that was on the topic before
        last = answer
        answers += 1
        if answers == 300:
            break
    consumer.close()
    print(f"{answers} answers, the last: {last['id']} {last['labels']}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "localhost:9092")
