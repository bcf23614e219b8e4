package spdy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A recording is what went over the wire, each way, in a session of three streams.
type recording struct {
	up, down []byte
}

// threeBodies are the bodies of the three streams, 1, 3 and 5, in either direction.
var threeBodies = [3]struct {
	id     uint32
	path   string
	up     int64 // bytes of request body
	length bool  // both bodies have a Content-Length, and come in one frame
	down   int64
}{
	{1, "/length", 300, true, 700},
	{3, "/pieces", 500, false, 900},
	{5, "/small", 1, false, 40},
}

// A pieceReader returns at most n bytes at once, so that each becomes a frame.
type pieceReader struct {
	io.Reader
	n int
}

func (p pieceReader) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.n)]) }

// threeRequest is the i-th request of a recording.
func threeRequest(t testing.TB, i int) *http.Request {
	b := threeBodies[i]
	req, err := http.NewRequest("POST", "http://x"+b.path, nil)
	require.NoError(t, err)
	req.Body = io.NopCloser(newPattern(int64(i), b.up))
	if b.length {
		req.ContentLength = b.up
	} else {
		req.Body = io.NopCloser(pieceReader{newPattern(int64(i), b.up), 150})
		req.Trailer = http.Header{"Sum": {fmt.Sprint(b.up)}}
	}
	return req
}

// threeIndex finds a path in threeBodies.
func threeIndex(path string) int {
	for i, b := range threeBodies {
		if b.path == path {
			return i
		}
	}
	panic("no body for " + path)
}

// answerThree writes the i-th answer of a recording.
func answerThree(w http.ResponseWriter, i int) {
	b := threeBodies[i]
	if b.length {
		w.Header().Set("Content-Length", fmt.Sprint(b.down))
		io.Copy(w, newPattern(int64(10+i), b.down))
		return
	}
	w.Header().Set("Trailer", "Sum")
	src := newPattern(int64(10+i), b.down)
	for {
		n, _ := io.CopyN(w, src, 200)
		w.(http.Flusher).Flush()
		if n < 200 {
			break
		}
	}
	w.Header().Set("Sum", fmt.Sprint(b.down))
}

// record runs a session and records it.
func record(t *testing.T) (rec recording) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		if err == nil {
			answerThree(w, threeIndex(r.URL.Path))
		}
	}, rigSetup{conn: []testconn.Option{testconn.Record()}}, func(t *testing.T, r *rig) {
		for i := range threeBodies {
			_, body, err := r.fetch(threeRequest(t, i))
			require.NoError(t, err)
			require.Len(t, body, int(threeBodies[i].down))
		}
		synctest.Wait()
		rec = recording{up: r.cc.Sent(), down: r.sc.Sent()}
	})
	for _, b := range threeBodies {
		require.True(t, finDelivered(rec.up, b.id))
		require.True(t, finDelivered(rec.down, b.id))
	}
	return rec
}

// walkFrames calls f with each whole frame in b.
func walkFrames(b []byte, f func(h frameHeader, frame []byte)) {
	for len(b) >= frameHeaderSize {
		h := parseFrameHeader(b)
		end := frameHeaderSize + h.length
		if end > len(b) {
			return
		}
		f(h, b[:end])
		b = b[end:]
	}
}

// frameEnds returns where frames end, and 0.
func frameEnds(b []byte) []int {
	ends := []int{0}
	walkFrames(b, func(_ frameHeader, frame []byte) {
		ends = append(ends, ends[len(ends)-1]+len(frame))
	})
	return ends
}

// frameStream is the stream that a frame is about, 0 for none.
func frameStream(h frameHeader, frame []byte) uint32 {
	if !h.control {
		return h.streamID
	}
	if h.typ.hasHeaderBlock() {
		return binary.BigEndian.Uint32(frame[8:]) & maxStreamID // SPEC F9
	}
	return 0
}

// finDelivered reports whether b has a whole frame with the FIN of a stream.
func finDelivered(b []byte, id uint32) (fin bool) {
	walkFrames(b, func(h frameHeader, frame []byte) {
		fin = fin || frameStream(h, frame) == id && h.flags&FlagFin != 0
	})
	return fin
}

// headDelivered reports whether b has the whole SYN_STREAM or SYN_REPLY of a stream.
func headDelivered(b []byte, id uint32) (head bool) {
	walkFrames(b, func(h frameHeader, frame []byte) {
		head = head || h.control && (h.typ == FrameSynStream || h.typ == FrameSynReply) && frameStream(h, frame) == id
	})
	return head
}

// withoutData returns b without the DATA of a stream, as a peer would send it that
// has reset the stream. Header blocks stay: the compression needs them.
func withoutData(b []byte, id uint32) []byte {
	var kept []byte
	walkFrames(b, func(h frameHeader, frame []byte) {
		if h.control || h.streamID != id {
			kept = append(kept, frame...)
		}
	})
	return kept
}

// A readBody is what came of one stream.
type readBody struct {
	data    []byte
	trailer string
	err     error
	head    bool // there was a head
}

// check compares a body with what should have come of the i-th stream, whose frames
// up to the cut are in sent.
func (b *readBody) check(t testing.TB, sent []byte, i int, down bool) {
	t.Helper()
	body := threeBodies[i]
	seed, size := int64(i), body.up
	if down {
		seed, size = 10+seed, body.down
	}
	require.True(t, bytes.HasPrefix(patternBytes(seed, size), b.data), "other bytes than were sent")
	require.Equal(t, headDelivered(sent, body.id), b.head)
	if finDelivered(sent, body.id) {
		require.NoError(t, b.err)
		require.Len(t, b.data, int(size))
		if !body.length && !(down && testVersion(t) == SPDY2) { // SPEC R12
			require.Equal(t, fmt.Sprint(size), b.trailer)
		}
		return
	}
	require.Error(t, b.err, "%d of %d bytes, and no error", len(b.data), size)
	if b.head {
		requireBrokenOff(t, b.err)
	}
}

func patternBytes(seed, size int64) []byte {
	b, _ := io.ReadAll(newPattern(seed, size))
	return b
}
