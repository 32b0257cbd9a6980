// Arguments: PORT LIMIT WINDOW_S
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/go-chi/httprate"
)

func main() {
	limit, _ := strconv.Atoi(os.Args[2])
	seconds, _ := strconv.Atoi(os.Args[3])
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	limited := httprate.LimitByIP(limit, time.Duration(seconds)*time.Second)(page)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], limited))
}
