// Arguments: PORT LIMIT WINDOW_S
import Koa from "koa";
import rateLimit from "koa-ratelimit";

const [port, max, windowSeconds] = process.argv.slice(2).map(Number);

const app = new Koa();
app.use(rateLimit({ driver: "memory", db: new Map(), duration: windowSeconds * 1000, max, id: (context) => context.ip }));
app.use((context) => {
  context.body = "ok";
});
app.listen(port, "127.0.0.1");
