package spdy

import (
	"bytes"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/amahi/spdy/internal/shown"
)

// This file handles header fields that HTTP does not allow but spdystream accepts, see
// Config.LenientHeaders.

// pairRules are the rules for the names and values of a header block.
type pairRules uint8

const (
	httpPairs pairRules = iota // SPEC §4.2: fields that HTTP can carry
	anyPairs                   // fields that spdystream accepts
)

// valuesPerField times MaxHeaderFields is the maximum number of values in a block of anyPairs.
// Empty values are allowed there, and occupy 16 bytes in memory for a single byte on the wire.
const valuesPerField = 16

// pairs returns the rules for the header blocks of the session.
func (s *Session) pairs() pairRules {
	if s.conf.LenientHeaders && s.isRaw() {
		return anyPairs
	}
	return httpPairs
}

// check checks a single name and value.
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
	if text := string(name); strings.ToLower(text) != text { // the name may also be invalid UTF-8
		return headerErrorf("H5", "a name that is not in lower case")
	}
	return nil
}

// checkValues checks the number of values in an otherwise valid block.
func (rules pairRules) checkValues(values, maxPairs int) error {
	if rules == anyPairs && maxPairs > 0 && values > valuesPerField*maxPairs {
		e := headerErrorf("H12", "%d values are more than the limit of %d", values, valuesPerField*maxPairs)
		e.tooLarge = true
		return e
	}
	return nil
}

// countValues returns the number of values of a pair.
func countValues(value []byte) int { return bytes.Count(value, []byte{0}) + 1 }

// isHTTP reports whether a field is valid in an HTTP message, or is a pseudo header. Other fields
// never reach an http.Header or a log.
func (f *HeaderField) isHTTP() bool {
	return httpguts.ValidHeaderFieldName(strings.TrimPrefix(f.Name, ":")) &&
		httpguts.ValidHeaderFieldValue(strings.ReplaceAll(f.Value, "\x00", ""))
}

// withoutForeign replaces the fields of h that HTTP does not allow by their sizes, in place.
func withoutForeign(h HeaderBlock) HeaderBlock {
	for i := range h {
		if f := &h[i]; !f.isHTTP() {
			f.Name, f.Value = shown.Hidden(f.Name), shown.Hidden(f.Value)
		}
	}
	return h
}
