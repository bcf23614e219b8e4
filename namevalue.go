package spdy

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// This file converts header blocks to and from the uncompressed form: a count of pairs, then
// length, name, length, value for each pair. The integers have 16 bits in SPDY/2 and 32 in the
// later dialects (SPEC §2.1).

// A headerError describes the fault of an uncompressed header block. A faulty block costs the
// stream, not the session, because inflating the block has already kept the zlib context in step
// (SPEC H3).
type headerError struct {
	rule     string // of SPEC §4.2
	text     string
	tooLarge bool

	size, limit int  // of an unsendable block: the size of the offending part, and the limit in bytes
	names       bool // size and limit count names
	whole       bool // size and limit are those of the block
}

func (e *headerError) Error() string {
	return "spdy: header block: " + e.text + " (" + e.rule + ")"
}

// status returns the code to reset the stream with (SPEC F3, H12). SPDY/2 has another code on the
// wire, see RstStatus.forVersion.
func (e *headerError) status() RstStatus {
	if e.tooLarge {
		return RstFrameTooLarge
	}
	return RstProtocolError
}

func headerErrorf(rule, format string, args ...any) *headerError {
	return &headerError{rule: rule, text: fmt.Sprintf(format, args...)}
}

// nvIntSize returns the size of the integers in an uncompressed header block.
func nvIntSize(v Version) int {
	if v == SPDY2 {
		return 2
	}
	return 4
}

// A nameValueWriter appends an uncompressed header block pair by pair. The writer does not check
// names and values: the HTTP layer does, and a test peer must be able to send invalid pairs.
type nameValueWriter struct {
	dst   []byte
	start int // of the block in dst
	count int
	v     Version
	err   error

	// With a limit, the rest of a block of more than mostUncounted bytes is counted and not
	// appended: building megabytes only to refuse them would delay other streams.
	limit  int // the largest block allowed, in bytes; 0 for any
	size   int // of the block, in bytes, less the count of pairs in front
	counts bool
}

// mostUncounted is the size of a block, in bytes, up to which a nameValueWriter appends the block
// without knowing whether the block is too large.
const mostUncounted = 32 << 10

// beginNameValue starts a header block at the end of dst.
func beginNameValue(dst []byte, v Version) nameValueWriter {
	w := nameValueWriter{dst: dst, start: len(dst), v: v}
	w.dst = w.appendInt(w.dst, 0)
	return w
}

// add appends a pair. value has the wire format: NULs separate several values.
func (w *nameValueWriter) add(name, value string) {
	if !w.begin(name, len(value)) {
		return
	}
	w.dst = append(w.dst, value...)
}

// addValues appends a pair whose value is the values joined by NULs. Empty values are left out,
// since two NULs may not be adjacent (SPEC H7); if all values are empty, so is the result.
func (w *nameValueWriter) addValues(name string, values []string) {
	size := 0
	for _, s := range values {
		if s != "" {
			size += len(s) + 1
		}
	}
	if !w.begin(name, max(size-1, 0)) {
		return
	}
	first := len(w.dst)
	for _, s := range values {
		if s == "" {
			continue
		}
		if len(w.dst) > first {
			w.dst = append(w.dst, 0)
		}
		w.dst = append(w.dst, s...)
	}
}

// begin appends a pair up to the value, if the value fits, and reports whether the caller is to
// append the value.
func (w *nameValueWriter) begin(name string, valueSize int) bool {
	if w.err != nil {
		return false
	}
	if e := w.unfit(name, valueSize); e != nil {
		e.tooLarge, e.limit = true, int(min(w.maxInt(), math.MaxInt))
		w.err = e
		return false
	}
	w.count++
	w.size += 2*nvIntSize(w.v) + len(name) + valueSize
	w.counts = w.counts || w.limit > 0 && w.size > mostUncounted
	if w.counts {
		return false
	}
	w.dst = w.appendInt(w.dst, len(name))
	w.dst = append(w.dst, name...)
	w.dst = w.appendInt(w.dst, valueSize)
	return true
}

// unfit returns why a pair does not fit into the block, or nil. Lengths and the count have only 16
// bits in SPDY/2.
func (w *nameValueWriter) unfit(name string, valueSize int) (e *headerError) {
	limit := w.maxInt()
	switch {
	case uint64(w.count) >= limit:
		e = headerErrorf("H14", "more than %d names", limit)
		e.size, e.names = w.count+1, true
	case uint64(len(name)) > limit:
		e = headerErrorf("H14", "name of %d bytes", len(name))
		e.size = len(name)
	case uint64(valueSize) > limit:
		e = headerErrorf("H14", "value of %s has %d bytes", shortName(name), valueSize)
		e.size = valueSize
	}
	return e
}

// finish completes the block and returns dst with the block appended. If a pair did not fit, finish
// returns dst as of beginNameValue, and an error. Lengths and the count have only 16 bits in
// SPDY/2, and an overflow must be detected before compression (SPEC H14).
func (w *nameValueWriter) finish() ([]byte, error) {
	if w.err == nil && w.counts { // again has not been called, or has found the block too large
		w.err = &headerError{rule: "H15", text: "too large", tooLarge: true, size: w.total(), limit: w.limit, whole: true}
	}
	if w.err != nil {
		return w.dst[:w.start], w.err
	}
	w.appendInt(w.dst[:w.start], w.count)
	return w.dst, nil
}

// total returns the size of the block, in bytes.
func (w *nameValueWriter) total() int { return nvIntSize(w.v) + w.size }

// again reports whether the block has only been counted and is not too large. If so, again rewinds
// the writer to the beginning of the block, and from then on the writer appends all pairs.
func (w *nameValueWriter) again() bool {
	if !w.counts || w.err != nil || w.total() > w.limit {
		return false
	}
	total := w.total()
	*w = beginNameValue(slices.Grow(w.dst[:w.start], total), w.v)
	return true
}

func (w *nameValueWriter) maxInt() uint64 {
	if w.v == SPDY2 {
		return math.MaxUint16
	}
	return math.MaxUint32
}

func (w *nameValueWriter) appendInt(dst []byte, n int) []byte {
	if w.v == SPDY2 {
		return binary.BigEndian.AppendUint16(dst, uint16(n))
	}
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

// appendNameValue appends h as an uncompressed header block.
func appendNameValue(dst []byte, v Version, h HeaderBlock) ([]byte, error) {
	w := beginNameValue(dst, v)
	for i := range h {
		w.add(h[i].Name, h[i].Value)
	}
	return w.finish()
}

// parseNameValue parses an uncompressed header block and checks the rules H3 to H11. With maxPairs
// above 0, a block of more pairs is too large. The result holds no reference to p, and all text
// except well-known names shares one allocation. Errors are of type *headerError.
func parseNameValue(v Version, p []byte, maxPairs int) (HeaderBlock, error) {
	return parsePairs(v, p, maxPairs, httpPairs)
}

// parsePairs is parseNameValue with rules for the pairs.
func parsePairs(v Version, p []byte, maxPairs int, rules pairRules) (HeaderBlock, error) {
	count, size, err := scanNameValue(v, p, maxPairs, rules)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	text.Grow(size)
	h := make(HeaderBlock, count)
	r := nameValueReader{p: p[nvIntSize(v):], v: v}
	for i := range h {
		name, value, _ := r.next()
		h[i].Name = wellKnownName(name)
		if h[i].Name == "" {
			h[i].Name = appendText(&text, name)
		}
		h[i].Value = appendText(&text, value)
	}
	if err := checkUnique(h); err != nil {
		return nil, err
	}
	return h, nil
}

// scanNameValue checks a block without allocating. It returns the number of pairs, all verified to
// be present, and the bytes of text to be kept.
func scanNameValue(v Version, p []byte, maxPairs int, rules pairRules) (count, size int, err error) {
	n := nvIntSize(v)
	if len(p) < n {
		return 0, 0, headerErrorf("H3", "%d bytes are too few for the count", len(p))
	}
	declared := nvInt(v, p)
	if declared > uint64((len(p)-n)/(2*n)) {
		return 0, 0, headerErrorf("H3", "%d bytes cannot hold %d pairs", len(p), declared)
	}
	count = int(declared)
	if maxPairs > 0 && count > maxPairs {
		e := headerErrorf("H12", "%d pairs are more than the limit of %d", count, maxPairs)
		e.tooLarge = true
		return 0, 0, e
	}
	r := nameValueReader{p: p[n:], v: v}
	values := 0
	for range count {
		name, value, ok := r.next()
		if !ok {
			return 0, 0, headerErrorf("H3", "a pair goes past the end")
		}
		if err := rules.check(v, name, value); err != nil {
			return 0, 0, err
		}
		if rules == anyPairs {
			values += countValues(value)
		}
		if wellKnownName(name) == "" {
			size += len(name)
		}
		size += len(value)
	}
	if len(r.p) > 0 {
		return 0, 0, headerErrorf("H3", "%d bytes left over after the last pair", len(r.p))
	}
	return count, size, rules.checkValues(values, maxPairs)
}

// A nameValueReader iterates over the pairs of a block.
type nameValueReader struct {
	p []byte // the unread rest
	v Version
}

func (r *nameValueReader) next() (name, value []byte, ok bool) {
	if name, ok = r.bytes(); ok {
		value, ok = r.bytes()
	}
	return name, value, ok
}

func (r *nameValueReader) bytes() ([]byte, bool) {
	size := nvIntSize(r.v)
	if len(r.p) < size {
		return nil, false
	}
	n := nvInt(r.v, r.p)
	if n > uint64(len(r.p)-size) {
		return nil, false
	}
	b := r.p[size:][:n]
	r.p = r.p[size+len(b):]
	return b, true
}

// nvInt returns the integer at the start of p.
func nvInt(v Version, p []byte) uint64 {
	if v == SPDY2 {
		return uint64(binary.BigEndian.Uint16(p))
	}
	return uint64(binary.BigEndian.Uint32(p))
}

// appendText appends b to text and returns the appended part.
func appendText(text *strings.Builder, b []byte) string {
	start := text.Len()
	text.Write(b)
	return text.String()[start:]
}

// checkPair checks a single name and value.
func checkPair(v Version, name, value []byte) *headerError {
	if len(name) == 0 {
		return headerErrorf("H4", "empty name")
	}
	token := name
	if name[0] == ':' && len(name) > 1 {
		token = name[1:]
	}
	for _, c := range token {
		if byteClass[c]&nameByte == 0 {
			return headerErrorf("H5", "byte %#02x in name %s", c, shortName(string(name)))
		}
	}
	return checkValue(v, name, value)
}

// checkValue checks the bytes of a value and the NULs between the pieces. A piece may not be empty
// (SPEC H7). SPDY/2 peers do send empty values, so there only a doubled NUL is an error (SPEC H8,
// H9).
func checkValue(v Version, name, value []byte) *headerError {
	nulBefore := v != SPDY2
	for i, c := range value {
		if byteClass[c]&valueByte != 0 {
			nulBefore = false
			continue
		}
		if c != 0 {
			return headerErrorf("H11", "byte %#02x in the value of %s", c, shortName(string(name)))
		}
		if nulBefore || (v != SPDY2 && i == len(value)-1) {
			rule := "H7"
			if v == SPDY2 {
				rule = "H8"
			}
			return headerErrorf(rule, "stray NUL in the value of %s", shortName(string(name)))
		}
		nulBefore = true
	}
	return nil
}

// checkUnique returns an error if a name occurs twice (SPEC H6). Comparing all pairs of names is
// fastest for ordinary blocks. Large blocks use a map, so that a hostile peer cannot cause
// quadratic work.
func checkUnique(h HeaderBlock) error {
	const few = 32
	if len(h) > few {
		seen := make(map[string]struct{}, len(h))
		for i := range h {
			seen[h[i].Name] = struct{}{}
			if len(seen) <= i {
				return headerErrorf("H6", "%s occurs twice", nameInError(h[i].Name))
			}
		}
		return nil
	}
	for i := range h {
		for j := range i {
			if h[i].Name == h[j].Name {
				return headerErrorf("H6", "%s occurs twice", nameInError(h[i].Name))
			}
		}
	}
	return nil
}

// shortName quotes a name for an error message. Values never appear in error messages: they may be
// secrets.
func shortName(name string) string {
	const most = 64
	if len(name) > most {
		return fmt.Sprintf("%q...", name[:most])
	}
	return fmt.Sprintf("%q", name)
}

// nameInError is shortName with a word before the name. Names that HTTP does not allow are not
// shown.
func nameInError(name string) string {
	if !(&HeaderField{Name: name}).isHTTP() {
		return fmt.Sprintf("a name of %d bytes", len(name))
	}
	return "name " + shortName(name)
}

const (
	nameByte  = 1 << iota // may occur in a name: a token byte of HTTP, not upper case (SPEC H5)
	valueByte             // may occur in a value: no control byte but TAB, which HTTP allows (SPEC H11)
)

var byteClass = func() (t [256]uint8) {
	for c := range t {
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[c] |= valueByte
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
		t[c] |= nameByte
	}
	return t
}()

// wellKnownName returns name as a constant if it is among the most frequent header names, and ""
// otherwise.
func wellKnownName(name []byte) string {
	switch string(name) {
	case ":host":
		return ":host"
	case ":method":
		return ":method"
	case ":path":
		return ":path"
	case ":scheme":
		return ":scheme"
	case ":status":
		return ":status"
	case ":version":
		return ":version"
	case "accept":
		return "accept"
	case "accept-encoding":
		return "accept-encoding"
	case "accept-language":
		return "accept-language"
	case "accept-ranges":
		return "accept-ranges"
	case "age":
		return "age"
	case "authorization":
		return "authorization"
	case "cache-control":
		return "cache-control"
	case "content-encoding":
		return "content-encoding"
	case "content-length":
		return "content-length"
	case "content-type":
		return "content-type"
	case "cookie":
		return "cookie"
	case "date":
		return "date"
	case "etag":
		return "etag"
	case "expires":
		return "expires"
	case "host":
		return "host"
	case "if-modified-since":
		return "if-modified-since"
	case "if-none-match":
		return "if-none-match"
	case "last-modified":
		return "last-modified"
	case "location":
		return "location"
	case "method":
		return "method"
	case "origin":
		return "origin"
	case "range":
		return "range"
	case "referer":
		return "referer"
	case "scheme":
		return "scheme"
	case "server":
		return "server"
	case "set-cookie":
		return "set-cookie"
	case "status":
		return "status"
	case "streamtype":
		return "streamtype"
	case "url":
		return "url"
	case "user-agent":
		return "user-agent"
	case "vary":
		return "vary"
	case "version":
		return "version"
	case "via":
		return "via"
	case "x-forwarded-for":
		return "x-forwarded-for"
	}
	return ""
}
