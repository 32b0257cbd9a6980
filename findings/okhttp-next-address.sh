#!/usr/bin/env bash
# guess:   of a host with several addresses, OkHttp tries the next one when it cannot connect. A POST that was sent
#          whole and got no answer fails: whether it was carried out is not known.
# with:    com.squareup.okhttp3:okhttp-jvm 5.5.1 (JDK 17 and 25; needs java and mvn)
# happens: the POST is sent again, to the next address, and its answer is returned: two machines have the order, and
#          the caller sees a 200. `retryOnConnectionFailure`, on unless switched off, covers a connection that ends
#          after the request was written, for any method whose body can be written twice. With one address there is
#          nowhere to go, and the call fails as guessed.
# seen:
#   | one address: IOException, received by 127.0.0.1
#   | two addresses: status 200, received by 127.0.0.1 127.0.0.2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/pom.xml" <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>probe</groupId><artifactId>probe</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>com.squareup.okhttp3</groupId><artifactId>okhttp-jvm</artifactId><version>5.5.1</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B -f "$folder/pom.xml" -Dmaven.repo.local="$folder/m2" dependency:copy-dependencies \
  -DoutputDirectory="$folder/lib" >&2 || exit 2

cat >"$folder/Probe.java" <<'JAVA'
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;

public class Probe {
  static final List<String> received = new CopyOnWriteArrayList<>();

  public static void main(String[] arguments) throws Exception {
    var first = serve("127.0.0.1", 0, "");
    serve("127.0.0.2", first, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    ask("one address", first, "127.0.0.1");
    ask("two addresses", first, "127.0.0.1", "127.0.0.2");
    System.exit(0);
  }

  /** Reads a whole request for each connection, and sends what is given, which may be nothing. */
  static int serve(String address, int port, String answer) throws IOException {
    var listener = new ServerSocket(port, 50, InetAddress.getByName(address));
    new Thread(() -> {
      while (true) {
        try (var connection = listener.accept()) {
          var lines = new BufferedReader(new InputStreamReader(connection.getInputStream()));
          int length = 0;
          for (String line; !(line = lines.readLine()).isEmpty(); ) {
            if (line.toLowerCase().startsWith("content-length:")) length = Integer.parseInt(line.substring(15).trim());
          }
          for (int left = length; left > 0; left--) lines.read();
          received.add(address);
          connection.getOutputStream().write(answer.getBytes());
        } catch (IOException gone) {
          // The next connection may be better.
        }
      }
    }).start();
    return listener.getLocalPort();
  }

  static void ask(String name, int port, String... addresses) throws Exception {
    received.clear();
    var found = new ArrayList<InetAddress>();
    for (var address : addresses) found.add(InetAddress.getByName(address));
    var client = new OkHttpClient.Builder().dns(host -> found).build();
    var order = new Request.Builder().url("http://orders.test:" + port + "/").post(RequestBody.create("an order", null));
    String said;
    try (var response = client.newCall(order.build()).execute()) {
      said = "status " + response.code();
    } catch (IOException error) {
      said = "IOException";
    }
    System.out.println(name + ": " + said + ", received by " + String.join(" ", received));
  }
}
JAVA
seen=$(timeout 60 java -cp "$folder/lib/*" "$folder/Probe.java" 2>/dev/null)
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
