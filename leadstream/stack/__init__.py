"""Kafka, schema registry, Postgres and S3 on one machine: real parts, no Docker, all under one home."""
