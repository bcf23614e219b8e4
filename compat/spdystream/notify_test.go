package spdystream

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	amahi "github.com/amahi/spdy"
	"github.com/stretchr/testify/require"
)

// The stream that NotifyClose tells is the one that was open when the GOAWAY came, although
// the connection breaks before anything can be told.
func TestNotifyCloseLate(t *testing.T) {
	ours, theirs := net.Pipe()
	c, err := NewConnection(ours, false)
	require.NoError(t, err)
	last := make(chan *Stream, 1)
	c.NotifyClose(last, time.Minute)
	go c.Serve(NoOpStreamHandler)
	s, err := c.CreateStream(http.Header{}, nil, false)
	require.NoError(t, err)
	_, err = theirs.Read(make([]byte, 1)) // it serves
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, theirs) }() // ends with the connection

	c.mu.Lock()
	framer := amahi.NewFramer(theirs, nil, amahi.SPDY31)
	require.NoError(t, framer.WriteFrame(&amahi.GoAwayFrame{LastGoodStreamID: 1}))
	require.NoError(t, theirs.Close())
	<-s.raw.Done()
	<-c.session.Done()
	c.mu.Unlock()
	require.Same(t, s, <-last)
	require.NoError(t, c.Wait(0))
}
