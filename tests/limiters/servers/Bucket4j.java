// Arguments: PORT LIMIT WINDOW_S
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.cache.annotation.EnableCaching;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@EnableAutoConfiguration
@EnableCaching
@RestController
public class Bucket4j {
  @GetMapping("/")
  String page() {
    return "ok";
  }

  public static void main(String[] arguments) {
    var application = new SpringApplication(Bucket4j.class);
    var bandwidth = "bucket4j.filters[0].rate-limits[0].bandwidths[0].";
    application.setDefaultProperties(
        Map.of(
            "server.address", "127.0.0.1",
            "server.port", arguments[0],
            "logging.level.root", "ERROR",
            "spring.cache.cache-names", "buckets",
            "bucket4j.filters[0].cache-name", "buckets",
            "bucket4j.filters[0].url", ".*",
            bandwidth + "capacity", arguments[1],
            bandwidth + "time", arguments[2],
            bandwidth + "unit", "seconds"));
    application.run();
  }
}
