#!/usr/bin/env bash
# guess:   a retry of a GET whose body broke off gives the one version or the other, or an error where the file has
#          changed in between: the server says so in Last-Modified and ETag.
# with:    undici 7.30.2 (RetryAgent; Node.js 20)
# happens: RetryAgent asks for the rest with `Range`. With a strong ETag it adds If-Match and compares. With a weak
#          one, or Last-Modified alone, or neither, it sends no condition and compares nothing: the body is the
#          beginning of one version and the end of another, with status 200 and no error.
# seen:
#   | no validator: asked again with range; status 200 body AAAAABBBBB
#   | last-modified: asked again with range; status 200 body AAAAABBBBB
#   | weak etag: asked again with range; status 200 body AAAAABBBBB
#   | strong etag: asked again with range, if-match; error UND_ERR_REQ_RETRY
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --prefix "$folder" --cache "$folder/npm" --silent --no-audit --no-fund undici@7.30.2 || exit 2

cat >"$folder/probe.mjs" <<'JS'
import http from "node:http";
import { Agent, RetryAgent, request } from "undici";

const validators = {
  "no validator": () => ({}),
  "last-modified": (version) => ({ "last-modified": `Tue, 06 Jan 2026 00:00:0${version} GMT` }),
  "weak etag": (version) => ({ etag: `W/"${version}"` }),
  "strong etag": (version) => ({ etag: `"${version}"` }),
};
for (const [name, validator] of Object.entries(validators)) {
  let conditions;
  const server = http.createServer((asked, answer) => {
    if (asked.headers.range === undefined) {
      answer.writeHead(200, { "content-length": 10, "accept-ranges": "bytes", ...validator(1) });
      answer.write("AAAAA", () => setTimeout(() => answer.destroy(), 200));
    } else {
      conditions = ["range", "if-match", "if-range", "if-unmodified-since"].filter((field) => field in asked.headers);
      answer.writeHead(206, { "content-length": 5, "content-range": "bytes 5-9/10", ...validator(2) });
      answer.end("BBBBB");
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const dispatcher = new RetryAgent(new Agent(), { minTimeout: 10, maxRetries: 1 });
  const url = `http://127.0.0.1:${server.address().port}/`;
  const said = await request(url, { dispatcher }).then(
    async ({ statusCode, body }) => `status ${statusCode} body ${await body.text()}`,
  ).catch((error) => `error ${error.code}`);
  console.log(`${name}: asked again with ${conditions.join(", ")}; ${said}`);
  server.close();
}
process.exit();
JS
seen=$(cd "$folder" && timeout 60 node probe.mjs)
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
