"""What Lambda's pollers do with Kinesis shards and SQS queues. Time and chance come from the caller; nothing here waits or calls."""
