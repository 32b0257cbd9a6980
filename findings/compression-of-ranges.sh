#!/usr/bin/env bash
# guess:   a part of a file passes through a compressing middleware as it is, or the part is taken of the compressed
#          file: Content-Range counts bytes of what Content-Encoding and ETag describe.
# with:    express 5.3.0 (`express.static`), compression 1.8.2 (Node.js 20)
# happens: the range is cut from the plain file, and then compressed on its own. 3000 bytes are announced and some
#          dozens come, under the ETag that the plain file has too. Whoever puts ranges together by Content-Range,
#          a cache or a resumed download, gets neither the plain file nor the compressed one.
# seen:
#   | plain: 206 bytes 0-2999/5000, encoding none, 3000 bytes
#   | accept-encoding gzip: 206 bytes 0-2999/5000, encoding gzip, fewer bytes
#   | same ETag: true
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --prefix "$folder" --cache "$folder/npm" --silent --no-audit --no-fund express@5.3.0 compression@1.8.2 || exit 2

mkdir "$folder/files"
head -c 5000 /dev/zero | tr '\0' x >"$folder/files/file.txt"
cat >"$folder/probe.cjs" <<'JS'
const http = require("http");
const express = require("express");
const compression = require("compression");

const app = express().use(compression()).use(express.static("files"));
const ask = (port, headers) => new Promise((resolve, reject) => {
  http.get({ host: "127.0.0.1", port, path: "/file.txt", headers, agent: false }, (answer) => {
    let bytes = 0;
    answer.on("data", (data) => (bytes += data.length)).on("end", () => resolve({ answer, bytes }));
  }).on("error", reject);
});
const server = app.listen(0, "127.0.0.1", async () => {
  const { port } = server.address();
  const plain = await ask(port, { range: "bytes=0-2999" });
  const packed = await ask(port, { range: "bytes=0-2999", "accept-encoding": "gzip" });
  for (const [name, { answer, bytes }] of [["plain", plain], ["accept-encoding gzip", packed]]) {
    const { "content-range": range, "content-encoding": encoding = "none" } = answer.headers;
    const came = bytes < 3000 ? "fewer" : bytes;
    console.log(`${name}: ${answer.statusCode} ${range}, encoding ${encoding}, ${came} bytes`);
  }
  console.log(`same ETag: ${plain.answer.headers.etag === packed.answer.headers.etag}`);
  process.exit();
});
JS
seen=$(cd "$folder" && timeout 60 node probe.cjs)
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
