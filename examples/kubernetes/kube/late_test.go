package kube

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// hurried is a node that ends the bytes of a connection before it says what was wrong, as
// containerd does.
func hurried(w http.ResponseWriter, r *http.Request) {
	upgrader := spdy.Upgrader{Config: config(nil), Protocols: []string{forwardProtocol}}
	s, _, err := upgrader.Upgrade(w, r)
	if err != nil {
		return
	}
	go func() { // ends with the session
		for {
			messages, err := s.AcceptStream(context.Background())
			if err != nil {
				return
			}
			_ = messages.Reply(nil, false)
			data, err := s.AcceptStream(context.Background())
			if err != nil {
				return
			}
			_ = data.Reply(nil, false)
			_ = data.CloseWrite()
			_, _ = io.Copy(io.Discard, data)
			_, _ = io.WriteString(messages, "nobody listens")
			_ = messages.Close()
		}
	}()
	_ = s.Serve()
}

// What a node says behind the end of a connection is reported, and the session lives on.
func TestMessageBehindTheEnd(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(hurried))
	defer ts.Close()
	f, err := new(Client).Forward(t.Context(), PodURL(ts.URL, "ns", "pod", "portforward", "", Streams{}))
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	reports, served := make(chan error), make(chan error, 1)
	go func() { // ends with f.Close
		served <- f.Serve(t.Context(), ln, 8, func(err error) { reports <- err })
	}()
	for range 3 {
		conn, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		_, err = io.ReadAll(conn)
		require.NoError(t, err, "the node has closed its half")
		require.NoError(t, conn.Close())
		var remote *RemoteError
		require.ErrorAs(t, <-reports, &remote)
		require.Equal(t, "nobody listens", remote.Message)
	}
	f.Close()
	require.ErrorIs(t, <-served, spdy.ErrSessionClosed)
}
