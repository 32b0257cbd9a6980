#!/usr/bin/env bash
# guess:   with 2 requests in 3 s, used up at 0 s, a request at 2.5 s is refused, and one at 3.3 s is admitted: the two
#          hits have left the window by then.
# with:    @nestjs/throttler 6.7.1, @nestjs/core, common and platform-express 12.5.1 (with reflect-metadata 0.2.2,
#          rxjs 7.8.2, Node.js 20)
# happens: the refusal at 2.5 s blocks for 3 s from that moment (`blockDuration` is `ttl` unless set), whatever has left
#          the window meanwhile; Retry-After says 3. One request that is too early costs a client a whole window more.
# seen:
#   | 0.0 s: 200
#   | 0.0 s: 200
#   | 2.5 s: 429, Retry-After 3
#   | 3.3 s: 429, Retry-After 3
#   | 5.8 s: 200
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --prefix "$folder" --cache "$folder/npm" --silent --no-audit --no-fund @nestjs/throttler@6.7.1 \
  @nestjs/common@12.5.1 @nestjs/core@12.5.1 @nestjs/platform-express@12.5.1 reflect-metadata@0.2.2 rxjs@7.8.2 || exit 2

cat >"$folder/probe.mjs" <<'JS'
import "reflect-metadata";
import { setTimeout as sleep } from "node:timers/promises";
import { Controller, Get, Module } from "@nestjs/common";
import { APP_GUARD, NestFactory } from "@nestjs/core";
import { ThrottlerGuard, ThrottlerModule } from "@nestjs/throttler";

class Pages {
  page() {
    return "ok";
  }
}
Get()(Pages.prototype, "page", Object.getOwnPropertyDescriptor(Pages.prototype, "page"));
Controller()(Pages);

class App {}
Module({
  imports: [ThrottlerModule.forRoot([{ limit: 2, ttl: 3000 }])],
  controllers: [Pages],
  providers: [{ provide: APP_GUARD, useClass: ThrottlerGuard }],
})(App);

const app = await NestFactory.create(App, { logger: ["error", "fatal"] });
await app.listen(0, "127.0.0.1");
const url = `http://127.0.0.1:${app.getHttpServer().address().port}/`;

const start = performance.now();
for (const at of [0, 0, 2.5, 3.3, 5.8]) {
  await sleep(Math.max(0, at * 1000 - (performance.now() - start)));
  const response = await fetch(url);
  await response.text();
  const wait = response.headers.get("retry-after");
  console.log(`${at.toFixed(1)} s: ${response.status}${wait ? `, Retry-After ${wait}` : ""}`);
}
await app.close();
process.exit();
JS
seen=$(cd "$folder" && timeout 60 node probe.mjs)
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
