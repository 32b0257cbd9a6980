// Arguments: PORT LIMIT WINDOW_S draft-6 | draft-7
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { rateLimiter } from "hono-rate-limiter";

const [port, limit, windowSeconds] = process.argv.slice(2, 5).map(Number);

const app = new Hono();
app.use(
  rateLimiter({
    windowMs: windowSeconds * 1000,
    limit,
    standardHeaders: process.argv[5],
    keyGenerator: () => "everybody",
  }),
);
app.get("*", (context) => context.text("ok"));
serve({ fetch: app.fetch, port, hostname: "127.0.0.1" });
