// Arguments: PORT LIMIT WINDOW_S
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
)

func main() {
	limit, _ := strconv.Atoi(os.Args[2])
	seconds, _ := strconv.Atoi(os.Args[3])
	store, err := memstore.NewCtx(1024)
	if err != nil {
		log.Fatal(err)
	}
	rate := throttled.PerDuration(limit, time.Duration(seconds)*time.Second)
	limiter, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: rate, MaxBurst: limit - 1})
	if err != nil {
		log.Fatal(err)
	}
	limited := throttled.HTTPRateLimiterCtx{RateLimiter: limiter, VaryBy: &throttled.VaryBy{RemoteAddr: true}}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], limited.RateLimit(page)))
}
