#!/usr/bin/env bash
# kafka-python 3.0.12, with a broker of Apache Kafka 4.3.0: flush() after a batch was too large for its topic.
#
# A topic accepts batches of at most 20,000 bytes (max.message.bytes). A producer with a larger batch_size sends 1,000
# records of 300 bytes, none of them too large. The broker refuses their batch, and the client splits it until the parts
# are small enough. One expects flush() to wait for the parts. Seen instead: flush() raises UnknownError ("Future not
# done"), as if records were lost, although the client goes on: every record is acknowledged, and on the topic.
#
# For a code base that takes an error of flush() for a failure: make batch_size at most the topic's max.message.bytes,
# or wait for the future of each record, which follows it into the parts. Needs Java (17 or newer) and Maven. Exits with
# 0 while this is so, and with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
broker=
clean_up() {
  if [ -n "$broker" ]; then kill "$broker" 2>/dev/null && wait "$broker" || true; fi
  rm -rf "$folder"
}
trap clean_up EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet kafka-python==3.0.12
cat >"$folder/pom.xml" <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>findings</groupId>
  <artifactId>broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>4.3.0</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B -f "$folder/pom.xml" -DoutputDirectory="$folder/libs" \
  org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies
read -r port controller < <(python3 -c '
from socket import create_server
one, other = create_server(("127.0.0.1", 0)), create_server(("127.0.0.1", 0))
print(one.getsockname()[1], other.getsockname()[1])')
cat >"$folder/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
log.dirs=$folder/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
PROPERTIES
java -cp "$folder/libs/*" kafka.tools.StorageTool format --cluster-id MkU3OEVBNTcwNTJENDM2Qk \
  --config "$folder/server.properties" >"$folder/log" 2>&1
java -Xmx512m -cp "$folder/libs/*" kafka.Kafka "$folder/server.properties" >>"$folder/log" 2>&1 &
broker=$!
until (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
  kill -0 "$broker" || { cat "$folder/log"; exit 1; }
  sleep 0.2
done
cat >"$folder/flush.py" <<'PYTHON'
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

servers = sys.argv[1]
admin = KafkaAdminClient(bootstrap_servers=servers)
topic = {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "20000"}}
admin.create_topics({"small-batches": topic}, wait_for_metadata=True)
admin.close()

values = [b"%0300d" % number for number in range(1000)]
producer = KafkaProducer(bootstrap_servers=servers, batch_size=500_000, linger_ms=10_000)
futures = [producer.send("small-batches", value) for value in values]
try:
    producer.flush(timeout=60)
    print("flush: no error")
except KafkaError as error:
    print("flush:", repr(error))
print("acknowledged:", len({future.get(timeout=60).offset for future in futures}))
producer.close()

consumer = KafkaConsumer(
    "small-batches", bootstrap_servers=servers, auto_offset_reset="earliest", consumer_timeout_ms=5000
)
print("on the topic, in order, each once:", [record.value for record in consumer] == values)
consumer.close()
PYTHON
seen=$("$folder/venv/bin/python" "$folder/flush.py" "127.0.0.1:$port")
echo "$seen"
expected="flush: UnknownError('Future not done')
acknowledged: 1000
on the topic, in order, each once: True"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:" && echo "$expected"; exit 1; }
