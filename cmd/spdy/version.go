package main

import (
	"fmt"
	"strings"

	"github.com/amahi/spdy"
)

// A versionFlag is a dialect as the command line names it. The zero value means
// that none was named.
type versionFlag struct{ spdy.Version }

var dialects = []spdy.Version{spdy.SPDY31, spdy.SPDY3, spdy.SPDY2}

// String returns the number of the dialect.
func (f *versionFlag) String() string {
	if f.Version == 0 {
		return ""
	}
	return strings.TrimPrefix(f.Version.String(), "spdy/")
}

// Set takes 2, 3 and 3.1, and the names that ALPN has for them.
func (f *versionFlag) Set(s string) error {
	for _, v := range dialects {
		if name := v.String(); s == name || s == strings.TrimPrefix(name, "spdy/") {
			f.Version = v
			return nil
		}
	}
	return fmt.Errorf("want 2, 3 or 3.1")
}
