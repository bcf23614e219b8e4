package spdy_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream/spdy"
)

func newFramer(t testing.TB, w io.Writer, r io.Reader, opts ...spdy.FramerOption) *spdy.Framer {
	t.Helper()
	f, err := spdy.NewFramerWithOptions(w, r, opts...)
	require.NoError(t, err)
	return f
}

// roundTrips is one frame of each kind, as it is read.
func roundTrips() []spdy.Frame {
	return []spdy.Frame{
		&spdy.SynStreamFrame{StreamId: 1, Headers: http.Header{"Streamtype": {"data"}, "Port": {"80"}}},
		&spdy.SynStreamFrame{
			StreamId: 3, AssociatedToStreamId: 1, Priority: 5, Slot: 9,
			CFHeader: spdy.ControlFrameHeader{Flags: spdy.ControlFlagFin}, Headers: http.Header{"A": {"b", "c", ""}},
		},
		&spdy.SynReplyFrame{StreamId: 1, Headers: http.Header{}},
		&spdy.HeadersFrame{StreamId: 1, Headers: http.Header{"Streamtype": {"data"}}},
		&spdy.RstStreamFrame{StreamId: 1, Status: spdy.Cancel},
		&spdy.SettingsFrame{FlagIdValues: []spdy.SettingsFlagIdValue{
			{Flag: spdy.FlagSettingsPersistValue, Id: spdy.SettingsInitialWindowSize, Value: 65536},
			{Id: spdy.SettingsUploadBandwidth, Value: 1},
		}},
		&spdy.PingFrame{Id: 7},
		&spdy.GoAwayFrame{LastGoodStreamId: 3, Status: spdy.GoAwayProtocolError},
		&spdy.WindowUpdateFrame{StreamId: 1, DeltaWindowSize: 1000},
		&spdy.DataFrame{StreamId: 1, Data: []byte("hello")},
		&spdy.DataFrame{StreamId: 1, Flags: spdy.DataFlagFin, Data: []byte{}},
	}
}

// What is written is read back as it was, the header that writing fills in included.
func TestRoundTrip(t *testing.T) {
	var wire bytes.Buffer
	f := newFramer(t, &wire, &wire)
	for range 2 {
		for _, frame := range roundTrips() {
			require.NoError(t, f.WriteFrame(frame))
			got, err := f.ReadFrame()
			require.NoError(t, err)
			require.Equal(t, frame, got)
			require.Zero(t, wire.Len())
		}
	}
	_, err := f.ReadFrame()
	require.Equal(t, io.EOF, err)
}

// Headers go out in lower case, whatever their names.
func TestHeaderNames(t *testing.T) {
	var wire bytes.Buffer
	f := newFramer(t, &wire, &wire)
	require.NoError(t, f.WriteFrame(&spdy.SynReplyFrame{StreamId: 1, Headers: http.Header{"streamTYPE": {"x"}, "é": nil}}))
	got, err := f.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, http.Header{"Streamtype": {"x"}, "é": {""}}, got.(*spdy.SynReplyFrame).Headers)
}

// golden are frames of the original and what it says to others, see interop/mobypeer.
func golden(t testing.TB, kind string) (inputs [][]byte, outcomes []string) {
	t.Helper()
	file, err := os.Open("testdata/golden.txt")
	require.NoError(t, err)
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		text, outcome, _ := strings.Cut(lines.Text(), ", ")
		if text, ok := strings.CutPrefix(text, kind+" "); ok {
			input, err := hex.DecodeString(text)
			require.NoError(t, err)
			inputs, outcomes = append(inputs, input), append(outcomes, outcome)
		}
	}
	return inputs, outcomes
}

// TestGoldenWritten reads what the original has written.
func TestGoldenWritten(t *testing.T) {
	inputs, kinds := golden(t, "write")
	want := roundTrips()
	require.Len(t, inputs, len(want))
	f := newFramer(t, io.Discard, bytes.NewReader(bytes.Join(inputs, nil)))
	own := newFramer(t, io.Discard, nil)
	for i := range inputs {
		got, err := f.ReadFrame()
		require.NoError(t, err)
		require.Equal(t, kinds[i], fmt.Sprintf("%T", got))
		require.NoError(t, own.WriteFrame(want[i])) // fills in the header
		require.Equal(t, withoutLength(want[i]), withoutLength(got))
	}
}

// withoutLength is a frame without the length, which depends on the compressor.
func withoutLength(frame spdy.Frame) spdy.Frame {
	switch f := frame.(type) {
	case *spdy.SynStreamFrame:
		f.CFHeader = spdy.ControlFrameHeader{Flags: f.CFHeader.Flags}
	case *spdy.SynReplyFrame:
		f.CFHeader = spdy.ControlFrameHeader{Flags: f.CFHeader.Flags}
	case *spdy.HeadersFrame:
		f.CFHeader = spdy.ControlFrameHeader{Flags: f.CFHeader.Flags}
	}
	return frame
}

// TestGoldenRead has the errors of the original, but that a payload which is missing is
// always an unexpected end.
func TestGoldenRead(t *testing.T) {
	inputs, outcomes := golden(t, "read")
	require.Greater(t, len(inputs), 40)
	for i, input := range inputs {
		f := newFramer(t, io.Discard, bytes.NewReader(input), nil,
			spdy.WithMaxHeaderCount(3), spdy.WithMaxHeaderFieldSize(100), spdy.WithMaxControlFramePayloadSize(400))
		frame, err := f.ReadFrame()
		got := fmt.Sprintf("%T", frame)
		var wrong *spdy.Error
		switch {
		case errors.As(err, &wrong):
			got = fmt.Sprintf("%s on stream %d", wrong.Err, wrong.StreamId)
		case err != nil:
			got = err.Error()
		}
		want := outcomes[i]
		switch {
		case want == "EOF" && len(input) == 8:
			want = "unexpected EOF"
		case hex.EncodeToString(input) == "800300070000000400000001":
			want = "invalid control frame on stream 0" // of the wrong size: its fields are not looked at
		case hex.EncodeToString(input) == "800300090000000400000001":
			want = "invalid control frame on stream 0"
		}
		require.Equal(t, want, got, "%x", input)
	}
}

// What is wrong with a header block, apart from its size.
func TestHeaderBlocks(t *testing.T) {
	for name, test := range map[string]struct {
		block []byte
		want  any
	}{
		"empty":            {nil, spdy.WrongCompressedPayloadSize},
		"upper case":       {pairs(1, "Abc", "x"), spdy.UnlowercasedHeaderName},
		"twice":            {pairs(2, "a", "x", "a", "y"), spdy.DuplicateHeaders},
		"too few":          {pairs(2, "a", "x"), spdy.WrongCompressedPayloadSize},
		"too many":         {pairs(0, "a", "x"), spdy.WrongCompressedPayloadSize},
		"a field cut off":  {pairs(1, "a", "x")[:11], spdy.WrongCompressedPayloadSize},
		"a length cut off": {pairs(1, "a", "x")[:7], spdy.WrongCompressedPayloadSize},
		"a huge count":     {pairs(1 << 31), spdy.InvalidControlFrame},
		"no name":          {pairs(1, "", "x"), http.Header{"": {"x"}}},
		"many values":      {pairs(1, "a", "x\x00y"), http.Header{"A": {"x", "y"}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFramer(t, io.Discard, bytes.NewReader(synReply(test.block)))
			frame, err := f.ReadFrame()
			if code, ok := test.want.(spdy.ErrorCode); ok {
				var wrong *spdy.Error
				require.ErrorAs(t, err, &wrong)
				require.Equal(t, code, wrong.Err)
				require.EqualError(t, err, string(code))
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, frame.(*spdy.SynReplyFrame).Headers)
		})
	}
}

// pairs is a header block that declares a number of headers.
func pairs(count uint32, fields ...string) []byte {
	b := binary.BigEndian.AppendUint32(nil, count)
	for _, f := range fields {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return b
}

// synReply is a SYN_REPLY whose header block has not been compressed.
func synReply(nv []byte) []byte {
	block := []byte{0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2, 0}
	block = binary.LittleEndian.AppendUint16(block, uint16(len(nv)))
	block = binary.LittleEndian.AppendUint16(block, ^uint16(len(nv)))
	block = append(block, nv...)
	block = append(block, 0, 0, 0, 0xff, 0xff)
	frame := []byte{0x80, 3, 0, 2, 0, 0, 0, byte(4 + len(block)), 0, 0, 0, 1}
	return append(frame, block...)
}

// After a header block that could not be inflated nothing can be read any more; after
// one that was only wrong everything can.
func TestReadingGoesOn(t *testing.T) {
	ping := []byte{0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1}
	f := newFramer(t, io.Discard, bytes.NewReader(append(synReply(pairs(1, "A", "x")), ping...)))
	_, err := f.ReadFrame()
	require.Error(t, err)
	frame, err := f.ReadFrame()
	require.NoError(t, err)
	require.IsType(t, &spdy.PingFrame{}, frame)

	broken := synReply(pairs(0))
	broken[18] = 6 // no block of deflate begins so
	for _, input := range [][]byte{broken, append([]byte{0x80, 3, 0, 1, 0, 0, 3, 0}, make([]byte, 768)...)} {
		f = newFramer(t, io.Discard, bytes.NewReader(append(input, ping...)), spdy.WithMaxControlFramePayloadSize(500))
		_, first := f.ReadFrame()
		require.Error(t, first)
		_, err = f.ReadFrame()
		require.Equal(t, first, err)
	}

	// Too large, but without headers: skipped.
	large := append([]byte{0x80, 3, 0, 4, 0, 0, 3, 0}, make([]byte, 768)...)
	f = newFramer(t, io.Discard, bytes.NewReader(append(large, ping...)), spdy.WithMaxControlFramePayloadSize(500))
	_, err = f.ReadFrame()
	require.EqualError(t, err, string(spdy.InvalidControlFrame))
	frame, err = f.ReadFrame()
	require.NoError(t, err)
	require.IsType(t, &spdy.PingFrame{}, frame)
}

func TestWriteRefuses(t *testing.T) {
	var wire bytes.Buffer
	f := newFramer(t, &wire, nil)
	for _, test := range []struct {
		frame spdy.Frame
		want  spdy.Error
	}{
		{&spdy.SynStreamFrame{}, spdy.Error{Err: spdy.ZeroStreamId}},
		{&spdy.SynStreamFrame{StreamId: 1 << 31}, spdy.Error{Err: spdy.InvalidControlFrame, StreamId: 1 << 31}},
		{&spdy.SynStreamFrame{StreamId: 1, AssociatedToStreamId: 1 << 31}, spdy.Error{Err: spdy.InvalidControlFrame, StreamId: 1}},
		{&spdy.SynReplyFrame{}, spdy.Error{Err: spdy.ZeroStreamId}},
		{&spdy.HeadersFrame{}, spdy.Error{Err: spdy.ZeroStreamId}},
		{&spdy.RstStreamFrame{Status: 1}, spdy.Error{Err: spdy.ZeroStreamId}},
		{&spdy.RstStreamFrame{StreamId: 1}, spdy.Error{Err: spdy.InvalidControlFrame, StreamId: 1}},
		{&spdy.RstStreamFrame{StreamId: 1 << 31, Status: 1}, spdy.Error{Err: spdy.InvalidControlFrame, StreamId: 1 << 31}},
		{&spdy.PingFrame{}, spdy.Error{Err: spdy.ZeroStreamId}},
		{&spdy.SettingsFrame{FlagIdValues: []spdy.SettingsFlagIdValue{{Id: 1 << 24}}}, spdy.Error{Err: spdy.InvalidControlFrame}},
		{&spdy.WindowUpdateFrame{StreamId: 1, DeltaWindowSize: 1 << 31}, spdy.Error{Err: spdy.InvalidControlFrame, StreamId: 1}},
		{&spdy.DataFrame{}, spdy.Error{Err: spdy.ZeroStreamId}},
		{&spdy.DataFrame{StreamId: 1 << 31}, spdy.Error{Err: spdy.InvalidDataFrame, StreamId: 1 << 31}},
		{&spdy.DataFrame{StreamId: 1, Data: make([]byte, spdy.MaxDataLength+1)}, spdy.Error{Err: spdy.InvalidDataFrame, StreamId: 1}},
	} {
		require.Equal(t, &test.want, f.WriteFrame(test.frame))
		require.Zero(t, wire.Len())
	}
	require.NoError(t, f.WriteFrame(&spdy.SynStreamFrame{StreamId: 1}), "nothing is broken")
}

// An error of the writer stays: the peer cannot follow the compression any more.
func TestWriteFails(t *testing.T) {
	f := newFramer(t, brokenWriter{}, nil)
	for range 2 {
		require.ErrorIs(t, f.WriteFrame(&spdy.SynReplyFrame{StreamId: 1}), errBroken)
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// The largest frame there is, and a header block that takes more than it.
func TestLargeFrames(t *testing.T) {
	var wire bytes.Buffer
	f := newFramer(t, &wire, &wire)
	data := bytes.Repeat([]byte("x"), spdy.MaxDataLength)
	require.NoError(t, f.WriteFrame(&spdy.DataFrame{StreamId: 1, Data: data}))
	got, err := f.ReadFrame()
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got.(*spdy.DataFrame).Data))

	require.NoError(t, f.WriteFrame(&spdy.SynReplyFrame{StreamId: 1, Headers: http.Header{"A": {strings.Repeat("x", 1<<20)}}}))
	got, err = f.ReadFrame()
	require.NoError(t, err, "a mebibyte is allowed")
	require.Len(t, got.(*spdy.SynReplyFrame).Headers.Get("A"), 1<<20)

	// Above the limit for a block, and so far above it that it is not even inflated.
	for _, size := range []int{3 << 10, 40 << 10} {
		bomb := make(http.Header)
		for i := range 40 {
			bomb[fmt.Sprint(i)] = []string{strings.Repeat("0", size)}
		}
		f := newFramer(t, &wire, &wire, spdy.WithMaxHeaderFieldSize(100))
		require.NoError(t, f.WriteFrame(&spdy.SynReplyFrame{StreamId: 5, Headers: bomb}))
		_, err = f.ReadFrame()
		require.Equal(t, &spdy.Error{Err: spdy.InvalidControlFrame, StreamId: 5}, err)
	}
}
