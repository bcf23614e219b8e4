package spdystream_test

import (
	"strings"
	"testing"
	"testing/synctest"

	amahi "github.com/amahi/spdy"
	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
	"github.com/moby/spdystream/spdy"
)

// FindStream does not wait for a stream that has come and was refused.
func TestFindRefusedStream(t *testing.T) {
	wireTest(t, true, spdystream.MirrorStreamHandler, func(t *testing.T, w *wire) {
		found := make(chan *spdystream.Stream, 1)
		go func() { found <- w.c.FindStream(1) }()
		synctest.Wait()
		w.syn(1, 0, amahi.HeaderField{Name: "a", Value: strings.Repeat("x", 1000)})
		synctest.Wait()
		require.Len(t, found, 1)
		require.Nil(t, <-found)
		require.Nil(t, w.c.FindStream(1))
	}, spdy.WithMaxHeaderFieldSize(100))
}
