"""The contracts between the stages: Avro schemas, topics, headers, the registry client and the codec."""
