// Usage: node node.mjs PORT IDLE_S SITE TLS: plain HTTP/1.1, or with TLS=1 HTTP/2 and HTTP/1.1 as the client chooses.
import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import { extname, join } from "node:path";
import { createGzip } from "node:zlib";

const [port, idleS, site, tls] = process.argv.slice(2);
const TYPES = { ".html": "text/html", ".txt": "text/plain", ".bin": "application/octet-stream" };

function post(request, response) {
    const hash = createHash("sha256");
    request.on("data", (data) => hash.update(data));
    request.on("end", () => response.end(hash.digest("hex")));
}

function chunked(response) {
    const body = readFileSync(join(site, "chunked.txt"));
    response.writeHead(200, { "content-type": "text/plain" });
    for (let at = 0; at < body.length; at += 1000) response.write(body.subarray(at, at + 1000));
    response.end();
}

function answer(request, response) {
    const path = new URL(request.url, "http://localhost").pathname;
    if (request.method === "POST") return post(request, response);
    if (path === "/chunked") return chunked(response);
    let found;
    try {
        found = statSync(join(site, path));
    } catch {
        response.writeHead(404);
        return response.end();
    }
    const zips = path.endsWith(".html") && /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
    const etag = `"${found.size}-${zips ? "gzip" : "plain"}"`;
    const headers = {
        "content-type": TYPES[extname(path)] ?? "text/plain",
        "last-modified": found.mtime.toUTCString(),
        vary: "accept-encoding",
        etag,
    };
    if ((request.headers["if-none-match"] ?? "").split(", ").includes(etag)) {
        response.writeHead(304, headers);
        return response.end();
    }
    let [start, end, status] = [0, found.size - 1, 200];
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    if (range && !zips) {
        [start, end, status] = [Number(range[1]), Math.min(Number(range[2]), end), 206];
        headers["content-range"] = `bytes ${start}-${end}/${found.size}`;
    }
    if (zips) headers["content-encoding"] = "gzip";
    else headers["content-length"] = end - start + 1;
    response.writeHead(status, headers);
    if (request.method === "HEAD") return response.end();
    const file = createReadStream(join(site, path), { start, end });
    return zips ? file.pipe(createGzip()).pipe(response) : file.pipe(response);
}

const pem = tls === "1" ? readFileSync(join(site, "../cert.pem")) : null;
const server = pem
    ? http2.createSecureServer({ key: pem, cert: pem, allowHTTP1: true }, answer)
    : http.createServer({ keepAliveTimeout: Number(idleS) * 1000 }, answer);
if (pem) server.on("session", (session) => session.setTimeout(Number(idleS) * 1000, () => session.close()));
server.listen(Number(port), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
