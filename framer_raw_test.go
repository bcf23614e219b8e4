package spdy

import (
	"bytes"
	"encoding/hex"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFramerRawVectors finds every frame of the vectors where it is, whole, with
// its header block inflated to the byte.
func TestFramerRawVectors(t *testing.T) {
	for _, s := range loadVectors(t) {
		f := NewFramer(nil, bytes.NewReader(s.wire), s.version)
		offset := int64(0)
		for i := range s.vectors {
			vec := &s.vectors[i]
			frame, err := f.ReadFrame()
			require.NoError(t, err, vec.Name)
			raw, wire := f.Raw(), unhex(t, vec.FrameHex)
			require.Equal(t, offset, raw.Offset, vec.Name)
			require.Equal(t, len(wire), raw.Size, vec.Name)
			require.Equal(t, vec.Decoded.Length, raw.Length, vec.Name)
			require.Equal(t, hex.EncodeToString(wire[frameHeaderSize:]), hex.EncodeToString(raw.Payload), vec.Name)
			require.Equal(t, frame.FrameType(), raw.Type, vec.Name)
			require.Equal(t, vec.Decoded.Flags, raw.Flags, vec.Name)
			require.Equal(t, vec.Decoded.WireVersion, raw.Version, vec.Name)
			require.Equal(t, vec.Decoded.Type != "DATA", raw.Control, vec.Name)
			require.Equal(t, vec.Decoded.HeaderBlockHex, hex.EncodeToString(raw.Block), vec.Name)
			offset += int64(len(wire))
		}
		_, err := f.ReadFrame()
		require.Equal(t, io.EOF, err)
		require.Equal(t, RawFrame{Offset: offset}, f.Raw())
	}
}

// TestFramerRawErrors looks at frames that are none: what there is of them stays
// visible, and stays so however often ReadFrame repeats its error.
func TestFramerRawErrors(t *testing.T) {
	var wire bytes.Buffer
	w := NewFramer(&wire, nil, SPDY31)
	nv := []byte("\x00\x00\x00\x01\x00\x00\x00\x01A\x00\x00\x00\x00") // an upper-case name
	require.NoError(t, w.WriteFrame(&HeadersFrame{StreamID: 5, Block: w.CompressBlock(nv)}))
	first := wire.Len()
	require.NoError(t, w.WriteFrame(&PingFrame{ID: 1}))
	wire.WriteString("\x80\x03\x00\x06\x00\x00\x00\x04\x00")

	f := NewFramer(nil, &wire, SPDY31)
	_, err := f.ReadFrame()
	requireStreamError(t, err, 5, RstProtocolError)
	raw := f.Raw()
	require.Equal(t, nv, raw.Block)
	require.Equal(t, FrameHeaders, raw.Type)
	require.Equal(t, first, raw.Size)

	_, err = f.ReadFrame()
	require.NoError(t, err)
	require.Nil(t, f.Raw().Block)

	want := RawFrame{Offset: int64(first) + 12, Size: 9, Control: true, Version: 3, Type: FramePing, Length: 4, Payload: []byte{0}}
	for range 2 {
		_, err = f.ReadFrame()
		require.Equal(t, io.ErrUnexpectedEOF, err)
		require.Equal(t, want, f.Raw())
	}

	// A header that is cut off, and one whose payload is refused unread.
	f = NewFramer(nil, bytes.NewReader([]byte{0x80, 3, 0}), SPDY31)
	_, err = f.ReadFrame()
	require.Equal(t, io.ErrUnexpectedEOF, err)
	require.Equal(t, RawFrame{Size: 3}, f.Raw())
	f = NewFramer(nil, bytes.NewReader([]byte{0, 0, 0, 9, 1, 0, 1, 0}), SPDY31)
	f.MaxFrameSize = 16
	_, err = f.ReadFrame()
	requireSessionError(t, err, GoAwayProtocolError)
	require.Equal(t, RawFrame{Size: 8, Flags: FlagFin, Length: 256}, f.Raw())
}
