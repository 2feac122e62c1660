#!/bin/sh
# Gives each stage the rights that it needs in Kafka, and no others.
# Written by `python -m schemas.kafka_rights`; a test holds the two together.
#
#   ADMIN='--bootstrap-server broker:9093 --command-config admin.properties' ops/kafka-acls.sh
#
# Each stage logs in as the user of its name; other names: PRODUCER=User:ingest … (with certificates, the
# whole subject: SINK='User:CN=sink,O=example').
set -eu
: "${ADMIN:?options for kafka-acls.sh: --bootstrap-server …}"
acls() { "${KAFKA_ACLS:-kafka-acls.sh}" $ADMIN --add "$@"; }

: "${PRODUCER:=User:producer}"
# makes the topics that are missing, also those of a new source
acls --allow-principal "$PRODUCER" --operation Describe --operation Create --topic leads. --resource-pattern-type prefixed
# the rows; reads earlier ones to judge a changed header
acls --allow-principal "$PRODUCER" --operation Read --operation Write --topic leads.raw. --resource-pattern-type prefixed
# what was split
acls --allow-principal "$PRODUCER" --operation Read --operation Write --topic leads.ledger
# the steps of a load
acls --allow-principal "$PRODUCER" --operation Write --topic leads.loads
# rows that cannot be split
acls --allow-principal "$PRODUCER" --operation Write --topic leads.dlq
# approvals
acls --allow-principal "$PRODUCER" --operation Read --topic leads.commands
# shares the lanes
acls --allow-principal "$PRODUCER" --operation Read --group leadstream-producer-lanes
# its transactions
acls --allow-principal "$PRODUCER" --operation Write --transactional-id leadstream-producer- --resource-pattern-type prefixed

: "${PROCESSORS:=User:processors}"
# makes the topics that are missing, also those of a new source
acls --allow-principal "$PROCESSORS" --operation Describe --operation Create --topic leads. --resource-pattern-type prefixed
# the rows
acls --allow-principal "$PROCESSORS" --operation Read --topic leads.raw. --resource-pattern-type prefixed
# what is known of each lead
acls --allow-principal "$PROCESSORS" --operation Read --operation Write --topic leads.state. --resource-pattern-type prefixed
# the leads; reads one back to say what changed
acls --allow-principal "$PROCESSORS" --operation Read --operation Write --topic leads.canonical
# the steps of a load
acls --allow-principal "$PROCESSORS" --operation Read --operation Write --topic leads.loads
# rows that fail, and are tried again
acls --allow-principal "$PROCESSORS" --operation Read --operation Write --topic leads.dlq
# approvals, replays, retries
acls --allow-principal "$PROCESSORS" --operation Read --topic leads.commands
# the receipts, folded and read back
acls --allow-principal "$PROCESSORS" --operation Read --operation Write --topic leads.receipts
# alerts
acls --allow-principal "$PROCESSORS" --operation Write --topic leads.alerts
# shares the lanes
acls --allow-principal "$PROCESSORS" --operation Read --group leadstream-processors-lanes
# how far the raw topics are read
acls --allow-principal "$PROCESSORS" --operation Read --group leadstream-processors
# Faust's group
acls --allow-principal "$PROCESSORS" --operation Read --group leadstream-receipts
# its transactions
acls --allow-principal "$PROCESSORS" --operation Write --transactional-id leadstream-processors- --resource-pattern-type prefixed

: "${SINK:=User:sink}"
# makes the topics that are missing, also those of a new source
acls --allow-principal "$SINK" --operation Describe --operation Create --topic leads. --resource-pattern-type prefixed
# the leads
acls --allow-principal "$SINK" --operation Read --topic leads.canonical
# the steps of a load
acls --allow-principal "$SINK" --operation Read --topic leads.loads
# the dead letters
acls --allow-principal "$SINK" --operation Read --topic leads.dlq
# shares the partitions
acls --allow-principal "$SINK" --operation Read --group leadstream-sink

: "${SUBSCRIBER:=User:subscriber}"
# the leads, personal data included
acls --allow-principal "$SUBSCRIBER" --operation Read --topic leads.canonical
# tail --group; a subscriber's own group beside it
acls --allow-principal "$SUBSCRIBER" --operation Read --group leadstream-tail- --resource-pattern-type prefixed

: "${OPERATOR:=User:operator}"
# tail, leads show, previews; makes the topics that are missing
acls --allow-principal "$OPERATOR" --operation Read --operation Create --topic leads. --resource-pattern-type prefixed
# loads approve, replay, dlq retry, forget
acls --allow-principal "$OPERATOR" --operation Write --topic leads.commands
# forget: what the letters of a person hold is erased
acls --allow-principal "$OPERATOR" --operation Write --topic leads.dlq
# forget: waits until it is carried out
acls --allow-principal "$OPERATOR" --operation Describe --group leadstream-processors
# replay, of rows that retention has taken from the topic
acls --allow-principal "$OPERATOR" --operation Write --topic leads.raw. --resource-pattern-type prefixed
# tail --group
acls --allow-principal "$OPERATOR" --operation Read --group leadstream-tail- --resource-pattern-type prefixed
# its transactions
acls --allow-principal "$OPERATOR" --operation Write --transactional-id leadstream-commands- --resource-pattern-type prefixed
# its transactions
acls --allow-principal "$OPERATOR" --operation Write --transactional-id leadstream-restore- --resource-pattern-type prefixed
