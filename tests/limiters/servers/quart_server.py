"""Arguments: PORT LIMIT WINDOW_S."""

import asyncio
import sys
from datetime import timedelta

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart
from quart_rate_limiter import RateLimit, RateLimiter

port, limit, window_s = map(int, sys.argv[1:4])

app = Quart(__name__)
RateLimiter(app, default_limits=[RateLimit(limit, timedelta(seconds=window_s))])


@app.get("/")
async def page() -> str:
    return "ok"


config = Config()
config.bind = [f"127.0.0.1:{port}"]
asyncio.run(serve(app, config))
