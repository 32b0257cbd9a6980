"""Arguments: PORT LIMIT WINDOW_S fixed-window | moving-window | http-date (with fixed windows)."""

import sys

import waitress
from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

port, limit, window_s, variant = sys.argv[1:]

app = Flask(__name__)
Limiter(
    get_remote_address,
    app=app,
    application_limits=[f"{limit} per {window_s} seconds"],
    strategy="fixed-window" if variant == "http-date" else variant,
    headers_enabled=True,
    retry_after="http-date" if variant == "http-date" else "delta-seconds",
    storage_uri="memory://",
)


@app.get("/")
def page() -> str:
    return "ok"


waitress.serve(app, host="127.0.0.1", port=int(port))
