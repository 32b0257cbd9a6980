#!/usr/bin/env bash
# guess:   a load tool that is told to make 100 requests makes 100, also when the server closes each connection after
#          its answer, as `Connection: close` says: it connects again, or it counts errors.
# with:    autocannon 9.0.0 (Node.js 20)
# happens: it makes 50. After each answer the next request is written to the connection that is about to close, and
#          counts as sent; the one after it goes to a new one. Half of `-a` is never answered, and the result says
#          neither error nor timeout nor reset. Only `sent` and the number of answers, side by side, tell.
# seen:
#   | keep-alive: the server saw 100, answered 100, sent 100, errors 0, resets 0
#   | connection: close: the server saw 50, answered 50, sent 100, errors 0, resets 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --prefix "$folder" --cache "$folder/npm" --silent --no-audit --no-fund autocannon@9.0.0 || exit 2

cat >"$folder/probe.cjs" <<'JS'
const http = require("http");
const autocannon = require("autocannon");

async function probe(name, headers) {
  let seen = 0;
  const server = http.createServer((request, response) => {
    seen += 1;
    response.writeHead(200, { ...headers, "content-length": 2 });
    response.end("ok");
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${server.address().port}/`;
  const said = await autocannon({ url, amount: 100, connections: 10 });
  console.log(
    `${name}: the server saw ${seen}, answered ${said["2xx"]}, sent ${said.requests.sent},` +
      ` errors ${said.errors + said.timeouts}, resets ${said.resets}`,
  );
  server.close();
}

probe("keep-alive", {}).then(() => probe("connection: close", { connection: "close" })).then(() => process.exit());
JS
seen=$(cd "$folder" && timeout 60 node probe.cjs)
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
