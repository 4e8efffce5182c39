"""Items that cost more than 10, with a discount on those that cost more than 50.

millstream run examples/price_discount/pipeline.py:items examples/price_discount/items.json --out discounted
"""

from millstream import Pipeline, col, when

items = (
    Pipeline({"id": "int64", "name": "string", "price": "float64"}, name="price_discount", output={"format": "parquet"})
    .drop_nulls("price")
    .filter(col("price") > 10)
    .with_columns(discount=when(col("price") > 50).then(col("price") * 0.1))
)
