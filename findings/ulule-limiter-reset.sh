#!/usr/bin/env bash
# guess:   X-RateLimit-Reset is rounded up, or the window ends at a whole second: a client that comes back at that
#          second is admitted.
# with:    github.com/ulule/limiter/v3 v3.11.2 (needs go)
# happens: the end is rounded down. A window that opened at x.7 s ends at y.7 s and is announced as y: a client that
#          comes back at y, or half a second later, is refused again, with the same Reset, now in the past. There is
#          no Retry-After either: a client that waits until Reset, as told, asks in vain until the window has ended.
# seen:
#   | at once: 200 200 429, Retry-After ""
#   | 0.1 s after X-RateLimit-Reset: 429, with the same Reset: true
#   | 0.5 s after X-RateLimit-Reset: 429, with the same Reset: true
#   | 1.0 s after X-RateLimit-Reset: 200, with the same Reset: false
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

	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/middleware/stdlib"
	"github.com/ulule/limiter/v3/drivers/store/memory"
)

func main() {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	rate := limiter.Rate{Limit: 2, Period: 3 * time.Second}
	limited := stdlib.NewMiddleware(limiter.New(memory.NewStore(), rate)).Handler(page)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(listener, limited)

	ask := func() (int, time.Time, string) {
		response, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		response.Body.Close()
		reset, err := strconv.ParseInt(response.Header.Get("X-RateLimit-Reset"), 10, 64)
		if err != nil {
			log.Fatal(err)
		}
		return response.StatusCode, time.Unix(reset, 0), response.Header.Get("Retry-After")
	}

	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(1700 * time.Millisecond)))
	first, _, _ := ask()
	second, _, _ := ask()
	third, reset, wait := ask()
	fmt.Printf("at once: %d %d %d, Retry-After %q\n", first, second, third, wait)
	for _, after := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, time.Second} {
		time.Sleep(time.Until(reset.Add(after)))
		status, again, _ := ask()
		same := again.Equal(reset)
		fmt.Printf("%.1f s after X-RateLimit-Reset: %d, with the same Reset: %t\n", after.Seconds(), status, same)
	}
}
GO
cd "$folder"
{ go mod init probe && go get github.com/ulule/limiter/v3@v3.11.2 && go build -o probe probe.go; } 2>/dev/null || exit 2
cd - >/dev/null
seen=$(timeout 60 "$folder/probe")
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
