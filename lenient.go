package spdy

import (
	"bytes"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/amahi/spdy/internal/shown"
)

// This file is about header fields that HTTP does not allow, and that spdystream passes all
// the same, see Config.LenientHeaders.

// pairRules say what the names and values of a header block may be.
type pairRules uint8

const (
	httpPairs pairRules = iota // SPEC §4.2: what HTTP can carry
	anyPairs                   // what spdystream passes
)

// valuesPerField times MaxHeaderFields is how many values a block of anyPairs may have. Empty
// ones are allowed there, and take 16 bytes in memory for one on the wire.
const valuesPerField = 16

// pairs returns the rules for the header blocks of the session.
func (s *Session) pairs() pairRules {
	if s.conf.LenientHeaders && s.isRaw() {
		return anyPairs
	}
	return httpPairs
}

// check checks one name and value by themselves.
func (rules pairRules) check(v Version, name, value []byte) *headerError {
	if rules == httpPairs {
		return checkPair(v, name, value)
	}
	if len(name) == 0 {
		return headerErrorf("H4", "empty name")
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f {
			return headerErrorf("H5", "byte %#02x in a name", c)
		}
	}
	if text := string(name); strings.ToLower(text) != text { // nor is it valid UTF-8, maybe
		return headerErrorf("H5", "a name that is not in lower case")
	}
	return nil
}

// checkValues counts the values in a block that is in order otherwise.
func (rules pairRules) checkValues(values, maxPairs int) error {
	if rules == anyPairs && maxPairs > 0 && values > valuesPerField*maxPairs {
		e := headerErrorf("H12", "%d values are more than the limit of %d", values, valuesPerField*maxPairs)
		e.tooLarge = true
		return e
	}
	return nil
}

// countValues returns how many values a pair has.
func countValues(value []byte) int { return bytes.Count(value, []byte{0}) + 1 }

// isHTTP reports that a field could be one of an HTTP message, or a pseudo header. Only such
// fields get into an http.Header or a log.
func (f *HeaderField) isHTTP() bool {
	return httpguts.ValidHeaderFieldName(strings.TrimPrefix(f.Name, ":")) &&
		httpguts.ValidHeaderFieldValue(strings.ReplaceAll(f.Value, "\x00", ""))
}

// withoutForeign replaces in h, which it changes, the fields that HTTP does not allow by their sizes.
func withoutForeign(h HeaderBlock) HeaderBlock {
	for i := range h {
		if f := &h[i]; !f.isHTTP() {
			f.Name, f.Value = shown.Hidden(f.Name), shown.Hidden(f.Value)
		}
	}
	return h
}
