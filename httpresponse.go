package spdy

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// appendResponseBlock appends the uncompressed header block of a response to dst. These headers are
// omitted: headers of an HTTP/1.1 connection, headers named by Connection, invalid names and
// values, trailers (http.TrailerPrefix), a Content-Length that is not a number, and headers that
// net/http removes from responses without a body. On an error, of type *messageError or
// *headerError, dst is returned unchanged. A status below 200 is an error, since a stream has a
// single SYN_REPLY (SPEC M11).
func appendResponseBlock(dst []byte, v Version, status int, h http.Header) ([]byte, error) {
	if status < 200 || status > 999 {
		return dst, &messageError{fmt.Sprintf("spdy: status %d cannot be sent", status)}
	}
	w := beginNameValue(dst, v)
	addResponse(&w, v, status, h)
	out, err := w.finish()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// addResponse adds the headers of a response.
func addResponse(w *nameValueWriter, v Version, status int, h http.Header) {
	var buf [64]byte
	w.add(pseudoStatus.name(v), string(appendStatus(buf[:0], status)))
	w.add(pseudoVersion.name(v), "HTTP/1.1")
	var keys [24]string
	groups := groupHeader(keys[:0], h)
	connection := headerValues(h, "connection") // set by the handler, like all of h
	for {
		key, values, ok := groups.next()
		if !ok {
			break
		}
		if !httpguts.ValidHeaderFieldName(key) { // the name of a trailer has a colon
			continue
		}
		name := lowerName(key)
		if notForResponse(v, status, name) ||
			connection != nil && httpguts.HeaderValuesContainsToken(connection, name) {
			continue
		}
		values = sendableValues(values)
		if len(values) == 0 {
			continue
		}
		if name == "content-length" {
			if n, ok := responseLength(values); ok {
				addInt(w, name, n)
			}
			continue
		}
		w.addValues(name, values)
	}
}

// appendStatus appends the value of :status, "200 OK".
func appendStatus(dst []byte, status int) []byte {
	dst = strconv.AppendInt(dst, int64(status), 10)
	if text := http.StatusText(status); text != "" {
		dst = append(append(dst, ' '), text...)
	}
	return dst
}

// notForResponse reports whether a header is omitted from a response.
func notForResponse(v Version, status int, name string) bool {
	switch name {
	case "content-length":
		return !bodyAllowed(status)
	case "content-type":
		return status == http.StatusNotModified // as in net/http's HTTP/1.1 server
	case "status", "version":
		return v == SPDY2 // would collide with pseudo headers
	}
	return reachOf(name) == connectionOnly
}

// bodyAllowed reports whether a response with this status may have a body (RFC 9110 §6.4.1, SPEC
// M12).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// responseLength parses a Content-Length that may occur several times.
func responseLength(values []string) (int64, bool) {
	for _, s := range values[1:] {
		if s != values[0] {
			return 0, false
		}
	}
	return parseLength(values[:1])
}

// parseResponseBlock returns the response that net/http would have parsed from the same response
// over HTTP/1.1 with a chunked body, without Body. req is the corresponding request and may be nil.
// ContentLength is -1 if unknown. Errors are of type *StreamError; the caller sets the StreamID
// (SPEC M4).
func parseResponseBlock(v Version, h HeaderBlock, req *http.Request) (*http.Response, error) {
	return parseResponse(v, h, req, responsePseudos)
}

// parseResponse is parseResponseBlock for responses with additional pseudo headers; allowed holds
// their bits. A response that grants an upgrade gets the status 101.
func parseResponse(v Version, h HeaderBlock, req *http.Request, allowed uint) (*http.Response, error) {
	var m parsedMessage
	if reason := m.parse(v, h, allowed); reason != "" {
		return nil, streamErrorf(0, RstProtocolError, "bad answer: %s", reason)
	}
	res := &http.Response{Proto: m.pseudo[pseudoVersion], Header: m.header, Request: req}
	switch res.Proto {
	case "HTTP/1.1", "HTTP/1.0":
		res.ProtoMajor, res.ProtoMinor = 1, int(res.Proto[len("HTTP/1.")]-'0')
	default:
		return nil, streamErrorf(0, RstProtocolError, "bad answer: no valid %s", pseudoVersion.name(v))
	}
	var ok bool
	if res.StatusCode, res.Status, ok = parseStatus(m.pseudo[pseudoStatus]); !ok {
		return nil, streamErrorf(0, RstProtocolError, "bad answer: no valid %s", pseudoStatus.name(v))
	}
	if !setResponseLength(res) {
		return nil, streamErrorf(0, RstProtocolError, "bad answer: invalid content-length")
	}
	res.Trailer = announcedTrailers(m.header)
	if m.has(pseudoProtocol) && !m.switched(res) {
		return nil, streamErrorf(0, RstProtocolError, "bad answer: an upgrade with status %d", res.StatusCode)
	}
	return res, nil
}

// parseStatus splits the value of :status into three digits and, after a space, a reason. Without a
// reason, status gets the standard reason.
func parseStatus(value string) (code int, status string, ok bool) {
	digits, reason, _ := strings.Cut(value, " ")
	if len(digits) != 3 || digits[0] == '0' {
		return 0, "", false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, "", false
		}
		code = code*10 + int(digits[i]-'0')
	}
	if strings.TrimLeft(reason, " ") == "" {
		return code, digits + " " + http.StatusText(code), true
	}
	return code, value, true
}

// setResponseLength sets ContentLength from the header. It reports false if the header is not a
// number or has several different values (net/http fails likewise).
func setResponseLength(res *http.Response) bool {
	res.ContentLength = -1
	if values := res.Header["Content-Length"]; len(values) > 0 {
		n, ok := responseLength(values)
		if !ok {
			return false
		}
		res.Header["Content-Length"] = values[:1:1]
		res.ContentLength = n
	}
	method := "GET"
	if res.Request != nil {
		method = res.Request.Method
	}
	switch {
	case method == "HEAD":
	case !bodyAllowed(res.StatusCode):
		res.ContentLength = 0
	case method == "CONNECT" && res.StatusCode < 300:
		res.ContentLength = -1 // a tunnel has no length (RFC 9110 §9.3.6)
	}
	return true
}

// appendTrailerBlock appends the uncompressed block of trailers to dst, for a HEADERS frame after
// the body (SPEC M14). Names that are not allowed as trailers and values that are not allowed on
// the wire are omitted. On an error dst is returned unchanged.
func appendTrailerBlock(dst []byte, v Version, t http.Header) ([]byte, error) {
	w := beginNameValue(dst, v)
	var keys [8]string
	groups := groupHeader(keys[:0], t)
	for {
		key, values, ok := groups.next()
		if !ok {
			break
		}
		if !httpguts.ValidHeaderFieldName(key) || !validTrailer(key) {
			continue
		}
		name := lowerName(key)
		if _, isPseudo := lookupPseudo(v, name); isPseudo {
			continue
		}
		if values = sendableValues(values); len(values) > 0 {
			w.addValues(name, values)
		}
	}
	out, err := w.finish()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// parseTrailerBlock returns the trailers in a HEADERS block that followed the body. Names that are
// not allowed as trailers are omitted; the result may be empty. Errors are of type *StreamError;
// the caller sets the StreamID.
func parseTrailerBlock(v Version, h HeaderBlock) (http.Header, error) {
	var m parsedMessage
	if reason := m.parse(v, h, trailerPseudos); reason != "" {
		return nil, streamErrorf(0, RstProtocolError, "bad trailers: %s", reason)
	}
	for key := range m.header {
		if !validTrailer(key) {
			delete(m.header, key)
		}
	}
	return m.header, nil
}
