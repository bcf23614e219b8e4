package spdy

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// A pieceConn is a connection whose Reads return what next says: at most that
// many bytes, 0 for none. It ends with err after data.
type pieceConn struct {
	net.Conn
	data  []byte
	err   error
	next  func() int
	reads int
}

func (c *pieceConn) Read(p []byte) (int, error) {
	c.reads++
	if len(c.data) == 0 {
		return 0, c.err
	}
	n := len(c.data)
	if c.next != nil {
		n = min(n, c.next())
	}
	n = copy(p, c.data[:n])
	c.data = c.data[n:]
	return n, nil
}

// TestReaderAnySplit reads one sequence of frames however it is cut (SPEC F1),
// with every way of reading a payload.
func TestReaderAnySplit(t *testing.T) {
	sizes := []int{0, 1, 511, 512, 513, 3, 32 << 10, 32<<10 + 1, 7, 70 << 10, 0, 600}
	var wire []byte
	for i, n := range sizes {
		wire = appendDataHeader(wire, uint32(i+1), 0, n)
		wire = append(wire, testBytes(n)...)
	}
	cuts := map[string]func() func() int{
		"whole":      func() func() int { return nil },
		"one byte":   func() func() int { return func() int { return 1 } },
		"511":        func() func() int { return func() int { return 511 } },
		"512":        func() func() int { return func() int { return 512 } },
		"with empty": func() func() int { n := 0; return func() int { n++; return n % 3 * 100 } },
	}
	for seed := range uint64(4) {
		cuts[fmt.Sprint("random ", seed)] = func() func() int {
			r := rand.New(rand.NewPCG(seed, 4))
			return func() int { return 1 + r.IntN(1<<r.IntN(17)) }
		}
	}
	for name, cut := range cuts {
		for _, how := range []string{"some", "piece", "exactly", "skip"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				r := &reader{conn: &pieceConn{data: wire, err: io.EOF, next: cut()}}
				for i, n := range sizes {
					h, err := r.header()
					require.NoError(t, err)
					require.Equal(t, frameHeader{streamID: uint32(i + 1), length: n}, h)
					readPayload(t, r, how, n)
				}
				_, err := r.header()
				require.Equal(t, io.EOF, err, "the end between two frames")
				r.close()
				require.Nil(t, r.large)
			})
		}
	}
}

func readPayload(t *testing.T, r *reader, how string, n int) {
	t.Helper()
	switch how {
	case "skip":
		require.NoError(t, r.skip(n))
	case "exactly":
		p, err := r.exactly(n)
		require.NoError(t, err)
		require.True(t, bytes.Equal(testBytes(n), p))
	case "some":
		var got []byte
		for len(got) < n {
			p, err := r.some(n - len(got))
			require.NoError(t, err)
			require.NotEmpty(t, p)
			got = append(got, p...)
		}
		require.True(t, bytes.Equal(testBytes(n), got))
	case "piece":
		var got []byte
		for len(got) < n {
			p, whole, err := r.piece(n - len(got))
			require.NoError(t, err)
			if whole != nil {
				p = whole.data[whole.r:whole.w]
				require.GreaterOrEqual(t, len(p), mostOfBuffer, "a chunk that is nearly full")
				defer putChunk(whole) // not before all has been read: the reader has let go of it
			}
			require.NotEmpty(t, p)
			got = append(got, p...)
		}
		require.True(t, bytes.Equal(testBytes(n), got))
	}
}

// TestReaderGivesAway: a large buffer full of one frame's bytes is given away as it is,
// and what follows them stays.
func TestReaderGivesAway(t *testing.T) {
	const frames, size = 8, batchSize - frameHeaderSize
	wire := make([]byte, 0, frames*batchSize)
	for range frames {
		wire = append(appendDataHeader(wire, 1, 0, size), testBytes(size)...)
	}
	conn := &pieceConn{data: wire, err: io.EOF}
	r := &reader{conn: conn, more: true}
	for frame := range frames {
		_, err := r.header()
		require.NoError(t, err)
		var got []byte
		for len(got) < size {
			p, whole, err := r.piece(size - len(got))
			require.NoError(t, err)
			require.Nil(t, p, "no byte of frame %d is copied", frame)
			got = append(got, whole.data[whole.r:whole.w]...)
			clear(whole.data) // it is ours
			putChunk(whole)
		}
		require.True(t, bytes.Equal(testBytes(size), got))
	}
	require.Equal(t, 2*frames, conn.reads, "two buffers for each frame")

	conn.data = append(wire[:0], testBytes(readBufferSize)...)
	r = &reader{conn: conn, more: true}
	require.NoError(t, r.skip(100))
	p, whole, err := r.piece(mostOfBuffer - 1)
	require.NoError(t, err)
	require.Nil(t, whole, "too little of it: what is unread would take up too much")
	require.True(t, bytes.Equal(testBytes(readBufferSize)[100:][:mostOfBuffer-1], p))
}

// TestReaderEnds cuts the connection after every byte of a frame (SPEC F16).
func TestReaderEnds(t *testing.T) {
	frame := append(appendDataHeader(nil, 1, 0, 600), testBytes(600)...)
	for cut := range frame {
		for _, how := range []string{"some", "exactly", "skip"} {
			for _, end := range []error{io.EOF, errTest} {
				r := &reader{conn: &pieceConn{data: frame[:cut], err: end}}
				err := readWhole(r, how)
				switch {
				case end != io.EOF:
					require.Equal(t, end, err)
				case cut == 0:
					require.Equal(t, io.EOF, err)
				default:
					require.Equal(t, io.ErrUnexpectedEOF, err, "%s after %d bytes", how, cut)
				}
			}
		}
	}
	r := &reader{conn: &pieceConn{data: make([]byte, 40<<10), err: io.EOF}}
	_, err := r.exactly(50 << 10)
	require.Equal(t, io.ErrUnexpectedEOF, err, "inside a long frame")
}

func readWhole(r *reader, how string) error {
	h, err := r.header()
	if err != nil {
		return err
	}
	switch how {
	case "skip":
		return r.skip(h.length)
	case "exactly":
		_, err = r.exactly(h.length)
		return err
	}
	for n := h.length; n > 0 && err == nil; {
		var p []byte
		p, err = r.some(n)
		n -= len(p)
	}
	return err
}

// TestReaderBorrows follows the large buffer: borrowed when a read filled the
// small one, given back when a read has drained the socket.
func TestReaderBorrows(t *testing.T) {
	conn := &pieceConn{data: testBytes(500), err: io.EOF}
	r := &reader{conn: conn}
	require.NoError(t, r.skip(500))
	require.Nil(t, r.large, "a trickle does without")

	conn.data = testBytes(512)
	require.NoError(t, r.skip(512))
	require.Nil(t, r.large, "the small buffer was filled; more may come")
	conn.data = testBytes(32<<10 + 100)
	require.NoError(t, r.skip(1))
	require.NotNil(t, r.large, "a busy connection borrows")
	require.Equal(t, 3, conn.reads)
	require.NoError(t, r.skip(32<<10))
	require.NotNil(t, r.large, "bytes of it are still in use")
	require.Equal(t, 4, conn.reads, "a large buffer saves reads")
	require.NoError(t, r.skip(99))
	conn.data = testBytes(10)
	require.NoError(t, r.skip(10))
	require.Nil(t, r.large, "the connection is quiet again")

	conn.data = testBytes(1000)
	p, err := r.exactly(600)
	require.NoError(t, err)
	require.True(t, bytes.Equal(testBytes(600), p), "what was read before is kept")
	require.NotNil(t, r.large, "a frame larger than the small buffer borrows")
	r.close()
	require.Nil(t, r.large)
	require.Nil(t, r.buf)
	r.close()
}

// TestReaderGathers checks that memory follows the bytes that have come, not the
// length that a frame declares.
func TestReaderGathers(t *testing.T) {
	r := &reader{conn: &pieceConn{data: testBytes(64 << 10), err: io.EOF}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := r.exactly(MAX_DATA_PAYLOAD)
	runtime.ReadMemStats(&after)
	require.Equal(t, io.ErrUnexpectedEOF, err)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	require.Nil(t, r.long, "nothing is kept of a frame that did not come")

	r = &reader{conn: &pieceConn{data: testBytes(50 << 10), err: io.EOF}}
	p, err := r.exactly(40 << 10)
	require.NoError(t, err)
	require.True(t, bytes.Equal(testBytes(40<<10), p))
	require.Nil(t, r.long, "the frame is its caller's")
	rest, err := r.exactly(10 << 10)
	require.NoError(t, err)
	require.True(t, bytes.Equal(testBytes(50 << 10)[40<<10:], rest))
	require.True(t, bytes.Equal(testBytes(40<<10), p), "and stays")
}

func TestUnexpected(t *testing.T) {
	require.Equal(t, io.ErrUnexpectedEOF, unexpected(io.EOF))
	require.Equal(t, errTest, unexpected(errTest))
}
