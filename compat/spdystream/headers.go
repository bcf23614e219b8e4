package spdystream

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	amahi "github.com/amahi/spdy"
)

// This file converts headers as the original does, which takes names and values that HTTP does
// not allow. Such an http.Header is the program's; nothing here uses one for HTTP.

// headerBlock makes a block of headers: names in lower case and in order, the values of one
// name joined by NUL. A name without values gets an empty one.
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

// httpHeader is the opposite of headerBlock, with names in their canonical form.
func httpHeader(block amahi.HeaderBlock) http.Header {
	headers := make(http.Header, len(block))
	for _, field := range block {
		key := http.CanonicalHeaderKey(field.Name)
		headers[key] = append(headers[key], strings.Split(field.Value, "\x00")...)
	}
	return headers
}
