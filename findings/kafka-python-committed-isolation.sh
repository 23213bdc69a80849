#!/usr/bin/env bash
# kafka-python 3.0.12, with a broker of Apache Kafka 4.3.0: committed() beside an open transaction depends on
# isolation_level.
#
# A group's offset is committed as 5. A transactional producer sends the offset 9 for the group in a transaction, and
# has not ended it. Another consumer of the group asks for the committed offset. One expects isolation_level to concern
# records alone, and committed() to wait in both cases, as Kafka's Java consumer does since KIP-447: a consumer that
# takes partitions over from a dead one would otherwise read again what that transaction may still commit. Seen instead:
#
# - With isolation_level="read_uncommitted", the default, committed() answers 5 at once. When the transaction is then
#   committed, the records up to 9 are processed twice.
# - With "read_committed" it waits until the transaction ends; each question meanwhile is logged at level ERROR as
#   "Unknown error fetching offsets", although nothing is wrong.
#
# For a code base that hands offsets over by transactions: set read_committed on whatever reads committed offsets, or
# end the predecessor's transaction first (init_transactions with its transactional id); and ask with read_uncommitted
# where the last finished commit is wanted without a wait. Needs Java (17 or newer) and Maven. Exits with 0 while this
# is so, and with 1 when it has changed.
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
cat >"$folder/committed.py" <<'PYTHON'
import logging
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

servers = sys.argv[1]
partition = TopicPartition("input", 0)
admin = KafkaAdminClient(bootstrap_servers=servers)
admin.create_topics({"input": {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
admin.close()

first = KafkaConsumer(bootstrap_servers=servers, group_id="group", enable_auto_commit=False)
first.assign([partition])
first.commit({partition: OffsetAndMetadata(5, "", -1)})

logged = []
handler = logging.Handler()
handler.emit = lambda record: logged.append((record.levelname, record.getMessage()[:32]))
logging.getLogger("kafka").addHandler(handler)

producer = KafkaProducer(bootstrap_servers=servers, transactional_id="worker")
producer.init_transactions()
producer.begin_transaction()
producer.send_offsets_to_transaction({partition: OffsetAndMetadata(9, "", -1)}, "group")
producer.flush(timeout=60)

consumers = {
    level: KafkaConsumer(bootstrap_servers=servers, group_id="group", enable_auto_commit=False, isolation_level=level)
    for level in ("read_uncommitted", "read_committed")
}
for level, consumer in consumers.items():
    try:
        answer = consumer.committed(partition, timeout_ms=3000)
    except KafkaTimeoutError:
        answer = "none within 3 s"
    errors = sorted({message for name, message in logged if name == "ERROR"})
    print(f"{level}, transaction open: {answer}; logged at ERROR: {errors}")
producer.commit_transaction()
# This one waits until the transaction has ended on the broker, too.
for level in ("read_committed", "read_uncommitted"):
    print(f"{level}, transaction committed: {consumers[level].committed(partition, timeout_ms=30000)}")
for each in (first, *consumers.values()):
    each.close()
producer.close()
PYTHON
seen=$("$folder/venv/bin/python" "$folder/committed.py" "127.0.0.1:$port" 2>"$folder/errors") ||
  { cat "$folder/errors"; exit 1; }
echo "$seen"
expected="read_uncommitted, transaction open: 5; logged at ERROR: []
read_committed, transaction open: none within 3 s; logged at ERROR: ['Unknown error fetching offsets f']
read_committed, transaction committed: 9
read_uncommitted, transaction committed: 9"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:" && echo "$expected"; exit 1; }
