#!/usr/bin/env bash
# Apache Kafka 4.3.0: what the broker says about a static member of a consumer group that another process has replaced.
#
# A consumer (kafka-python 3.0.12) with a group.instance.id ends, and keeps its place in the group. Another process,
# with another client id and from another address, joins under the same group.instance.id and gets the partition. One
# expects DescribeGroups to show the process that is there. Seen instead: member id and user data are those of the
# newcomer, but client id and client host are still those of the process that has ended. In a group that is new, the
# same newcomer is shown with its own.
#
# For a code base that shows or finds workers by client id or host: let each member put its own into the user data of
# its subscription. Needs Linux (for the address 127.0.0.2), Java (17 or newer) and Maven. Exits with 0 while this is
# so, and with 1 when it has changed.
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
cat >"$folder/member.py" <<'PYTHON'
import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.net.inet import KafkaNetSocket

servers, group, client_id, address = sys.argv[1:]


class Bound(KafkaNetSocket):
    """Connects from the given address."""

    SCHEMES = ("bound",)

    def socket(self, *arguments):
        made = super().socket(*arguments)
        made.bind((address, 0))
        return made


class WithUserData(RoundRobinPartitionAssignor):
    """Sends the client id as user data of the subscription."""

    @classmethod
    def metadata(cls, topics):
        subscription = super().metadata(topics)
        subscription.user_data = client_id.encode()
        return subscription


admin = KafkaAdminClient(bootstrap_servers=servers)
if "queue" not in admin.list_topics():
    admin.create_topics({"queue": {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
consumer = KafkaConsumer(
    "queue",
    bootstrap_servers=servers,
    client_id=client_id,
    group_id=group,
    group_instance_id="worker-1",
    partition_assignment_strategy=[WithUserData],
    proxy_url="bound://",
)
deadline = time.monotonic() + 60
while not consumer.assignment() and time.monotonic() < deadline:
    consumer.poll(timeout_ms=200)
(member,) = admin.describe_groups([group])[group]["members"]
print(
    f"{group}: {client_id} ({len(consumer.assignment())} partition, {address}) shown with",
    "own member id," if member["member_id"] == consumer.group_metadata().member_id else "another member id,",
    f"user data {member['member_metadata']['user_data']},",
    f"client id {member['client_id']}, host {member['client_host']}",
)
consumer.close()
admin.close()
PYTHON
run() { "$folder/venv/bin/python" "$folder/member.py" "127.0.0.1:$port" "$@"; }
seen=$(
  run replaced old 127.0.0.1 &&
  run replaced new 127.0.0.2 &&
  run fresh new 127.0.0.2
)
echo "$seen"
expected="replaced: old (1 partition, 127.0.0.1) shown with own member id, user data old, client id old, host /127.0.0.1
replaced: new (1 partition, 127.0.0.2) shown with own member id, user data new, client id old, host /127.0.0.1
fresh: new (1 partition, 127.0.0.2) shown with own member id, user data new, client id new, host /127.0.0.2"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:" && echo "$expected"; exit 1; }
