"""Arguments: PORT LIMIT WINDOW_S delta-seconds | http-date."""

import sys

import uvicorn
from fastapi import FastAPI, Request, Response
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address

port, limit, window_s, retry_after = sys.argv[1:]

limiter = Limiter(get_remote_address, headers_enabled=True, retry_after=retry_after)
app = FastAPI()
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)


@app.get("/")
@limiter.limit(f"{limit} per {window_s} seconds")
async def page(request: Request, response: Response) -> str:
    return "ok"


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error")
