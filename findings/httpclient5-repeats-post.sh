#!/usr/bin/env bash
# guess:   Apache HttpClient sends a POST once. If it retries at all, then what is idempotent: that is what its
#          DefaultHttpRequestRetryStrategy checks when a connection breaks.
# with:    org.apache.httpcomponents.client5:httpclient5 5.6.5 (JDK 17 and 25; needs java and mvn)
# happens: an answer of 503 or 429 makes a client without any configuration wait a second and send the same request
#          again, whatever its method: the check of the method belongs to broken connections only. The caller gets
#          the second answer and is not told of the first.
# seen:
#   | GET answered 503: sent 2 times
#   | POST answered 503: sent 2 times
#   | PATCH answered 503: sent 2 times
#   | POST answered 500: sent 1 times
#   | POST cut off before an answer: sent 1 times
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/pom.xml" <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>probe</groupId><artifactId>probe</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.httpcomponents.client5</groupId><artifactId>httpclient5</artifactId><version>5.6.5</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B -f "$folder/pom.xml" -Dmaven.repo.local="$folder/m2" dependency:copy-dependencies \
  -DoutputDirectory="$folder/lib" >&2 || exit 2

cat >"$folder/Probe.java" <<'JAVA'
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.hc.client5.http.classic.methods.HttpUriRequestBase;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.core5.http.io.entity.StringEntity;

public class Probe {
  public static void main(String[] arguments) throws Exception {
    var sent = new AtomicInteger();
    var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.createContext("/", exchange -> {
      sent.incrementAndGet();
      exchange.getRequestBody().readAllBytes();
      int status = Integer.parseInt(exchange.getRequestURI().getPath().substring(1));
      if (status == 0) throw new IOException("cut off");
      exchange.sendResponseHeaders(status, -1);
      exchange.close();
    });
    server.start();
    var base = "http://127.0.0.1:" + server.getAddress().getPort() + "/";
    for (var asked : new String[] {"GET 503", "POST 503", "PATCH 503", "POST 500", "POST 0"}) {
      var method = asked.split(" ")[0];
      var status = asked.split(" ")[1];
      sent.set(0);
      try (var client = HttpClients.createDefault()) {
        var request = new HttpUriRequestBase(method, java.net.URI.create(base + status));
        if (!method.equals("GET")) request.setEntity(new StringEntity("an order"));
        client.execute(request, response -> response.getCode());
      } catch (IOException cut) {
        // Counted below.
      }
      var end = status.equals("0") ? " cut off before an answer" : " answered " + status;
      System.out.println(method + end + ": sent " + sent + " times");
    }
    System.exit(0);
  }
}
JAVA
seen=$(timeout 60 java -cp "$folder/lib/*" "$folder/Probe.java" 2>/dev/null)
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
