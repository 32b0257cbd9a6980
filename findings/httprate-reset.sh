#!/bin/sh
# go-chi/httprate: when X-RateLimit-Reset is reached, the quota is not back.
#
# Guess:     With 5 requests in 5 s, all used at once, a client that comes back after X-RateLimit-Reset has five again.
# Behaviour: Reset is the end of a counter's window. The window before continues to count with the share that overlaps,
#            so that shortly after Reset nothing is admitted, and then one request a second. Reset is rounded down
#            to a whole second besides. Retry-After is always the whole window.
# Versions:  github.com/go-chi/httprate v0.16.1, Go 1.26
# Output seen:
#   at once: 200 200 200 200 200 429 Retry-After 5
#   0.2 s after the window that X-RateLimit-Reset names: 429 429
#   0.8 s after it: 200 429
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

	"github.com/go-chi/httprate"
)

func main() {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	start := time.Now()
	limited := httprate.LimitByIP(5, 5*time.Second)(page)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, limited)

	seen := ""
	ask := func() http.Header {
		response, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		fmt.Print(" ", response.StatusCode)
		seen += strconv.Itoa(response.StatusCode) + " "
		return response.Header
	}

	fmt.Print("at once:")
	var header http.Header
	for range 6 {
		header = ask()
	}
	fmt.Println(" Retry-After", header.Get("Retry-After"))

	end := start.Add(5 * time.Second)
	if reset := header.Get("X-Ratelimit-Reset"); reset != strconv.FormatInt(end.Unix(), 10) {
		fmt.Println("X-RateLimit-Reset is", reset, "and the window ends at", end.Unix())
		os.Exit(1)
	}
	time.Sleep(time.Until(end.Add(200 * time.Millisecond)))
	fmt.Print("0.2 s after the window that X-RateLimit-Reset names:")
	ask()
	ask()
	time.Sleep(time.Until(end.Add(800 * time.Millisecond)))
	fmt.Print("\n0.8 s after it:")
	ask()
	ask()
	fmt.Println()
	if seen != "200 200 200 200 200 429 429 429 200 429 " {
		os.Exit(1)
	}
}
END
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init finding 2>/dev/null
go get github.com/go-chi/httprate@v0.16.1 2>/dev/null
go run main.go
