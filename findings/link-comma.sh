#!/usr/bin/env bash
# guess:   a parser of the Link header gives the URL that stands between < and >, commas included (RFC 8288,
#          section 3), or says that it cannot.
# with:    github.com/peterhellberg/link v1.2.0 (needs go)
# happens: every comma that does not follow a quote is removed before the header is split: the next page is asked for
#          under another URL. So is the comma between two links, where the last parameter of the first stands without
#          quotes, as the RFC allows: both become one link, whose URL has the other in it.
# seen:
#   | <http://h/items?ids=1,2>; rel="next"
#   |   next -> http://h/items?ids=12
#   | <http://h/1>; rel=prev, <http://h/3>; rel="next"
#   |   next -> http://h/1>; rel=prev <http://h/3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export GOPATH="$folder/go" GOCACHE="$folder/cache" GOFLAGS=-modcacherw

cat >"$folder/probe.go" <<'GO'
package main

import (
	"fmt"

	"github.com/peterhellberg/link"
)

func main() {
	for _, header := range []string{
		`<http://h/items?ids=1,2>; rel="next"`,
		`<http://h/1>; rel=prev, <http://h/3>; rel="next"`,
	} {
		fmt.Println(header)
		for rel, found := range link.Parse(header) {
			fmt.Printf("  %s -> %s\n", rel, found)
		}
	}
}
GO
cd "$folder"
{ go mod init probe && go get github.com/peterhellberg/link@v1.2.0; } 2>/dev/null || exit 2
seen=$(timeout 60 go run probe.go)
cd - >/dev/null
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
