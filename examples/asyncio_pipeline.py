"""hurtle inside a running event loop: process answers as they arrive, while the loop stays free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import hurtle
from hurtle.testing import Server


async def urls(server: Server) -> AsyncIterator[str]:
    """Yield URLs as they become known, for example from a message queue."""
    for size in range(200):
        if size % 50 == 0:
            await asyncio.sleep(0.01)
        yield server.url(f"/bytes/{size}")


async def main() -> None:
    """Fetch every URL from the queue and add up the sizes."""
    total = 0
    with Server() as server:
        async with hurtle.Client(concurrency_per_host=32) as client:
            async for response in client.astream(urls(server)):
                total += len(response.content)
    print(f"{total} bytes")
    assert total == sum(range(200))


if __name__ == "__main__":
    asyncio.run(main())
