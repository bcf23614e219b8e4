package spdy

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// A textBody is the body of an answer of HTTP/1.1 as it is written, in parts of any size. It
// finds the end of the body, and decodes chunks and their trailer as strictly as net/http. One
// goroutine at a time uses it.
type textBody struct {
	chunked bool
	left    int64 // bytes of the body or of a chunk that are still to come; -1 if the end of the connection ends it
	state   chunkState
	line    []byte      // a line about a chunk, or the trailer, not complete
	excess  int64       // bytes about chunks beyond those that the size of the chunks allows
	trailer http.Header // nil if there is none
}

// A chunkState is what comes next of a chunked body.
type chunkState uint8

const (
	chunkSize chunkState = iota // a line with the size
	chunkData                   // left bytes
	chunkEnd                    // the empty line behind them
	chunkTail                   // the trailer, to an empty line
	chunkOver                   // nothing
)

// The limits of net/http's client: of a line about a chunk and of the trailer, and of what
// lines about chunks have more than 16 bytes for each chunk and two for each byte in it.
const (
	maxChunkLine   = 4 << 10
	maxChunkExcess = 16 << 10
)

func newTextBody(res *http.Response) *textBody {
	if !bodyAllowed(res.StatusCode) {
		return &textBody{left: 0}
	}
	if len(res.TransferEncoding) > 0 && res.TransferEncoding[0] == "chunked" {
		return &textBody{chunked: true}
	}
	return &textBody{left: res.ContentLength}
}

// complete reports whether the body may end here.
func (b *textBody) complete() bool {
	if b.chunked {
		return b.state == chunkOver
	}
	return b.left <= 0
}

// pass returns the bytes of the body in the next part of the text, and whether it ends with
// them. What follows the body is dropped. The bytes before an error belong to the body.
func (b *textBody) pass(p []byte) (body []byte, last bool, err error) {
	switch {
	case b.chunked:
		body, err = b.passChunks(p)
		return body, b.state == chunkOver, err
	case b.left < 0:
		return p, false, nil
	}
	body = p[:min(int64(len(p)), b.left)]
	b.left -= int64(len(body))
	return body, b.left == 0, nil
}

func (b *textBody) passChunks(p []byte) (body []byte, err error) {
	for len(p) > 0 && b.state != chunkOver {
		if b.state == chunkData {
			n := int(min(int64(len(p)), b.left))
			body = append(body, p[:n]...)
			p, b.left = p[n:], b.left-int64(n)
			if b.left == 0 {
				b.state = chunkEnd
			}
			continue
		}
		end := bytes.IndexByte(p, '\n')
		part := p[:end+1]
		if end < 0 {
			part = p
		}
		if b.line = append(b.line, part...); len(b.line) > maxChunkLine {
			return body, fmt.Errorf("%w: a chunk with a line or a trailer of more than %d bytes", errBadAnswer, maxChunkLine)
		}
		p = p[len(part):]
		if end < 0 {
			break
		}
		if b.state == chunkTail {
			err = b.takeTrailer()
		} else {
			err = b.takeLine()
		}
		if err != nil {
			return body, err
		}
	}
	return body, nil
}

// takeLine takes a line about a chunk.
func (b *textBody) takeLine() error {
	line, ended := strings.CutSuffix(string(b.line), "\r\n")
	if !ended || strings.Contains(line, "\r") {
		return fmt.Errorf("%w: a line about a chunk does not end in CR LF", errBadAnswer)
	}
	b.line = b.line[:0]
	if b.state == chunkEnd {
		if line != "" {
			return fmt.Errorf("%w: a chunk is longer than its size", errBadAnswer)
		}
		b.state = chunkSize
		return nil
	}
	digits, _, _ := strings.Cut(strings.TrimRight(line, " \t"), ";")
	size, err := strconv.ParseUint(digits, 16, 62)
	if err != nil {
		return fmt.Errorf("%w: %q is no size of a chunk", errBadAnswer, shortName(digits))
	}
	b.excess = max(0, b.excess+int64(len(line)+len("\r\n"))-16-2*int64(min(size, maxChunkExcess)))
	if b.excess > maxChunkExcess {
		return fmt.Errorf("%w: chunks with more about them than in them", errBadAnswer)
	}
	if b.left, b.state = int64(size), chunkData; size == 0 {
		b.state = chunkTail
	}
	return nil
}

// takeTrailer takes a line of the trailer.
func (b *textBody) takeTrailer() (err error) {
	if string(b.line) == "\r\n" {
		b.state = chunkOver
		return nil
	}
	if !bytes.HasSuffix(b.line, []byte("\r\n\r\n")) {
		return nil
	}
	trailer, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(b.line))).ReadMIMEHeader()
	if err != nil {
		return fmt.Errorf("%w: %w", errBadAnswer, err)
	}
	b.trailer, b.state = http.Header(trailer), chunkOver
	return nil
}
