package spdy

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
)

// SPDY announces no limit for headers, so each side has to know when a block is too
// large before it is sent, and a receiver has to put up with what an honest sender may
// send. This file has the limits of both directions.

const (
	// A SPDY block is larger than the HTTP/1.1 header with the same fields: a pair takes
	// up to five bytes more, and proxies add fields. blockShare is the part of a limit
	// that is added for that, and blockSlop what net/http adds to its own limit.
	blockShare = 16
	blockSlop  = 4096

	// What blockBytes makes of net/http's defaults: http.DefaultMaxHeaderBytes for a
	// request, and 10 MiB for an answer.
	defaultMaxHeaderBytes       = http.DefaultMaxHeaderBytes + http.DefaultMaxHeaderBytes/blockShare + blockSlop
	defaultMaxAnswerHeaderBytes = 10<<20 + 10<<20/blockShare + blockSlop

	// largestHeaderLimit is the largest limit for a block that is received. Its multiples
	// (hardHeaderFactor, rawHeaderFactor) fit in 32 bits.
	largestHeaderLimit = math.MaxInt32 / rawHeaderFactor

	// hardHeaderFactor times MaxHeaderBytes is where inflating stops, but never below
	// leastHardLimit: no honest sender's block is larger, whatever its own limits are,
	// unless it compresses better than to a sixteenth of what a frame can carry.
	hardHeaderFactor = 4
	leastHardLimit   = 16 << 20

	// largestSentBlock bytes fit in a frame even if compressing them makes them longer:
	// the fixed codes of deflate take at most nine bits for a byte, a match takes fewer
	// than its bytes do, and stored blocks add five bytes to each 65,535. blockOverhead
	// is more than the fields of the frame, the header of the zlib stream and the end
	// of a block take.
	largestSentBlock = (MAX_DATA_PAYLOAD - blockOverhead) / 9 * 8
	blockOverhead    = 64
)

// blockBytes returns the size of a header block that holds what n bytes of an HTTP/1.1
// header do.
func blockBytes(n int64) int {
	n = min(n, largestHeaderLimit)
	return int(min(n+n/blockShare+blockSlop, largestHeaderLimit))
}

// headerDefaults gives the limits for header blocks their effective values. A client
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

// rawHeaders returns a configuration with the limits of a raw session, whose two sides
// are alike.
func (c *Config) rawHeaders() *Config {
	var d Config
	if c != nil {
		d = *c
	}
	orDefault(&d.MaxHeaderBytes, defaultMaxHeaderBytes)
	orDefault(&d.MaxSendHeaderBytes, defaultMaxHeaderBytes)
	return &d
}

// hardHeaderLimit is the size of an inflated block that ends the session.
func (c *Config) hardHeaderLimit() int {
	return max(hardHeaderFactor*c.MaxHeaderBytes, leastHardLimit)
}

// sideHeaderLimit is the limit for header blocks that are not the answer to a request
// of a client: pushes, and all late HEADERS of a stream together. A client allows
// answers much more than that.
func (s *Session) sideHeaderLimit() int {
	if s.client && !s.isRaw() {
		return min(s.conf.MaxHeaderBytes, defaultMaxHeaderBytes)
	}
	return s.conf.MaxHeaderBytes
}

// A HeaderTooLargeError is the error of a header block that this side did not send
// because it is too large: larger than Config.MaxSendHeaderBytes, with too many names, or
// with a name or value that SPDY/2 cannot express. Nothing of the block has been sent,
// and neither the session nor any other stream is affected. It matches ErrInvalidHeader.
type HeaderTooLargeError struct {
	Part  string // "request", "answer", "trailers", "push", or "headers" of a raw stream
	Size  int    // in bytes, uncompressed; of the block or of the name or value that is too large
	Limit int    // the largest Size that can be sent
	Names bool   // Size and Limit count the names in the block instead of bytes
	Err   error  // which name or value is too large; nil if the block is
}

// Error says what is too large. It shows no values.
func (e *HeaderTooLargeError) Error() string {
	what := "bytes"
	if e.Names {
		what = "names"
	}
	text := fmt.Sprintf("spdy: header block too large to send: %s of %d %s, more than %d", e.Part, e.Size, what, e.Limit)
	if e.Err != nil {
		text = "spdy: header block too large to send: " + e.Part + ": " + strings.TrimPrefix(e.Err.Error(), "spdy: ")
	}
	return text
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

// keepBlock takes over an encoded block b, whose memory is that of buf, which comes from
// blockPool. If encoding it has failed with err, or it is too large to be sent, buf goes
// back to the pool and the error is returned. All blocks that the sender gets have passed
// here: it relies on their size, and compresses none that it could not send.
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

// tooLargeToSend turns the error of a block that could not be encoded because of a size
// into a *HeaderTooLargeError. It returns other errors as they are.
func tooLargeToSend(part string, err error) error {
	var he *headerError
	if errors.As(err, &he) && he.tooLarge {
		return &HeaderTooLargeError{Part: part, Size: he.size, Limit: he.limit, Names: he.names, Err: he}
	}
	return err
}

// checkSize checks that an encoded block may be sent.
func (s *Session) checkSize(part string, b []byte) error {
	names, most := int(nvInt(s.version, b)), max(s.conf.MaxHeaderFields, defaultMaxHeaderFields)
	switch {
	case len(b) > s.conf.MaxSendHeaderBytes:
		return &HeaderTooLargeError{Part: part, Size: len(b), Limit: s.conf.MaxSendHeaderBytes}
	case names > most:
		return &HeaderTooLargeError{Part: part, Size: names, Limit: most, Names: true}
	}
	return nil
}

// tooLarge reports whether a stream error is about the size of a header block.
func (e *StreamError) tooLarge() bool { return e != nil && e.Status == RstFrameTooLarge && !e.Remote }

// answersTooLarge returns the application that answers the SYN_STREAM f, whose block is
// too large, with status 431 as net/http's server does (RFC 6585 §5). It is nil if the
// stream is to be reset.
func (s *Session) answersTooLarge(f synStream, spoilt *StreamError) *httpServerApp {
	if !spoilt.tooLarge() || f.assoc != 0 || f.flags&FlagUnidirectional != 0 {
		return nil
	}
	app, _ := s.app.(*httpServerApp)
	return app
}
