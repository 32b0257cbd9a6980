// Arguments: PORT LIMIT WINDOW_S
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/middleware/stdlib"
	"github.com/ulule/limiter/v3/drivers/store/memory"
)

func main() {
	limit, _ := strconv.ParseInt(os.Args[2], 10, 64)
	seconds, _ := strconv.Atoi(os.Args[3])
	rate := limiter.Rate{Limit: limit, Period: time.Duration(seconds) * time.Second}
	limited := stdlib.NewMiddleware(limiter.New(memory.NewStore(), rate))
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], limited.Handler(page)))
}
