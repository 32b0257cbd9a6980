// Arguments: PORT LIMIT WINDOW_S
import rateLimit from "@fastify/rate-limit";
import Fastify from "fastify";

const [port, max, windowSeconds] = process.argv.slice(2).map(Number);

const app = Fastify();
await app.register(rateLimit, { max, timeWindow: windowSeconds * 1000 });
app.get("/*", async () => "ok");
await app.listen({ port, host: "127.0.0.1" });
