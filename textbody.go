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

// A textBody parses the body of an HTTP/1.1 response while a handler writes it, in parts of any
// size. It finds the end of the body, and decodes chunks and the trailer as strictly as net/http.
// It is not safe for concurrent use.
type textBody struct {
	chunked bool
	left    int64 // remaining bytes of the body or of a chunk; -1 if the body ends with the connection
	state   chunkState
	line    []byte      // incomplete line of the chunked encoding, or incomplete trailer
	excess  int64       // bytes of chunk lines beyond the allowance for the size of the chunks
	trailer http.Header // nil if there is none
}

// A chunkState is the next part of a chunked body.
type chunkState uint8

const (
	chunkSize chunkState = iota // a line with the size
	chunkData                   // left bytes
	chunkEnd                    // the empty line after the bytes
	chunkTail                   // the trailer, to an empty line
	chunkOver                   // nothing
)

// The limits of net/http's client. maxChunkLine limits a chunk line and the trailer. maxChunkExcess
// limits the bytes of chunk lines beyond 16 bytes for each chunk and two for each byte of data.
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

// pass returns the body's bytes in the next part of the text, and whether they end the body. Text
// after the body is discarded. The bytes returned with an error belong to the body.
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

// takeLine parses a chunk line.
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

// takeTrailer parses the trailer, once it is complete.
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
