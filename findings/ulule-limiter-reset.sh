#!/bin/sh
# ulule/limiter: at the moment that X-RateLimit-Reset names, the window has not ended.
#
# Guess:     X-RateLimit-Reset is rounded up, or the window ends at a whole second: a client that comes back at that
#            second is admitted.
# Behaviour: The end is rounded down. A window that opened at x.6 s ends at y.6 s and is announced as y: whoever comes
#            back at y, or half a second later, is refused again, with the same Reset, now in the past. There is no
#            Retry-After.
# Versions:  github.com/ulule/limiter/v3 v3.11.2, Go 1.26
# Output seen:
#   at once: 200 200 429
#   0.1 s after X-RateLimit-Reset: 429, which again names 0.1 s ago
#   1.0 s after X-RateLimit-Reset: 200
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
cat >main.go <<'END'
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
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
		panic(err)
	}
	go http.Serve(listener, limited)

	ask := func() (int, time.Time) {
		response, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		seconds, err := strconv.ParseInt(response.Header.Get("X-Ratelimit-Reset"), 10, 64)
		if err != nil {
			panic(err)
		}
		return response.StatusCode, time.Unix(seconds, 0)
	}

	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(1600 * time.Millisecond)))
	first, _ := ask()
	second, _ := ask()
	third, reset := ask()
	fmt.Println("at once:", first, second, third)
	time.Sleep(time.Until(reset.Add(100 * time.Millisecond)))
	early, again := ask()
	fmt.Printf("0.1 s after X-RateLimit-Reset: %d, which again names %.1f s ago\n", early, time.Since(again).Seconds())
	time.Sleep(time.Until(reset.Add(time.Second)))
	late, _ := ask()
	fmt.Println("1.0 s after X-RateLimit-Reset:", late)
	if first != 200 || second != 200 || third != 429 || early != 429 || again != reset || late != 200 {
		os.Exit(1)
	}
}
END
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init finding 2>/dev/null
go get github.com/ulule/limiter/v3@v3.11.2 2>/dev/null
go run main.go
