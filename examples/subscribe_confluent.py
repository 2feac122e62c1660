"""Every change of a lead as a line of JSON: {"key": …, "lead": {…}}, where null says that the lead is no more."""

import json
import os

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

decode = AvroDeserializer(SchemaRegistryClient({"url": os.environ["SCHEMA_REGISTRY_URL"]}))
consumer = Consumer(
    {
        "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        "group.id": os.environ["GROUP"],
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
)
consumer.subscribe(["leads.canonical"])
try:
    while True:
        messages = consumer.consume(500, timeout=1.0)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            change = decode(message.value(), SerializationContext(message.topic(), MessageField.VALUE))
            lead = change if change and change["op"] != "d" else None
            print(json.dumps({"key": message.key().decode(), "lead": lead}, default=str), flush=True)
        if messages:
            consumer.commit(asynchronous=False)  # after the work: a change may come twice, and none is missed
finally:
    consumer.close()
