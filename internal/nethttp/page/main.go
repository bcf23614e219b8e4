// The page command writes docs/net-http.md from the table in internal/nethttp. It runs in the root
// of the module.
package main

import (
	"fmt"
	"os"

	"github.com/amahi/spdy/internal/nethttp"
)

func main() {
	page, err := nethttp.Page()
	if err == nil {
		err = os.WriteFile("docs/net-http.md", []byte(page), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}
