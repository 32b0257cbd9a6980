"""Arguments: PORT LIMIT 60; its windows are a second, a minute, an hour or a day long."""

import sys

import uvicorn
from litestar import Litestar, get
from litestar.middleware.rate_limit import RateLimitConfig

port, limit, window_s = map(int, sys.argv[1:4])
assert window_s == 60


@get("/")
async def page() -> str:
    return "ok"


app = Litestar([page], middleware=[RateLimitConfig(rate_limit=("minute", limit)).middleware])
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
