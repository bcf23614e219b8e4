package main

import (
	"fmt"
	"strings"

	"github.com/amahi/spdy"
)

// A versionFlag is a dialect on the command line. The zero value means that the flag is not set.
type versionFlag struct{ spdy.Version }

var dialects = []spdy.Version{spdy.SPDY31, spdy.SPDY3, spdy.SPDY2}

// String returns the number of the dialect.
func (f *versionFlag) String() string {
	if f.Version == 0 {
		return ""
	}
	return strings.TrimPrefix(f.Version.String(), "spdy/")
}

// Set accepts 2, 3 and 3.1, and the ALPN names of the dialects.
func (f *versionFlag) Set(s string) error {
	for _, v := range dialects {
		if name := v.String(); s == name || s == strings.TrimPrefix(name, "spdy/") {
			f.Version = v
			return nil
		}
	}
	return fmt.Errorf("want 2, 3 or 3.1")
}
