"""From a table of requests to a table of answers, without a Python object per row (needs polars)."""

from __future__ import annotations

import polars

import hurtle
from hurtle.testing import Server


def main() -> None:
    """Fetch the URL of every row and count the answers by customer and status."""
    with Server() as server:
        orders = polars.DataFrame(
            {
                "url": [server.url(f"/status/{200 if number % 7 else 404}") for number in range(1000)],
                "customer": [number % 3 for number in range(1000)],
            }
        )
        answers = polars.DataFrame(hurtle.stream_arrow(orders, concurrency_per_host=64))
        customer = polars.col("meta").str.json_path_match("$.customer").alias("customer")
        print(answers.group_by(customer, "status").len().sort("customer", "status"))


if __name__ == "__main__":
    main()
