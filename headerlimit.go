package spdy

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
)

// SPDY announces no limit for headers. A sender therefore checks the size of a block
// before it queues the block, and a receiver inflates every block of an honest sender.
// This file holds the limits of both directions.

const (
	// A SPDY block is larger than the HTTP/1.1 header with the same fields: each pair
	// needs up to five bytes more, and proxies add fields. A block may be larger than a
	// limit of net/http by the fraction 1/blockShare for this reason, and by the
	// blockSlop bytes that net/http adds to its limit.
	blockShare = 16
	blockSlop  = 4096

	// blockBytes of net/http's defaults: http.DefaultMaxHeaderBytes for a request, and
	// 10 MiB for an answer.
	defaultMaxHeaderBytes       = http.DefaultMaxHeaderBytes + http.DefaultMaxHeaderBytes/blockShare + blockSlop
	defaultMaxAnswerHeaderBytes = 10<<20 + 10<<20/blockShare + blockSlop

	// largestHeaderLimit is the largest MaxHeaderBytes. Its products with
	// hardHeaderFactor and rawHeaderFactor fit in 32 bits.
	largestHeaderLimit = math.MaxInt32 / rawHeaderFactor

	// Inflating stops, and the session ends, at hardHeaderFactor times MaxHeaderBytes or
	// at leastHardLimit, whichever is larger. The block of an honest sender is smaller
	// than leastHardLimit, however small our own limit is.
	hardHeaderFactor = 4
	leastHardLimit   = 16 << 20

	// A block of largestSentBlock bytes fits in a frame even if compression makes it
	// longer: a literal of deflate's fixed code has at most nine bits, a match has fewer
	// than its literals, and a stored block adds five bytes to 65,535. blockOverhead
	// covers the fields of the frame, the header of the zlib stream and the end of the
	// block.
	largestSentBlock = (MAX_DATA_PAYLOAD - blockOverhead) / 9 * 8
	blockOverhead    = 64
)

// blockBytes returns the size of a header block that holds what n bytes of an HTTP/1.1
// header do.
func blockBytes(n int64) int {
	n = min(n, largestHeaderLimit)
	return int(min(n+n/blockShare+blockSlop, largestHeaderLimit))
}

// headerDefaults sets the limits for header blocks to their effective values. A client
// receives answers and sends requests.
func (c *Config) headerDefaults(client bool) {
	receive, send := defaultMaxHeaderBytes, defaultMaxAnswerHeaderBytes
	if client {
		receive, send = send, receive
	}
	orDefault(&c.MaxHeaderBytes, receive)
	orDefault(&c.MaxHeaderFields, defaultMaxHeaderFields)
	orDefault(&c.MaxSendHeaderBytes, send)
	c.MaxHeaderBytes = min(c.MaxHeaderBytes, largestHeaderLimit)
	c.MaxSendHeaderBytes = min(c.MaxSendHeaderBytes, largestSentBlock)
}

// rawHeaders returns a copy of c with the limits of a raw session, which are equal on
// both sides.
func (c *Config) rawHeaders() *Config {
	var d Config
	if c != nil {
		d = *c
	}
	orDefault(&d.MaxHeaderBytes, defaultMaxHeaderBytes)
	orDefault(&d.MaxSendHeaderBytes, defaultMaxHeaderBytes)
	return &d
}

// hardHeaderLimit returns the size from which on an inflated block ends the session.
func (c *Config) hardHeaderLimit() int {
	return max(hardHeaderFactor*c.MaxHeaderBytes, leastHardLimit)
}

// sideHeaderLimit returns the limit for a SYN_STREAM, and for all late HEADERS of a
// stream together. A client of HTTP allows pushes and trailers much less than answers.
func (s *Session) sideHeaderLimit() int {
	if s.client && !s.isRaw() {
		return min(s.conf.MaxHeaderBytes, defaultMaxHeaderBytes)
	}
	return s.conf.MaxHeaderBytes
}

// controlLimit is the largest payload of a control frame of the peer, in bytes. A header block of
// HTTP that a peer sends by default always fits: a stranger has chosen it, and the session ends
// with the frame.
func (s *Session) controlLimit(t FrameType) int {
	if !t.hasHeaderBlock() || s.isRaw() {
		return s.conf.MaxControlFrame
	}
	honest := s.honestBlock()
	return max(s.conf.MaxControlFrame, honest+honest/8+blockOverhead) // see largestSentBlock
}

// A HeaderTooLargeError is the error of a header block that this side did not send: the
// block is larger than Config.MaxSendHeaderBytes, has too many names, or has a name or
// value of more than the 65,535 bytes of SPDY/2 (SPEC H14, H15). Nothing of the block has
// been sent, and the session and all other streams are unaffected. It matches
// ErrInvalidHeader.
type HeaderTooLargeError struct {
	Part  string // "request", "answer", "trailers", "push", or "headers" of a raw stream
	Size  int    // bytes of the uncompressed block, or of the name or value in Err
	Limit int    // the largest Size that can be sent
	Names bool   // true if Size and Limit count the names in the block, not bytes
	Err   error  // names the name or value that is too large; nil if the whole block is
}

// Error names the part and its size. It shows no values.
func (e *HeaderTooLargeError) Error() string {
	unit := "bytes"
	if e.Names {
		unit = "names"
	}
	text := "spdy: header block too large to send: " + e.Part
	if e.Err != nil {
		return text + ": " + strings.TrimPrefix(e.Err.Error(), "spdy: ")
	}
	return fmt.Sprintf("%s of %d %s, more than %d", text, e.Size, unit, e.Limit)
}

// Is reports whether target is ErrInvalidHeader.
func (e *HeaderTooLargeError) Is(target error) bool { return target == ErrInvalidHeader }

// Unwrap returns Err.
func (e *HeaderTooLargeError) Unwrap() error { return e.Err }

// The parts of a HeaderTooLargeError.
const (
	partRequest  = "request"
	partAnswer   = "answer"
	partTrailers = "trailers"
	partPush     = "push"
	partRaw      = "headers"
)

// keepBlock stores the encoded block b in buf, a buffer of blockPool that b was appended
// to. If encoding failed with err, or if b is too large to be sent, keepBlock returns buf
// to the pool and returns the error. Every block in the header queue has passed keepBlock,
// and the sender relies on its size (SPEC H15).
func (s *Session) keepBlock(part string, buf *[]byte, b []byte, err error) error {
	if err == nil {
		err = s.checkSize(part, b)
	}
	if err != nil {
		putBlock(buf)
		return tooLargeToSend(part, err)
	}
	*buf = b
	return nil
}

// tooLargeToSend converts an encoding error about a size to a *HeaderTooLargeError. It
// returns other errors unchanged.
func tooLargeToSend(part string, err error) error {
	var he *headerError
	switch {
	case !errors.As(err, &he) || !he.tooLarge:
		return err
	case he.whole:
		return &HeaderTooLargeError{Part: part, Size: he.size, Limit: he.limit}
	default:
		return &HeaderTooLargeError{Part: part, Size: he.size, Limit: he.limit, Names: he.names, Err: he}
	}
}

// checkSize returns an error if an encoded block is too large to be sent.
func (s *Session) checkSize(part string, b []byte) error {
	names, most := int(nvInt(s.version, b)), max(s.conf.MaxHeaderFields, defaultMaxHeaderFields)
	limit := s.conf.MaxSendHeaderBytes
	if !s.client && (part == partTrailers || part == partPush) {
		limit = min(limit, defaultMaxHeaderBytes) // as sideHeaderLimit of its client
	}
	switch {
	case len(b) > limit:
		return &HeaderTooLargeError{Part: part, Size: len(b), Limit: limit}
	case names > most:
		return &HeaderTooLargeError{Part: part, Size: names, Limit: most, Names: true}
	}
	return nil
}

// tooLarge reports whether e is our error about the size of a header block.
func (e *StreamError) tooLarge() bool { return e != nil && e.Status == RstFrameTooLarge && !e.Remote }

// answersTooLarge returns the application that answers f, a SYN_STREAM whose block is too
// large, with status 431 (RFC 6585 §5) as net/http's server does. It returns nil if the
// stream has to be reset instead.
func (s *Session) answersTooLarge(f synStream, spoilt *StreamError) *httpServerApp {
	if !spoilt.tooLarge() || f.assoc != 0 || f.flags&FlagUnidirectional != 0 {
		return nil
	}
	app, _ := s.app.(*httpServerApp)
	return app
}

// honestBlock is the size in bytes of the largest header block that a peer sends by default.
// It costs no more than one that is accepted, so it is not charged where a limit is lower.
func (s *Session) honestBlock() int {
	if _, http := s.app.(*httpClientApp); http {
		return defaultMaxAnswerHeaderBytes
	}
	return defaultMaxHeaderBytes
}
