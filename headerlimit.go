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
	// A SPDY block is larger than the HTTP/1.1 header with the same fields: each pair needs up to
	// five bytes more, and proxies add fields. For this reason a block may exceed a limit of
	// net/http by the fraction 1/blockShare, and by the blockSlop bytes that net/http adds to the
	// limit.
	blockShare = 16
	blockSlop  = 4096

	// blockBytes of net/http's defaults: http.DefaultMaxHeaderBytes for a request, and 10 MiB for a
	// response.
	defaultMaxHeaderBytes       = http.DefaultMaxHeaderBytes + http.DefaultMaxHeaderBytes/blockShare + blockSlop
	defaultMaxAnswerHeaderBytes = 10<<20 + 10<<20/blockShare + blockSlop

	// largestHeaderLimit is the largest MaxHeaderBytes. The products with hardHeaderFactor and
	// rawHeaderFactor fit in 32 bits.
	largestHeaderLimit = math.MaxInt32 / rawHeaderFactor

	// Inflating stops, and the session ends, at hardHeaderFactor times MaxHeaderBytes or
	// at leastHardLimit, whichever is larger. The block of an honest sender is smaller
	// than leastHardLimit, however small our own limit is.
	hardHeaderFactor = 4
	leastHardLimit   = 16 << 20

	// A block of largestSentBlock bytes fits in a frame even if compression makes the block longer:
	// a literal of deflate's fixed code has at most nine bits, a match has fewer bits than the
	// literals, and a stored block adds five bytes to 65,535. blockOverhead covers the fields of
	// the frame, the header of the zlib stream and the end of the block.
	largestSentBlock = (MAX_DATA_PAYLOAD - blockOverhead) / 9 * 8
	blockOverhead    = 64
)

// blockBytes returns the size of a header block with the fields of an HTTP/1.1 header of n bytes.
func blockBytes(n int64) int {
	n = min(n, largestHeaderLimit)
	return int(min(n+n/blockShare+blockSlop, largestHeaderLimit))
}

// headerDefaults sets the limits for header blocks to the effective values. A client receives
// responses and sends requests.
func (c *Config) headerDefaults(client bool) {
	receive, send := defaultMaxHeaderBytes, defaultMaxAnswerHeaderBytes
	if client {
		receive, send = send, receive
	}
	orDefault(&c.MaxHeaderBytes, receive)
	orDefault(&c.MaxSendHeaderBytes, send)
	c.MaxHeaderBytes = min(c.MaxHeaderBytes, largestHeaderLimit)
	c.MaxSendHeaderBytes = min(c.MaxSendHeaderBytes, largestSentBlock)
}

// rawHeaders returns a copy of c with the limits of a raw session, which are equal on both sides.
func (c *Config) rawHeaders() *Config {
	var d Config
	if c != nil {
		d = *c
	}
	orDefault(&d.MaxHeaderBytes, defaultMaxHeaderBytes)
	orDefault(&d.MaxSendHeaderBytes, defaultMaxHeaderBytes)
	return &d
}

// hardHeaderLimit returns the size limit at which inflating a block stops and the session ends.
func (c *Config) hardHeaderLimit() int {
	return max(hardHeaderFactor*c.MaxHeaderBytes, leastHardLimit)
}

// sideHeaderLimit returns the limit for a SYN_STREAM, and for all late HEADERS of a stream
// together. An HTTP client allows much less for pushes and trailers than for responses.
func (s *Session) sideHeaderLimit() int {
	if s.client && !s.isRaw() {
		return min(s.conf.MaxHeaderBytes, defaultMaxHeaderBytes)
	}
	return s.conf.MaxHeaderBytes
}

// controlLimit returns the largest payload, in bytes, of a control frame of the peer. An HTTP
// header block that a peer sends by default always fits: the block may originate from a third
// party, and a larger frame ends the whole session.
func (s *Session) controlLimit(t FrameType) int {
	if !t.hasHeaderBlock() || s.isRaw() {
		return s.conf.MaxControlFrame
	}
	honest := s.honestBlock()
	return max(s.conf.MaxControlFrame, honest+honest/8+blockOverhead) // see largestSentBlock
}

// A HeaderTooLargeError is the error of a header block that this side did not send: the block is
// larger than Config.MaxSendHeaderBytes, has too many names, or has a name or value of more than
// the 65,535 bytes of SPDY/2 (SPEC H14, H15). Nothing of the block has been sent, and the session
// and all other streams are unaffected. A HeaderTooLargeError matches ErrInvalidHeader.
type HeaderTooLargeError struct {
	Part  string // "request", "answer", "trailers", "push", or "headers" of a raw stream
	Size  int    // bytes of the uncompressed block, or of the name or value in Err
	Limit int    // maximum of Size
	Names bool   // Size and Limit count the names in the block, not bytes
	Err   error  // identifies the name or value that is too large; nil if the whole block is
}

// Error returns the part and the size, but no values.
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

// keepBlock stores the encoded block b in buf, the blockPool buffer that b was appended to. If
// encoding failed with err, or if b is too large to be sent, keepBlock returns buf to the pool and
// returns the error. Every block in the header queue has passed keepBlock, and the sender relies on
// the size limit (SPEC H15).
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

// tooLargeToSend converts an encoding error about a size to a *HeaderTooLargeError and returns
// other errors unchanged.
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
		limit = min(limit, defaultMaxHeaderBytes) // equals sideHeaderLimit of the client
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

// answersTooLarge returns the application that responds to f, a SYN_STREAM with an oversized block,
// with status 431 (RFC 6585 §5), as net/http's server does. answersTooLarge returns nil if the
// stream must be reset instead.
func (s *Session) answersTooLarge(f synStream, spoilt *StreamError) *httpServerApp {
	if !spoilt.tooLarge() || f.assoc != 0 || f.flags&FlagUnidirectional != 0 {
		return nil
	}
	app, _ := s.app.(*httpServerApp)
	return app
}

// honestBlock returns the size in bytes of the largest header block that a peer sends by default.
// Such a block costs no more than an accepted block, so it is not charged where a limit is lower.
func (s *Session) honestBlock() int {
	if _, http := s.app.(*httpClientApp); http {
		return defaultMaxAnswerHeaderBytes
	}
	return defaultMaxHeaderBytes
}
