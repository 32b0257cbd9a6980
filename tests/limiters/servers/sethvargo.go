// Arguments: PORT LIMIT WINDOW_S
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/sethvargo/go-limiter/httplimit"
	"github.com/sethvargo/go-limiter/memorystore"
)

func main() {
	limit, _ := strconv.ParseUint(os.Args[2], 10, 64)
	seconds, _ := strconv.Atoi(os.Args[3])
	store, err := memorystore.New(&memorystore.Config{Tokens: limit, Interval: time.Duration(seconds) * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	limited, err := httplimit.NewMiddleware(store, httplimit.IPKeyFunc())
	if err != nil {
		log.Fatal(err)
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], limited.Handle(page)))
}
