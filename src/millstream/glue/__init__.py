"""`millstream glue`: the table of the AWS Glue catalogue by which Athena reads what a pipeline writes."""
