package spdystream

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	amahi "github.com/amahi/spdy"
)

// This file converts headers as the original does, including names and values that HTTP forbids.
// Such an http.Header belongs to the program; this package never uses it for HTTP.

// headerBlock makes a header block: lower-case names in sorted order, the values of a name joined
// by NUL. A name without values gets an empty value.
func headerBlock(headers http.Header) (amahi.HeaderBlock, error) {
	block := make(amahi.HeaderBlock, 0, len(headers))
	for key, values := range headers {
		if slices.ContainsFunc(values, func(v string) bool { return strings.IndexByte(v, 0) >= 0 }) {
			return nil, fmt.Errorf("%w: NUL in a value, which would come as two", amahi.ErrInvalidHeader)
		}
		block = append(block, amahi.HeaderField{Name: strings.ToLower(key), Value: strings.Join(values, "\x00")})
	}
	slices.SortFunc(block, func(a, b amahi.HeaderField) int { return strings.Compare(a.Name, b.Name) })
	return block, nil // the session checks the names
}

// httpHeader is the inverse of headerBlock, with names in canonical form.
func httpHeader(block amahi.HeaderBlock) http.Header {
	headers := make(http.Header, len(block))
	for _, field := range block {
		key := http.CanonicalHeaderKey(field.Name)
		headers[key] = append(headers[key], strings.Split(field.Value, "\x00")...)
	}
	return headers
}
