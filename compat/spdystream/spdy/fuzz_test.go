package spdy_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream/spdy"
)

// FuzzReadFrame: whatever comes is a frame that can be written and read again, or an
// error; and an error of the codec is never what a program sees.
func FuzzReadFrame(f *testing.F) {
	for _, kind := range []string{"write", "read"} {
		inputs, _ := golden(f, kind)
		for _, input := range inputs {
			f.Add(input)
		}
		f.Add(bytes.Join(inputs, nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		reader := newFramer(t, nil, bytes.NewReader(data), spdy.WithMaxHeaderFieldSize(1<<16))
		var again bytes.Buffer
		writer := newFramer(t, &again, &again)
		for range len(data) {
			frame, err := reader.ReadFrame()
			if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
				return
			}
			if err != nil {
				require.NotContains(t, err.Error(), "spdy:")
				if _, second := reader.ReadFrame(); second == err {
					return // it is the end
				}
				continue
			}
			require.NoError(t, writer.WriteFrame(frame))
			got, err := writer.ReadFrame()
			require.NoError(t, err)
			require.Equal(t, withoutLength(frame), withoutLength(got))
		}
	})
}
