// Arguments: PORT LIMIT WINDOW_S, whose limit has to be a multiple of the window. Needs redis-server and setpriv.
import java.net.ServerSocket;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.cloud.gateway.filter.ratelimit.KeyResolver;
import org.springframework.context.annotation.Bean;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import reactor.core.publisher.Mono;

@EnableAutoConfiguration
@RestController
public class Gateway {
  @GetMapping("/page")
  String page() {
    return "ok";
  }

  @Bean
  KeyResolver everybody() {
    return exchange -> Mono.just("everybody");
  }

  public static void main(String[] arguments) throws Exception {
    var limit = Integer.parseInt(arguments[1]);
    var route = "spring.cloud.gateway.server.webflux.routes[0].";
    var limiter = route + "filters[0].args.redis-rate-limiter.";
    var application = new SpringApplication(Gateway.class);
    application.setDefaultProperties(
        Map.ofEntries(
            Map.entry("server.address", "127.0.0.1"),
            Map.entry("server.port", arguments[0]),
            Map.entry("logging.level.root", "ERROR"),
            Map.entry("spring.data.redis.port", startRedis()),
            Map.entry(route + "id", "page"),
            Map.entry(route + "uri", "forward:/page"),
            Map.entry(route + "predicates[0]", "Path=/"),
            Map.entry(route + "filters[0].name", "RequestRateLimiter"),
            Map.entry(limiter + "replenishRate", limit / Integer.parseInt(arguments[2])),
            Map.entry(limiter + "burstCapacity", limit)));
    application.run();
  }

  /** Starts a Redis that keeps nothing and ends with this process, and returns its port. */
  static int startRedis() throws Exception {
    int port;
    try (var probe = new ServerSocket(0)) {
      port = probe.getLocalPort();
    }
    new ProcessBuilder(
            "setpriv", "--pdeathsig", "KILL",
            "redis-server", "--bind", "127.0.0.1", "--port", "" + port, "--save", "")
        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
        .start();
    return port;
  }
}
