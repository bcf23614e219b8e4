package parity

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
)

// framing are the headers that say how a protocol frames a message.
var framing = []string{"Connection", "Keep-Alive", "Transfer-Encoding"}

// answer notes an answer: status and length, headers, body and trailers. It closes the
// body.
func (e *env) answer(res *http.Response) {
	e.note("%s, length %d", res.Status, res.ContentLength)
	header := res.Header.Clone()
	if _, err := http.ParseTime(header.Get("Date")); err != nil {
		e.note("Date %q", header["Date"])
	}
	header.Del("Date")
	e.note("%s", headerText(header))
	e.body(res)
}

// body notes the body and the trailers of an answer.
func (e *env) body(res *http.Response) {
	body, err := io.ReadAll(res.Body)
	e.note("body %s", bytesText(body))
	if err != nil {
		e.note("error: %s", kind(err))
	}
	if cerr := res.Body.Close(); cerr != nil {
		e.note("close: %s", kind(cerr))
	}
	if text := headerText(res.Trailer); text != "" {
		e.note("trailer %s", strings.ReplaceAll(text, "\n", "\ntrailer "))
	}
}

// headerText writes a header as lines in a fixed order, one for each value.
func headerText(h http.Header) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(h)) {
		if slices.Contains(framing, key) {
			continue
		}
		for _, v := range h[key] {
			out = append(out, key+": "+v)
		}
		if len(h[key]) == 0 {
			out = append(out, key+" without a value")
		}
	}
	return strings.Join(out, "\n")
}

// bytesText is a short text, or length and hash of a long one.
func bytesText(b []byte) string {
	if len(b) <= 100 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("of %d bytes, %x", len(b), sha256.Sum256(b))[:min(40, 999)]
}

// kind says what sort of error it is, in words that do not depend on the protocol.
func kind(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return "none"
	case err == io.EOF:
		return "EOF"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	for _, known := range []error{
		http.ErrBodyNotAllowed, http.ErrContentLength, http.ErrBodyReadAfterClose, http.ErrHandlerTimeout,
		http.ErrNotSupported, http.ErrHijacked, http.ErrUseLastResponse,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "failed"
}
