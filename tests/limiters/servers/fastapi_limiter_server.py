"""Arguments: PORT LIMIT WINDOW_S."""

import sys

import uvicorn
from fastapi import Depends, FastAPI
from fastapi_limiter.depends import RateLimiter
from pyrate_limiter import Duration, Limiter, Rate

port, limit, window_s = map(int, sys.argv[1:4])

app = FastAPI()
limiter = Limiter(Rate(limit, Duration.SECOND * window_s))


@app.get("/", dependencies=[Depends(RateLimiter(limiter=limiter))])
async def page() -> str:
    return "ok"


uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
