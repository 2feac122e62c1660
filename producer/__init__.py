"""From a file in S3 to one message a row on the source's raw topic, exactly once."""
