"""Users' own functions in expressions: `@udf("float64(float64, int64)")`; docs/reference/user-functions.md tells what they may be."""
