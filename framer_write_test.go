package spdy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFramerRefuses: what does not fit its field is refused, and the session
// goes on as if it had not been tried.
func TestFramerRefuses(t *testing.T) {
	const id33 = maxStreamID + 1
	large := make([]byte, MAX_DATA_PAYLOAD+1)
	for _, v := range allVersions {
		w, r, wire := framerPair(v)
		for _, f := range []Frame{
			&DataFrame{StreamID: id33},
			&DataFrame{StreamID: 1, Data: large},
			&SynStreamFrame{StreamID: id33, Headers: browserRequest},
			&SynStreamFrame{StreamID: 1, AssociatedStreamID: id33, Headers: browserRequest},
			&SynStreamFrame{StreamID: 1, Priority: maxPriority(v) + 1, Headers: browserRequest},
			&SynStreamFrame{StreamID: 1, Block: large[:MAX_DATA_PAYLOAD-9]},
			&SynReplyFrame{StreamID: id33, Headers: browserRequest},
			&HeadersFrame{StreamID: id33, Headers: browserRequest},
			&HeadersFrame{StreamID: 1, Block: large[:MAX_DATA_PAYLOAD-replyFixed(v)+1]},
			&RstStreamFrame{StreamID: id33},
			&SettingsFrame{Entries: []Setting{{ID: maxSettingID + 1}}},
			&SettingsFrame{Entries: make([]Setting, maxSettingEntries+1)},
			&GoAwayFrame{LastGoodStreamID: id33},
			&WindowUpdateFrame{StreamID: id33},
			&WindowUpdateFrame{Delta: id33},
			&CredentialFrame{Proof: large[:MAX_DATA_PAYLOAD-5]},
			&CredentialFrame{Certificates: [][]byte{large[:MAX_DATA_PAYLOAD-9]}},
			&UnknownFrame{Version: 0x8000},
			&UnknownFrame{Data: large},
		} {
			assert.Error(t, w.WriteFrame(f), "%v %T", v, f)
			assert.Zero(t, wire.Len())
		}
		require.NoError(t, w.WriteFrame(&SynReplyFrame{StreamID: 1, Headers: browserRequest}))
		got, err := r.ReadFrame()
		require.NoError(t, err)
		require.Equal(t, &SynReplyFrame{StreamID: 1, Headers: browserRequest}, got)
	}
}

// TestFramerHeaderLimits: headers that SPDY/2 cannot express are refused before
// anything is compressed (SPEC H14).
func TestFramerHeaderLimits(t *testing.T) {
	w, r, wire := framerPair(SPDY2)
	good := &SynReplyFrame{StreamID: 1, Headers: browserRequest}
	for range 3 {
		err := w.WriteFrame(&SynReplyFrame{StreamID: 1, Headers: HeaderBlock{{"cookie", strings.Repeat("x", 70_000)}}})
		requireRule(t, "H14", err)
		require.Zero(t, wire.Len())
		require.NoError(t, w.WriteFrame(good))
		got, err := r.ReadFrame()
		require.NoError(t, err)
		require.Equal(t, good, got)
	}
}

// TestFramerFrameTooLong: once a block is compressed the peer has to get it, so
// a frame that turns out too long is the end (SPEC H15).
func TestFramerFrameTooLong(t *testing.T) {
	w, _, wire := framerPair(SPDY31)
	w.Compression = CompressNone
	err := w.WriteFrame(&HeadersFrame{StreamID: 1, Headers: HeaderBlock{{"a", strings.Repeat("x", 17_000_000)}}})
	requireSessionError(t, err, GoAwayInternalError)
	require.Equal(t, err, w.WriteFrame(&PingFrame{}))
	require.Equal(t, err, w.WriteRaw([]byte("x")))
	require.Zero(t, wire.Len())
}

// A countingWriter counts calls and fails from a certain one on.
type countingWriter struct {
	bytes.Buffer
	calls, failAt int
}

var errWriter = errors.New("writer failed")

func (c *countingWriter) Write(p []byte) (int, error) {
	c.calls++
	if c.calls == c.failAt {
		return 0, errWriter
	}
	return c.Buffer.Write(p)
}

// TestFramerWrites: each frame is one Write, and none follows one that failed.
func TestFramerWrites(t *testing.T) {
	out := &countingWriter{failAt: 4}
	w := NewFramer(out, nil, SPDY31)
	require.NoError(t, w.WriteFrame(&DataFrame{StreamID: 1, Data: make([]byte, 100_000)}))
	require.NoError(t, w.WriteFrame(&SynReplyFrame{StreamID: 1, Headers: browserRequest}))
	require.NoError(t, w.WriteRaw([]byte("odd")))
	require.Equal(t, 3, out.calls)
	require.True(t, bytes.HasSuffix(out.Bytes(), []byte("odd")))
	for range 2 {
		require.Equal(t, errWriter, w.WriteFrame(&PingFrame{}))
		require.Equal(t, errWriter, w.WriteRaw([]byte("odd")))
	}
	require.Equal(t, 4, out.calls)
}

// TestFramerEmptyBlocks: a frame without headers has a block nevertheless
// (SPEC §2.1); an empty Block is none, which a receiver has to complain about.
func TestFramerEmptyBlocks(t *testing.T) {
	for _, v := range allVersions {
		w, r, _ := framerPair(v)
		require.NoError(t, w.WriteFrame(&HeadersFrame{StreamID: 1}))
		got, err := r.ReadFrame()
		require.NoError(t, err)
		require.Equal(t, &HeadersFrame{StreamID: 1, Headers: HeaderBlock{}}, got)
		require.NoError(t, w.WriteFrame(&HeadersFrame{StreamID: 1, Block: []byte{}}))
		_, err = r.ReadFrame()
		requireStreamError(t, err, 1, RstProtocolError)
		requireRule(t, "H3", err)
	}
}

// TestFramerBothWays lets one goroutine write while another one reads, at both
// ends of a connection that buffers nothing. It is for the race detector.
func TestFramerBothWays(t *testing.T) {
	const frames = 200
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	ends := []*Framer{NewFramer(a, a, SPDY31), NewFramer(b, b, SPDY31)}
	errs := make(chan error, 4)
	for _, f := range ends {
		go func() {
			var err error
			for i := 0; i < frames && err == nil; i++ {
				err = f.WriteFrame(&HeadersFrame{StreamID: uint32(i + 1), Headers: browserRequest})
			}
			errs <- err
		}()
		go func() {
			for i := range frames {
				got, err := f.ReadFrame()
				if err == nil && got.(*HeadersFrame).StreamID != uint32(i+1) {
					err = errors.New("frames out of order")
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
}

// clearReserved clears the bits of a frame that dialect v reserves, as they do
// not survive reading.
func clearReserved(v Version, frame []byte) {
	h := parseFrameHeader(frame)
	p := frame[frameHeaderSize:]
	if !h.control || h.version != v.wire() || !h.typ.definedIn(v) {
		return
	}
	switch h.typ {
	case FrameSynStream:
		p[0] &= 0x7f
		p[4] &= 0x7f
		p[8] &= maxPriority(v) << priorityShift(v)
		if v != SPDY3 {
			p[9] = 0
		}
	case FrameSynReply, FrameHeaders:
		p[0] &= 0x7f
		if v == SPDY2 {
			p[4], p[5] = 0, 0
		}
	case FrameRstStream, FrameGoAway:
		p[0] &= 0x7f
	case FrameWindowUpdate:
		p[0] &= 0x7f
		p[4] &= 0x7f
	}
}

// readFuzzed reads frames until an error that ends reading, and returns for each
// call the frame, if it was one, and the bytes that it read.
func readFuzzed(f *Framer, input []byte) (frames []Frame, raw [][]byte, err error) {
	r := bytes.NewReader(input)
	f.r = r
	for {
		before := len(input) - r.Len()
		frame, err := f.ReadFrame()
		if se := (*StreamError)(nil); err != nil && !errors.As(err, &se) {
			return frames, raw, err
		}
		frames = append(frames, frame)
		raw = append(raw, input[before:len(input)-r.Len()])
	}
}

func isSessionError(err error) bool {
	_, ok := err.(*SessionError)
	return ok
}

// FuzzFramer: any bytes are either frames, which encode to the same bytes but
// for reserved bits, or errors of the documented kinds, and they cost no more
// memory than the limits allow.
func FuzzFramer(f *testing.F) {
	for i, v := range allVersions {
		var wire bytes.Buffer
		w := NewFramer(&wire, nil, v)
		for _, frame := range []Frame{
			&SettingsFrame{Entries: []Setting{{7, 1, 2}}}, &PingFrame{ID: 1}, &GoAwayFrame{}, &WindowUpdateFrame{Delta: 1},
			&SynStreamFrame{StreamID: 1, Headers: browserRequest}, &DataFrame{StreamID: 1, Data: []byte("x")},
			&SynReplyFrame{StreamID: 1, Headers: HeaderBlock{{"A", "bad"}}}, &HeadersFrame{StreamID: 1},
			&NoopFrame{}, &RstStreamFrame{StreamID: 1}, &CredentialFrame{Slot: 1, Proof: []byte("p"), Certificates: [][]byte{{1}}},
		} {
			require.NoError(f, w.WriteFrame(frame))
		}
		f.Add(uint8(i), wire.Bytes())
		f.Add(uint8(i), appendDataHeader(nil, 1, 0, MAX_DATA_PAYLOAD))
	}
	for _, s := range loadVectors(f) {
		i := bytes.IndexByte([]byte{byte(SPDY2), byte(SPDY3), byte(SPDY31)}, byte(s.version))
		f.Add(uint8(i), s.wire[:min(len(s.wire), 2000)])
	}
	f.Fuzz(func(t *testing.T, version uint8, input []byte) {
		const maxHeader = 16 << 10
		v := allVersions[int(version)%len(allVersions)]
		framer := NewFramer(nil, nil, v)
		framer.KeepBlocks = true
		framer.MaxHeaderBytes = maxHeader
		framer.MaxFrameSize = 64 << 10
		var frames []Frame
		var raw [][]byte
		var err error
		n := allocated(func() { frames, raw, err = readFuzzed(framer, input) })
		if _, foreign := err.(*NotSPDYError); !isSessionError(err) && err != io.EOF && err != io.ErrUnexpectedEOF &&
			!(foreign && len(raw) == 0) { // what is no SPDY shows at once
			t.Fatalf("error %v", err)
		}
		allowed := 256<<10 + 16*len(input)
		for _, b := range raw {
			allowed += 512
			if parseFrameHeader(b).typ.hasHeaderBlock() {
				allowed += 10*maxHeader + 64<<10 // pairs, text, and perhaps an inflater
			}
		}
		require.LessOrEqual(t, n, uint64(allowed))
		for i, frame := range frames {
			if frame != nil {
				checkReencoded(t, v, frame, raw[i])
			}
		}
	})
}

// checkReencoded wants frame, which was read from raw, to encode to raw.
func checkReencoded(t *testing.T, v Version, frame Frame, raw []byte) {
	var out bytes.Buffer
	require.NoError(t, NewFramer(&out, nil, v).WriteFrame(frame))
	want := bytes.Clone(raw)
	clearReserved(v, want)
	require.Equal(t, want, out.Bytes())

	headers, block := blockOf(frame)
	if block == nil {
		again, err := NewFramer(nil, &out, v).ReadFrame()
		require.NoError(t, err)
		require.Equal(t, frame, again)
		return
	}
	*block = nil
	w := NewFramer(&out, &out, v)
	w.Compression = CompressionPolicy(len(raw) % 3)
	out.Reset()
	require.NoError(t, w.WriteFrame(frame))
	again, err := w.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, frame, again)
	require.NotNil(t, *headers)
}
