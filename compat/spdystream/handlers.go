package spdystream

import (
	"io"
	"net/http"
	"os"
)

// A StreamHandler is called with each stream that the peer opens, in a separate goroutine, even if
// the peer ends the connection right after opening the stream. Streams that the peer has reset
// before the call are skipped. The handler replies with SendReply, Refuse or Reset, at once or
// later.
type StreamHandler func(stream *Stream)

// An AuthHandler decides whether a stream may be opened. The type is kept for programs that name
// it: as in the original, no function accepts an AuthHandler.
type AuthHandler func(header http.Header, slot uint8, parent uint32) bool

// DEBUG is kept for programs that name it. Setting DEBUG has no effect: sessions log to the logger
// of package github.com/amahi/spdy.
var DEBUG = os.Getenv("DEBUG")

// MirrorStreamHandler accepts the stream and echoes received bytes and headers until the peer
// closes the peer's half. A stream that breaks off is reset.
func MirrorStreamHandler(stream *Stream) {
	if stream.SendReply(http.Header{}, false) != nil {
		return
	}
	go func() { // ends with the stream
		for {
			header, err := stream.ReceiveHeader()
			if err != nil || stream.SendHeader(header, false) != nil {
				return
			}
		}
	}()
	go func() { // ends with the stream
		if _, err := io.Copy(stream, stream); err != nil {
			_ = stream.Reset()
			return
		}
		_ = stream.Close()
	}()
}

// NoOpStreamHandler accepts the stream and does nothing else.
func NoOpStreamHandler(stream *Stream) {
	_ = stream.SendReply(http.Header{}, false)
}
