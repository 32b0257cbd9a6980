#!/usr/bin/env bash
# guess:   a Node server to which a WebSocket server is attached answers plain HTTP requests as it did before, to
#          curl and to Java's HttpClient alike.
# with:    ws 8.23.0 on Node.js 20; java.net.http.HttpClient of JDK 17 and 25 (needs java and node)
# happens: Java's client asks for HTTP/2 with every first http:// request: `Connection: Upgrade, HTTP2-Settings`,
#          `Upgrade: h2c`. A server may ignore that, and Node's does, until somebody listens for `upgrade`: from then
#          on such requests go to ws alone, which refuses what is no WebSocket. The handler never sees them. Either
#          side is fine without the other; `version(HTTP_1_1)` on the client helps.
# seen:
#   | without ws: curl handler 200 | Java GET handler 200, POST handler 200
#   | with ws: curl handler 200 | Java GET Invalid Upgrade header 400, POST Invalid HTTP method 405
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
npm install --prefix "$folder" --cache "$folder/npm" --silent --no-audit --no-fund ws@8.23.0 || exit 2

cat >"$folder/server.cjs" <<'JS'
const http = require("http");
const { WebSocketServer } = require("ws");

const server = http.createServer((request, response) => request.resume().on("end", () => response.end("handler")));
if (process.argv[2] === "with") new WebSocketServer({ server });
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
JS
cat >"$folder/Ask.java" <<'JAVA'
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.StringJoiner;

public class Ask {
  public static void main(String[] arguments) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(arguments[0]));
    var said = new StringJoiner(", ");
    for (var each : new HttpRequest[] {request.GET().build(), request.POST(BodyPublishers.ofString("x")).build()}) {
      var response = HttpClient.newHttpClient().send(each, BodyHandlers.ofString());
      said.add(each.method() + " " + response.body() + " " + response.statusCode());
    }
    System.out.println(said);
  }
}
JAVA
seen=$(
  for how in without with; do
    (cd "$folder" && exec timeout 60 node server.cjs "$how") >"$folder/$how" &
    for _ in $(seq 100); do [ -s "$folder/$how" ] && break; sleep 0.1; done
    url="http://127.0.0.1:$(cat "$folder/$how")/"
    echo "$how ws: curl $(curl -sw ' %{http_code}' "$url") | Java $(timeout 60 java "$folder/Ask.java" "$url")"
    kill $!
  done
)
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
