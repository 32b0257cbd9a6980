// Arguments: PORT LIMIT WINDOW_S bare | readme (with the headers that its README sets)
import express from "express";
import { RateLimiterMemory } from "rate-limiter-flexible";

const [port, points, duration] = process.argv.slice(2, 5).map(Number);
const withHeaders = process.argv[5] === "readme";

const limiter = new RateLimiterMemory({ points, duration });

const headersOf = (result) => ({
  "Retry-After": result.msBeforeNext / 1000,
  "X-RateLimit-Limit": points,
  "X-RateLimit-Remaining": result.remainingPoints,
  "X-RateLimit-Reset": Math.ceil((Date.now() + result.msBeforeNext) / 1000),
});

const app = express();
app.use(async (request, response, next) => {
  const [admitted, result] = await limiter.consume(request.ip).then(
    (result) => [true, result],
    (result) => [false, result],
  );
  if (withHeaders) response.set(headersOf(result));
  if (admitted) next();
  else response.status(429).send("Too Many Requests");
});
app.use((_, response) => response.send("ok"));
app.listen(port, "127.0.0.1");
