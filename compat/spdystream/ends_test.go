package spdystream_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
)

// A write that was to close our half, and sends only a part or nothing, is followed by no
// clean end.
func TestCutLastWrite(t *testing.T) {
	for name, write := range map[string]func(t *testing.T, s *spdystream.Stream){
		"WriteData": func(t *testing.T, s *spdystream.Stream) { // nobody reads: its window is all that goes
			require.NoError(t, s.SetWriteDeadline(time.Now().Add(time.Second)))
			require.ErrorIs(t, s.WriteData(make([]byte, 1<<20), true), os.ErrDeadlineExceeded)
			require.NoError(t, s.SetWriteDeadline(time.Time{}))
		},
		"SendHeader": func(t *testing.T, s *spdystream.Stream) { // more than a frame carries
			require.Error(t, s.SendHeader(http.Header{"A": {strings.Repeat("b", 17<<20)}}, true))
		},
	} {
		for end, call := range map[string]func(s *spdystream.Stream, c *spdystream.Connection) error{
			"Reset":  func(s *spdystream.Stream, _ *spdystream.Connection) error { return s.Reset() },
			"Cancel": func(s *spdystream.Stream, _ *spdystream.Connection) error { return s.Cancel() },
			"both": func(s *spdystream.Stream, c *spdystream.Connection) error {
				return errors.Join(s.Reset(), c.Close())
			},
			"Close": func(_ *spdystream.Stream, c *spdystream.Connection) error { return c.Close() },
		} {
			t.Run(name+"/"+end, func(t *testing.T) {
				rigTest(t, nil, func(t *testing.T, r *rig) {
					ours, theirs := r.open()
					write(t, ours)
					require.True(t, ours.IsFinished())
					require.Equal(t, spdystream.ErrWriteClosedStream, ours.Close())
					require.Equal(t, spdystream.ErrWriteClosedStream, ours.WriteData([]byte("more"), false))
					require.NoError(t, call(ours, r.client))
					got := <-readAll(theirs)
					require.Less(t, len(got.data), 1<<20)
					require.ErrorIs(t, got.err, io.ErrUnexpectedEOF)
				})
			})
		}
	}
}

// Close tells whether the stream was still there, as with the original, although a raw stream's
// CloseWrite does not fail when the peer has sent all and given the stream up.
func TestCloseAfterTheirs(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		ours, theirs := r.open()
		require.NoError(t, theirs.Close())
		require.NoError(t, theirs.Reset())
		require.Equal(t, ending{"", nil}, <-readAll(ours))
		synctest.Wait()
		require.Equal(t, spdystream.ErrWriteClosedStream, ours.Close())
	})
}

// A Reset that comes while a write that is to close our half is under way.
func TestResetDuringLastWrite(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		ours, theirs := r.open()
		wrote := make(chan error, 1)
		go func() { wrote <- ours.WriteData(make([]byte, 1<<20), true) }()
		synctest.Wait()
		require.Empty(t, wrote)
		require.NoError(t, ours.Reset())
		require.Equal(t, spdystream.ErrWriteClosedStream, <-wrote)
		require.ErrorIs(t, (<-readAll(theirs)).err, io.ErrUnexpectedEOF)
	})
	rigTest(t, nil, func(t *testing.T, r *rig) { // or is about to begin
		for range 20 {
			var group sync.WaitGroup
			for range 100 {
				ours, theirs := r.open()
				got := readAll(theirs)
				group.Go(func() { _ = ours.WriteData(make([]byte, 1000), true) })
				group.Go(func() {
					assert.NoError(t, ours.Reset())
					if got := <-got; got.err == nil {
						assert.Contains(t, []int{0, 1000}, len(got.data), "the Reset came first, or all was sent")
					}
				})
			}
			group.Wait()
		}
	})
}
