// Arguments: PORT LIMIT WINDOW_S legacy | draft-6 | draft-7 | draft-8 | two-draft-6 | two-draft-8
import express from "express";
import { rateLimit } from "express-rate-limit";

const [port, limit, windowSeconds] = process.argv.slice(2, 5).map(Number);
const [two, headers] = /^(two-)?(.*)$/.exec(process.argv[5]).slice(1);

const limiter = (limit, windowSeconds) =>
  rateLimit({
    windowMs: windowSeconds * 1000,
    limit,
    legacyHeaders: headers === "legacy",
    standardHeaders: headers === "legacy" ? false : headers,
  });

const app = express();
if (two) app.use(limiter(3 * limit, 4 * windowSeconds));
app.use(limiter(limit, windowSeconds));
app.use((_, response) => response.send("ok"));
app.listen(port, "127.0.0.1");
