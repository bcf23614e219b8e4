package spdy

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// This file holds the code that requests, responses and trailers share for conversions between
// http.Header and a header block (SPEC §2.2 to §2.4).

// A pseudoHeader is a name that stands for a part of the first line of an HTTP/1.1 message (SPEC
// §2.4).
type pseudoHeader uint8

const (
	pseudoMethod pseudoHeader = iota
	pseudoPath                // "url" in SPDY/2
	pseudoVersion
	pseudoHost
	pseudoScheme
	pseudoStatus
	pseudoProtocol      // value of Upgrade in an upgrade
	pseudoUpgradeMethod // method of a request for an upgrade; GET if absent
	pseudoCount
)

// The pseudo headers allowed in each kind of message, as bits.
const (
	requestPseudos  = 1<<pseudoMethod | 1<<pseudoPath | 1<<pseudoVersion | 1<<pseudoHost | 1<<pseudoScheme
	responsePseudos = 1<<pseudoStatus | 1<<pseudoVersion
	trailerPseudos  = 0 // SPEC M14

	// Additional pseudo headers of an upgrade request, and of the response that grants the upgrade.
	// No HTTP header can have these names, not even in SPDY/2.
	upgradePseudos = 1<<pseudoProtocol | 1<<pseudoUpgradeMethod
	switchPseudos  = 1 << pseudoProtocol
)

var (
	pseudoNames3 = [pseudoCount]string{":method", ":path", ":version", ":host", ":scheme", ":status", ":protocol", ":upgrade-method"}
	pseudoNames2 = [pseudoCount]string{"method", "url", "version", "host", "scheme", "status", ":protocol", ":upgrade-method"}
)

// name returns the pseudo header's name on the wire.
func (p pseudoHeader) name(v Version) string {
	if v == SPDY2 {
		return pseudoNames2[p]
	}
	return pseudoNames3[p]
}

// lookupPseudo returns the pseudo header with the given name.
func lookupPseudo(v Version, name string) (pseudoHeader, bool) {
	names := &pseudoNames3
	if v == SPDY2 {
		names = &pseudoNames2
	} else if len(name) == 0 || name[0] != ':' {
		return 0, false
	}
	for i := range names {
		if names[i] == name {
			return pseudoHeader(i), true
		}
	}
	return 0, false
}

// A headerReach is the distance that a header travels.
type headerReach uint8

const (
	// endToEnd headers reach the other end, through any number of proxies.
	endToEnd headerReach = iota

	// hopOnly headers are for the next recipient. A block carries these headers, but a proxy does
	// not forward them.
	hopOnly

	// connectionOnly headers describe an HTTP/1.1 connection. They are neither added to a block nor
	// copied from a block (SPEC §2.3, H16, H17).
	connectionOnly
)

// reachOf returns the reach of a header with a lower-case name. reachOf is the library's only list
// of hop-by-hop headers (RFC 9110 §7.6.1, §11.7, RFC 7540 §3.2.1).
func reachOf(name string) headerReach {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade":
		return connectionOnly
	case "http2-settings", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization":
		return hopOnly
	}
	return endToEnd
}

// A messageError is the reason why a request or a response of this side cannot be sent. No part of
// the message has been sent. The text is the text of net/http where net/http has one for the reason.
type messageError struct{ text string }

// Error describes the error and never shows a header's value.
func (e *messageError) Error() string { return e.text }

// headerGroups iterates over an http.Header in a fixed order and groups the keys that differ only
// in case: in a block these keys are the same name, which may occur only once (SPEC H6). Because of
// the fixed order, equal messages are equal on the wire, which improves header compression.
type headerGroups struct {
	h    http.Header
	keys []string
}

// groupHeader starts an iteration over h. A short h is sorted in keys, which the caller keeps on
// the stack.
func groupHeader(keys []string, h http.Header) headerGroups {
	for k := range h {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareFold)
	return headerGroups{h: h, keys: keys}
}

// next returns the first key of a group and the values of the whole group.
func (g *headerGroups) next() (key string, values []string, ok bool) {
	if len(g.keys) == 0 {
		return "", nil, false
	}
	key = g.keys[0]
	values = g.h[key]
	g.keys = g.keys[1:]
	for len(g.keys) > 0 && equalFold(g.keys[0], key) {
		values = append(slices.Clip(values), g.h[g.keys[0]]...)
		g.keys = g.keys[1:]
	}
	return key, values, true
}

// compareFold orders strings without regard to the case of ASCII letters, and then by bytes.
func compareFold(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if x, y := lowerByte(a[i]), lowerByte(b[i]); x != y {
			return int(x) - int(y)
		}
	}
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// equalFold is strings.EqualFold for ASCII only: a Kelvin sign must not equal a k in a header name.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if lowerByte(a[i]) != lowerByte(b[i]) {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// headerValues returns the values of all keys that equal name in any case. The result may share
// memory with h.
func headerValues(h http.Header, name string) []string {
	var all []string
	for k, values := range h {
		switch {
		case !equalFold(k, name):
		case all == nil:
			all = values
		default:
			all = append(slices.Clip(all), values...)
		}
	}
	return all
}

// trimmed reports whether no value starts or ends with white space, which HTTP/1.1 strips.
func trimmed(values []string) bool {
	for _, s := range values {
		if s != "" && (isSpace(s[0]) || isSpace(s[len(s)-1])) {
			return false
		}
	}
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// trimValues returns the values without surrounding white space. The caller's slice stays
// unchanged.
func trimValues(values []string) []string {
	if trimmed(values) {
		return values
	}
	values = slices.Clone(values)
	for i := range values {
		values[i] = textproto.TrimString(values[i])
	}
	return values
}

// validValues reports whether all values may be sent (SPEC H11).
func validValues(values []string) bool {
	for _, s := range values {
		if !httpguts.ValidHeaderFieldValue(s) {
			return false
		}
	}
	return true
}

// sendableValues returns the trimmed values, without values that may not be sent. A server drops
// such values, because a handler cannot receive an error.
func sendableValues(values []string) []string {
	if !validValues(values) {
		values = slices.DeleteFunc(slices.Clone(values), func(s string) bool {
			return !httpguts.ValidHeaderFieldValue(s)
		})
	}
	return trimValues(values)
}

// addInt adds a pair whose value is a number.
func addInt(w *nameValueWriter, name string, n int64) {
	var buf [20]byte
	w.add(name, string(strconv.AppendInt(buf[:0], n, 10)))
}

// addCookies adds the values of Cookie as a single line: unlike the values of other headers,
// cookies are joined by semicolons (SPEC §2.2).
func addCookies(w *nameValueWriter, values []string) {
	size := 0
	for _, s := range values {
		if s != "" {
			size += len(s) + len("; ")
		}
	}
	if size == 0 || !w.begin("cookie", size-len("; ")) {
		return
	}
	first := len(w.dst)
	for _, s := range values {
		if s == "" {
			continue
		}
		if len(w.dst) > first {
			w.dst = append(w.dst, "; "...)
		}
		w.dst = append(w.dst, s...)
	}
}

// A parsedMessage is a parsed header block.
type parsedMessage struct {
	pseudo [pseudoCount]string
	seen   uint // pseudo headers in the block, as bits
	header http.Header
	values []string // backs the slices in header
}

// has reports whether the block contains the pseudo header.
func (m *parsedMessage) has(p pseudoHeader) bool { return m.seen&(1<<p) != 0 }

// parse fills m from a block that may contain the allowed pseudo headers, given as bits. parse
// returns a description of the block's error, or "". parse does not rely on checks during decoding:
// raw streams accept any names.
func (m *parsedMessage) parse(v Version, h HeaderBlock, allowed uint) string {
	pieces, fields := 0, 0
	for i := range h {
		if _, isPseudo := lookupPseudo(v, h[i].Name); !isPseudo {
			pieces += 1 + strings.Count(h[i].Value, "\x00")
			fields++
		}
	}
	m.values = make([]string, 0, pieces)
	m.header = make(http.Header, fields)
	for i := range h {
		name, value := h[i].Name, h[i].Value
		p, isPseudo := lookupPseudo(v, name)
		switch {
		case isPseudo && allowed&(1<<p) != 0:
			if m.has(p) {
				return shortName(name) + " occurs twice"
			}
			if !httpguts.ValidHeaderFieldValue(value) { // neither controls nor NUL (SPEC §2.4)
				return "invalid " + shortName(name)
			}
			m.pseudo[p] = value
			m.seen |= 1 << p
		case isPseudo && allowed == trailerPseudos:
			return "misplaced " + shortName(name)
		default:
			// Elsewhere a name that is no pseudo header of this message may be an ordinary name in
			// SPDY/2, such as "url" in a response; in SPDY/3 the colon rules that out.
			if reason := m.addField(v, name, value); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// addField adds an ordinary header.
func (m *parsedMessage) addField(v Version, name, value string) string {
	if !validLowerName(name) {
		return "invalid header name " + shortName(name)
	}
	if v == SPDY2 { // tolerates a NUL at either end (SPEC H8)
		value = strings.TrimSuffix(strings.TrimPrefix(value, "\x00"), "\x00")
	}
	start := len(m.values)
	for rest, more := value, true; more; {
		var piece string
		piece, rest, more = strings.Cut(rest, "\x00")
		if piece == "" && len(value) > 0 { // SPEC H7, H8
			return "stray NUL in " + shortName(name)
		}
		if !httpguts.ValidHeaderFieldValue(piece) {
			return "invalid value of " + shortName(name)
		}
		m.values = append(m.values, textproto.TrimString(piece))
	}
	if reachOf(name) == connectionOnly {
		m.values = m.values[:start]
		return ""
	}
	values := m.values[start:len(m.values):len(m.values)]
	if name == "cookie" && len(values) > 1 {
		values = joinCookies(values)
	}
	key := canonicalName(name)
	if _, dup := m.header[key]; dup { // SPEC H6
		return shortName(name) + " occurs twice"
	}
	m.header[key] = values
	return ""
}

// joinCookies joins several values into a single value, in place (SPEC §2.2).
func joinCookies(values []string) []string {
	some := slices.DeleteFunc(values, func(s string) bool { return s == "" })
	values[0] = strings.Join(some, "; ")
	return values[:1:1]
}

// validLowerName reports whether name is a token without upper-case letters (SPEC H5).
func validLowerName(name string) bool {
	for i := 0; i < len(name); i++ {
		if 'A' <= name[i] && name[i] <= 'Z' {
			return false
		}
	}
	return httpguts.ValidHeaderFieldName(name)
}

// announcedTrailers removes the Trailer header from h and returns the listed names as the keys of a
// header without values, as net/http does. Names that may not be trailers are omitted.
func announcedTrailers(h http.Header) http.Header {
	values, ok := h["Trailer"]
	if !ok {
		return nil
	}
	delete(h, "Trailer")
	var trailer http.Header
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			name = textproto.TrimString(name)
			if !httpguts.ValidHeaderFieldName(name) || !validTrailer(name) {
				continue
			}
			if trailer == nil {
				trailer = make(http.Header)
			}
			trailer[http.CanonicalHeaderKey(name)] = nil
		}
	}
	return trailer
}

// validTrailer reports whether a header may follow the body. Headers that frame, route or
// authenticate the message may not (RFC 9110 §6.5.1), nor may hop-by-hop headers.
func validTrailer(name string) bool {
	return httpguts.ValidTrailerHeader(name) && reachOf(lowerName(name)) == endToEnd
}

// parseLength parses the values of a Content-Length header as net/http does: -1 if there is none,
// and false if the value is not a number.
func parseLength(values []string) (int64, bool) {
	if len(values) == 0 {
		return -1, true
	}
	n, err := strconv.ParseUint(textproto.TrimString(values[0]), 10, 63)
	return int64(n), err == nil
}
