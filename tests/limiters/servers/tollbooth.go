// Arguments: PORT LIMIT WINDOW_S
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"

	"github.com/didip/tollbooth/v8"
	"github.com/didip/tollbooth/v8/limiter"
)

func main() {
	limit, _ := strconv.Atoi(os.Args[2])
	seconds, _ := strconv.Atoi(os.Args[3])
	limited := tollbooth.NewLimiter(float64(limit)/float64(seconds), nil)
	limited.SetBurst(limit)
	limited.SetIPLookup(limiter.IPLookup{Name: "RemoteAddr"})
	page := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }
	handler := tollbooth.LimitFuncHandler(limited, page)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], handler))
}
