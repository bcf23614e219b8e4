package spdy

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// framerPair returns a Framer that writes into what another one reads.
func framerPair(v Version) (w, r *Framer, wire *bytes.Buffer) {
	wire = new(bytes.Buffer)
	return NewFramer(wire, nil, v), NewFramer(nil, wire, v), wire
}

func requireStreamError(t testing.TB, err error, id uint32, status RstStatus) {
	t.Helper()
	var se *StreamError
	require.ErrorAs(t, err, &se)
	require.Equal(t, id, se.StreamID)
	require.Equal(t, status, se.Status)
	require.False(t, se.Remote)
}

func requireSessionError(t testing.TB, err error, status GoAwayStatus) {
	t.Helper()
	se, ok := err.(*SessionError)
	require.True(t, ok, "%v", err)
	require.Equal(t, status, se.Status)
	require.False(t, se.Remote)
}

// TestFramerRoundTrip writes every kind of frame in every dialect, with flags
// that mean nothing too, and reads it back. What the dialect does not know comes
// back as UnknownFrame (SPEC F4, F5, F15, W20, C4).
func TestFramerRoundTrip(t *testing.T) {
	headers := HeaderBlock{{":path", "/"}, {"a", "1\x002"}, {"b", ""}}
	for _, v := range allVersions {
		w, r, _ := framerPair(v)
		for _, f := range []Frame{
			&DataFrame{StreamID: 1, Flags: 0xff, Data: []byte("data")},
			&DataFrame{StreamID: maxStreamID},
			&SynStreamFrame{StreamID: maxStreamID, AssociatedStreamID: maxStreamID, Priority: maxPriority(v), Flags: 0xff, Headers: headers},
			&SynStreamFrame{StreamID: 1, Priority: 1, Headers: HeaderBlock{}},
			&SynReplyFrame{StreamID: 3, Flags: FlagFin, Headers: headers},
			&HeadersFrame{StreamID: 5, Flags: 0x80, Headers: headers},
			&RstStreamFrame{StreamID: 7, Status: RstFrameTooLarge, Flags: 1},
			&RstStreamFrame{StreamID: 7, Status: 0xffffffff},
			&SettingsFrame{Flags: FlagClearSettings, Entries: []Setting{{7, 1, 2}, {4, 0xff, 0xffffffff}, {maxSettingID, 0, 0}}},
			&SettingsFrame{},
			&PingFrame{ID: 0xffffffff, Flags: 3},
			&GoAwayFrame{LastGoodStreamID: maxStreamID, Flags: 3},
			&UnknownFrame{Version: v.wire(), Type: 12, Flags: 4, Data: []byte("what")},
			&UnknownFrame{Version: 9, Type: FramePing, Data: []byte("sixsix")},
			&UnknownFrame{Version: 0x7fff, Type: 0xffff},
			&UnknownFrame{Version: v.wire(), Type: FrameData},
		} {
			require.NoError(t, w.WriteFrame(f))
			got, err := r.ReadFrame()
			require.NoError(t, err, "%v %#v", v, f)
			require.Equal(t, f, got)
			require.Equal(t, f.FrameType(), got.FrameType())
		}
		for _, f := range []Frame{
			&NoopFrame{Flags: 1},
			&WindowUpdateFrame{StreamID: 0, Delta: 0, Flags: 1},
			&WindowUpdateFrame{StreamID: maxStreamID, Delta: 1<<31 - 1},
			&CredentialFrame{Slot: 1, Flags: 1, Proof: []byte("proof"), Certificates: [][]byte{[]byte("leaf"), {}}},
		} {
			require.NoError(t, w.WriteFrame(f))
			got, err := r.ReadFrame()
			require.NoError(t, err)
			if f.FrameType().definedIn(v) {
				require.Equal(t, f, got)
			} else {
				require.IsType(t, &UnknownFrame{}, got)
				require.Equal(t, f.FrameType(), got.FrameType())
			}
		}
	}
}

// TestFramerDialectFields: what a dialect has no place for is not written.
func TestFramerDialectFields(t *testing.T) {
	for _, v := range allVersions {
		w, r, _ := framerPair(v)
		require.Equal(t, v, w.Version())
		require.NoError(t, w.WriteFrame(&GoAwayFrame{LastGoodStreamID: 1, Status: GoAwayProtocolError}))
		got, err := r.ReadFrame()
		require.NoError(t, err)
		want := GoAwayProtocolError
		if v == SPDY2 {
			want = GoAwayOK
		}
		require.Equal(t, &GoAwayFrame{LastGoodStreamID: 1, Status: want}, got)

		require.NoError(t, w.WriteFrame(&SynStreamFrame{StreamID: 1, Slot: 7}))
		got, err = r.ReadFrame()
		require.NoError(t, err)
		slot := uint8(0)
		if v == SPDY3 {
			slot = 7
		}
		require.Equal(t, slot, got.(*SynStreamFrame).Slot)
	}
}

// TestFramerEnds: io.EOF is for the boundary between two frames (SPEC F16).
func TestFramerEnds(t *testing.T) {
	ping := appendPing(nil, SPDY31, 1)
	for n := range ping {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		for _, r := range []io.Reader{bytes.NewReader(ping[:n]), iotest.DataErrReader(bytes.NewReader(ping[:n]))} {
			f := NewFramer(nil, r, SPDY31)
			for range 2 {
				_, err := f.ReadFrame()
				require.Equal(t, want, err, "%d bytes", n)
			}
		}
	}
}

// TestFramerReadErrors: a read that fails before a frame has begun can be
// repeated; inside a frame the place in the input is lost.
func TestFramerReadErrors(t *testing.T) {
	ping := appendPing(nil, SPDY31, 1)
	for n := range ping {
		f := NewFramer(nil, io.MultiReader(bytes.NewReader(ping[:n]), &oneError{}, bytes.NewReader(ping[n:]), bytes.NewReader(ping)), SPDY31)
		_, err := f.ReadFrame()
		require.Equal(t, os.ErrDeadlineExceeded, err, "after %d bytes", n)
		got, err := f.ReadFrame()
		if n > 0 {
			require.Equal(t, os.ErrDeadlineExceeded, err, "after %d bytes", n)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, &PingFrame{ID: 1}, got)
	}
}

// A oneError is a reader that fails once and is then at its end.
type oneError struct{ failed bool }

func (o *oneError) Read([]byte) (int, error) {
	if o.failed {
		return 0, io.EOF
	}
	o.failed = true
	return 0, os.ErrDeadlineExceeded
}

// TestFramerReadsNoFurther leaves what follows a frame in the reader, for
// whoever takes the connection over.
func TestFramerReadsNoFurther(t *testing.T) {
	r := bytes.NewReader(append(appendPing(nil, SPDY3, 1), "the rest"...))
	_, err := NewFramer(nil, r, SPDY3).ReadFrame()
	require.NoError(t, err)
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "the rest", string(rest))
}

// TestFramerOwned: a frame is not touched by reading the next one.
func TestFramerOwned(t *testing.T) {
	w, r, _ := framerPair(SPDY31)
	r.KeepBlocks = true
	var got []Frame
	for range 3 {
		require.NoError(t, w.WriteFrame(&DataFrame{StreamID: 1, Data: []byte("data")}))
		require.NoError(t, w.WriteFrame(&HeadersFrame{StreamID: 1, Headers: HeaderBlock{{"a", "1"}}}))
		require.NoError(t, w.WriteFrame(&UnknownFrame{Version: 3, Type: 99, Data: []byte("what")}))
	}
	var blocks [][]byte
	for range 9 {
		f, err := r.ReadFrame()
		require.NoError(t, err)
		if h, ok := f.(*HeadersFrame); ok {
			blocks = append(blocks, bytes.Clone(h.Block))
		}
		got = append(got, f)
	}
	for i := 0; i < 9; i += 3 {
		require.Equal(t, "data", string(got[i].(*DataFrame).Data))
		require.Equal(t, HeaderBlock{{"a", "1"}}, got[i+1].(*HeadersFrame).Headers)
		require.Equal(t, blocks[i/3], got[i+1].(*HeadersFrame).Block)
		require.Equal(t, "what", string(got[i+2].(*UnknownFrame).Data))
	}
}

// headerFrames are the three frames that carry block on stream id.
func headerFrames(id uint32, headers HeaderBlock, block []byte) []Frame {
	return []Frame{
		&SynStreamFrame{StreamID: id, Headers: headers, Block: block},
		&SynReplyFrame{StreamID: id, Headers: headers, Block: block},
		&HeadersFrame{StreamID: id, Headers: headers, Block: block},
	}
}

// TestFramerBadBlocks: a block whose pairs are wrong costs its stream, and what
// follows is still understood (SPEC H1, H3).
func TestFramerBadBlocks(t *testing.T) {
	for _, v := range allVersions {
		for _, policy := range []CompressionPolicy{CompressSafe, CompressNone, CompressFull} {
			w, r, _ := framerPair(v)
			w.Compression = policy
			for _, bad := range []struct {
				rule string
				nv   []byte
			}{
				{"H3", nvBlock(v, 9, "a", "1")},
				{"H3", nil},
				{"H4", nvBlock(v, 1, "", "1")},
				{"H5", nvBlock(v, 1, "A", "1")},
				{"H6", nvBlock(v, 2, "a", "1", "a", "2")},
				{"H11", nvBlock(v, 1, "a", "\r\n")},
			} {
				for kind := range 3 {
					f := headerFrames(5, nil, w.CompressBlock(bad.nv))[kind]
					require.NoError(t, w.WriteFrame(f))
					_, err := r.ReadFrame()
					requireStreamError(t, err, 5, RstProtocolError)
					requireRule(t, bad.rule, err)

					f = headerFrames(7, browserRequest, nil)[kind]
					require.NoError(t, w.WriteFrame(f))
					got, err := r.ReadFrame()
					require.NoError(t, err)
					require.Equal(t, f, got)
				}
			}
		}
	}
}

// TestFramerLargeBlocks: a block over the limit costs its stream, one far over
// it the session (SPEC H12).
func TestFramerLargeBlocks(t *testing.T) {
	const limit = 8 << 10
	for _, v := range allVersions {
		w, r, _ := framerPair(v)
		w.Compression = CompressFull
		r.MaxHeaderBytes = limit
		fixed := len(nvBlock(v, 1, "a", ""))
		status := RstFrameTooLarge
		if v == SPDY2 {
			status = RstProtocolError
		}
		for i, size := range []int{limit - fixed, limit - fixed + 1, limit - fixed, 60_000} {
			f := &HeadersFrame{StreamID: 9, Headers: HeaderBlock{{"a", strings.Repeat("x", size)}}}
			require.NoError(t, w.WriteFrame(f))
			got, err := r.ReadFrame()
			if i%2 == 1 {
				requireStreamError(t, err, 9, status)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, f, got)
		}
		bomb := nvBlock(v, 3, "a", strings.Repeat("x", 60_000), "b", strings.Repeat("x", 60_000), "c", strings.Repeat("x", 60_000))
		require.NoError(t, w.WriteFrame(&HeadersFrame{StreamID: 9, Block: w.CompressBlock(bomb)}))
		require.NoError(t, w.WriteFrame(&PingFrame{ID: 1}))
		for range 2 {
			_, err := r.ReadFrame()
			requireSessionError(t, err, GoAwayProtocolError)
		}
	}
}

// TestFramerDefaultLimit: without a limit of the user's blocks end at 256 KiB.
func TestFramerDefaultLimit(t *testing.T) {
	w, r, _ := framerPair(SPDY31)
	value := strings.Repeat("x", 256<<10-13)
	require.NoError(t, w.WriteFrame(&HeadersFrame{StreamID: 1, Headers: HeaderBlock{{"a", value}}}))
	require.NoError(t, w.WriteFrame(&HeadersFrame{StreamID: 1, Headers: HeaderBlock{{"a", value + "x"}}}))
	_, err := r.ReadFrame()
	require.NoError(t, err)
	_, err = r.ReadFrame()
	requireStreamError(t, err, 1, RstFrameTooLarge)
}

func TestSaturatingMul(t *testing.T) {
	const maxInt = int(^uint(0) >> 1)
	require.Equal(t, 16<<10, saturatingMul(1<<10, 16))
	require.Equal(t, maxInt, saturatingMul(maxInt, 16))
	require.Equal(t, maxInt, saturatingMul(maxInt/16+1, 16))
}

// TestFramerSessionErrors: what leaves the reader without its place in the
// frames or in the compression ends reading.
func TestFramerSessionErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		v     Version
		frame string
	}{
		{"PING of 8 bytes (F8)", SPDY31, "80030006 00000008 0000000100000001"},
		{"PING of 0 bytes (F8)", SPDY2, "80020006 00000000"},
		{"GOAWAY of 8 bytes in SPDY/2 (F8)", SPDY2, "80020007 00000008 0000000000000000"},
		{"GOAWAY of 4 bytes in SPDY/3 (F8)", SPDY3, "80030007 00000004 00000000"},
		{"NOOP of 1 byte (F8)", SPDY2, "80020005 00000001 00"},
		{"RST_STREAM of 12 bytes (F8)", SPDY3, "80030003 0000000c 000000010000000100000000"},
		{"WINDOW_UPDATE of 4 bytes (F8)", SPDY3, "80030009 00000004 00000001"},
		{"SYN_STREAM of 9 bytes (F8)", SPDY31, "80030001 00000009 000000010000000000"},
		{"SYN_REPLY of 5 bytes in SPDY/2 (F8)", SPDY2, "80020002 00000005 0000000100"},
		{"HEADERS of 3 bytes (F8)", SPDY3, "80030008 00000003 000000"},
		{"SETTINGS that declares 2^32-1 entries (T18)", SPDY31, "80030004 0000000c ffffffff0000000000000000"},
		{"DATA on stream 0 (F12)", SPDY31, "00000000 00000000"},
		{"RST_STREAM on stream 0 (F12)", SPDY31, "80030003 00000008 0000000000000001"},
		{"SYN_REPLY on stream 0 (F12)", SPDY31, "80030002 00000004 00000000"},
		{"no zlib header (H2)", SPDY31, "80030008 0000000a 00000001 000102030405"},
		{"empty first block (H2)", SPDY31, "80030008 00000004 00000001"},
		{"SYN_STREAM of version 1 (F6)", SPDY2, "80010001 0000000a 00000001000000000000"},
		{"SYN_STREAM of SPDY/2 in SPDY/3 (F6)", SPDY3, "80020001 0000000a 00000001000000000000"},
		{"SYN_REPLY of version 9 (F7)", SPDY31, "80090002 00000000"},
		{"HEADERS of version 2 (F7)", SPDY31, "80020008 00000000"},
		{"CREDENTIAL of 5 bytes (C1)", SPDY3, "8003000a 00000005 0001000000"},
		{"CREDENTIAL for slot 0 (C1)", SPDY3, "8003000a 00000006 000000000000"},
		{"CREDENTIAL, proof too long (C1)", SPDY3, "8003000a 00000007 00010000000200"},
		{"CREDENTIAL, certificate too long (C1)", SPDY3, "8003000a 0000000b 00010000000000000002 00"},
		{"CREDENTIAL, certificate of 4 GiB (C1)", SPDY3, "8003000a 0000000b 000100000000ffffffff 00"},
		{"CREDENTIAL, certificate without length (C1)", SPDY3, "8003000a 00000009 000100000000 000000"},
	} {
		f := NewFramer(nil, bytes.NewReader(append(unhex(t, tt.frame), appendPing(nil, tt.v, 1)...)), tt.v)
		for range 2 {
			got, err := f.ReadFrame()
			require.Nil(t, got, tt.name)
			require.IsType(t, &SessionError{}, err, tt.name)
			requireSessionError(t, err, GoAwayProtocolError)
		}
	}
}

// TestFramerMaxFrameSize: the limit is on what a frame declares, so that
// nothing of it has to be read.
func TestFramerMaxFrameSize(t *testing.T) {
	wire := appendDataHeader(nil, 1, 0, 100)
	wire = append(wire, make([]byte, 100)...)
	wire = appendDataHeader(wire, 1, 0, 101)
	f := NewFramer(nil, bytes.NewReader(wire), SPDY31)
	f.MaxFrameSize = 100
	got, err := f.ReadFrame()
	require.NoError(t, err)
	require.Len(t, got.(*DataFrame).Data, 100)
	for range 2 {
		_, err = f.ReadFrame()
		requireSessionError(t, err, GoAwayProtocolError)
	}
}

// allocated returns the bytes that fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestFramerDeclaredLength: memory is for bytes that are there, not for bytes
// that are promised.
func TestFramerDeclaredLength(t *testing.T) {
	for _, came := range []int{0, 1, 5000, 100_000} {
		for _, header := range [][]byte{
			appendDataHeader(nil, 1, 0, MAX_DATA_PAYLOAD),
			appendControlHeader(nil, SPDY31, FrameSettings, 0, MAX_DATA_PAYLOAD),
			appendControlHeader(nil, SPDY31, FrameSynStream, 0, MAX_DATA_PAYLOAD),
			appendControlHeader(nil, SPDY31, 99, 0, MAX_DATA_PAYLOAD),
		} {
			f := NewFramer(nil, bytes.NewReader(append(header, make([]byte, came)...)), SPDY31)
			var err error
			n := allocated(func() { _, err = f.ReadFrame() })
			require.Equal(t, io.ErrUnexpectedEOF, err)
			require.Less(t, n, uint64(16<<10+5*came), "%d bytes came", came)
		}
	}
}

func TestFramerLargestData(t *testing.T) {
	data := make([]byte, MAX_DATA_PAYLOAD)
	data[0], data[len(data)-1] = 1, 2
	w, r, wire := framerPair(SPDY31)
	require.NoError(t, w.WriteFrame(&DataFrame{StreamID: 1, Data: data}))
	got, err := r.ReadFrame()
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got.(*DataFrame).Data))
	require.Error(t, w.WriteFrame(&DataFrame{StreamID: 1, Data: append(data, 0)}))
	require.Zero(t, wire.Len())
}
