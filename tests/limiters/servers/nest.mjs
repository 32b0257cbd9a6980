// Arguments: PORT LIMIT WINDOW_S unnamed | named. Decorators are called by hand: this is no TypeScript.
import "reflect-metadata";
import { Controller, Get, Module } from "@nestjs/common";
import { APP_GUARD, NestFactory } from "@nestjs/core";
import { ThrottlerGuard, ThrottlerModule } from "@nestjs/throttler";

const [port, limit, windowSeconds] = process.argv.slice(2, 5).map(Number);
const name = process.argv[5] === "named" ? { name: "short" } : {};

class Pages {
  page() {
    return "ok";
  }
}
Get()(Pages.prototype, "page", Object.getOwnPropertyDescriptor(Pages.prototype, "page"));
Controller()(Pages);

class App {}
Module({
  imports: [ThrottlerModule.forRoot([{ ...name, limit, ttl: windowSeconds * 1000 }])],
  controllers: [Pages],
  providers: [{ provide: APP_GUARD, useClass: ThrottlerGuard }],
})(App);

const app = await NestFactory.create(App, { logger: ["error", "fatal"] });
await app.listen(port, "127.0.0.1");
