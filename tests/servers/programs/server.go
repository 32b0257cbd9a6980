// Usage: server PORT IDLE_S SITE TLS: net/http, with TLS=1 over TLS, where it speaks HTTP/2 too.
package main

import (
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	port, site, tls := os.Args[1], os.Args[3], os.Args[4]
	idle, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	files := http.FileServer(http.Dir(site))
	routes := http.NewServeMux()
	routes.Handle("/", files)
	routes.HandleFunc("/post", func(out http.ResponseWriter, in *http.Request) {
		hash := sha256.New()
		if _, err := io.Copy(hash, in.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(out, "%x", hash.Sum(nil))
	})
	routes.HandleFunc("/chunked", func(out http.ResponseWriter, in *http.Request) {
		body, err := os.ReadFile(filepath.Join(site, "chunked.txt"))
		if err != nil {
			panic(err)
		}
		for at := 0; at < len(body); at += 1000 {
			out.Write(body[at:min(at+1000, len(body))])
			out.(http.Flusher).Flush()
		}
	})
	routes.HandleFunc("/page.html", func(out http.ResponseWriter, in *http.Request) {
		out.Header().Set("Vary", "Accept-Encoding")
		if !strings.Contains(in.Header.Get("Accept-Encoding"), "gzip") {
			files.ServeHTTP(out, in)
			return
		}
		etag := `"page-gzip"`
		out.Header().Set("ETag", etag)
		if slices.Contains(strings.Split(in.Header.Get("If-None-Match"), ", "), etag) {
			out.WriteHeader(http.StatusNotModified)
			return
		}
		body, err := os.ReadFile(filepath.Join(site, "page.html"))
		if err != nil {
			panic(err)
		}
		out.Header().Set("Content-Type", "text/html")
		out.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(out)
		zip.Write(body)
		zip.Close()
	})
	server := &http.Server{
		Addr: "127.0.0.1:" + port, Handler: routes, IdleTimeout: time.Duration(idle) * time.Second,
	}
	if tls == "1" {
		pem := filepath.Join(site, "../cert.pem")
		log.Fatal(server.ListenAndServeTLS(pem, pem))
	}
	log.Fatal(server.ListenAndServe())
}
