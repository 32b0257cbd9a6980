#!/usr/bin/env bash
# guess:   with 5 requests in 5 s, all used at once, a client that comes back after X-RateLimit-Reset has five again.
# with:    github.com/go-chi/httprate v0.16.1 (needs go)
# happens: Reset is the end of a counter's window, rounded down to a whole second. The window before continues to
#          count, with the share that overlaps: shortly after Reset nothing is admitted, and then one request a second.
#          Retry-After is always the whole window. A client that sends its five at Reset has them refused.
# seen:
#   | at once: 200 200 200 200 200 429, Retry-After 5
#   | X-RateLimit-Reset names the second in which the window ends: true
#   | 0.2 s after that end: 429 429
#   | 0.8 s after that end: 200 429
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export GOPATH="$folder/go" GOCACHE="$folder/cache" GOFLAGS=-modcacherw

cat >"$folder/probe.go" <<'GO'
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/httprate"
)

func main() {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	end := time.Now().Add(5 * time.Second)
	limited := httprate.LimitByIP(5, 5*time.Second)(page)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(listener, limited)

	ask := func(times int) (header http.Header) {
		for range times {
			response, err := http.Get("http://" + listener.Addr().String())
			if err != nil {
				log.Fatal(err)
			}
			response.Body.Close()
			fmt.Print(" ", response.StatusCode)
			header = response.Header
		}
		return header
	}

	fmt.Print("at once:")
	refused := ask(6)
	fmt.Println(", Retry-After", refused.Get("Retry-After"))
	named := refused.Get("X-RateLimit-Reset") == strconv.FormatInt(end.Unix(), 10)
	fmt.Println("X-RateLimit-Reset names the second in which the window ends:", named)
	for _, after := range []time.Duration{200 * time.Millisecond, 800 * time.Millisecond} {
		time.Sleep(time.Until(end.Add(after)))
		fmt.Printf("%.1f s after that end:", after.Seconds())
		ask(2)
		fmt.Println()
	}
}
GO
cd "$folder"
{ go mod init probe && go get github.com/go-chi/httprate@v0.16.1 && go build -o probe probe.go; } 2>/dev/null || exit 2
cd - >/dev/null
seen=$(timeout 60 "$folder/probe")
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
