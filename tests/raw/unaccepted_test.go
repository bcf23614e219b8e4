package raw

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A leaver is a scripted peer that opens streams and ends the connection before any is accepted.
type leaver struct {
	*testing.T
	session *spdy.Session
	conn    net.Conn
	*spdy.Framer
	first uint32 // the number of the peer's first stream
}

// eachLeaver runs f against both roles of a raw session, in all versions.
func eachLeaver(t *testing.T, f func(p *leaver)) {
	for _, client := range []bool{false, true} {
		bubble.InVersions(t, map[bool]string{false: "server", true: "client"}[client], func(t *testing.T, v spdy.Version) {
			ours, theirs := net.Pipe()
			p := &leaver{
				T: t, session: bubble.Quiet(spdy.Config{}, v).RawSession(ours, client), conn: theirs,
				Framer: spdy.NewFramer(theirs, theirs, v), first: 1,
			}
			if client {
				p.first = 2
			}
			served := make(chan error, 1)
			go func() { served <- p.session.Serve() }()
			go io.Copy(io.Discard, theirs) // ends with the connection
			f(p)
			theirs.Close()
			p.session.Close()
			<-served
		})
	}
}

// opens opens a stream with a header that names the stream.
func (p *leaver) opens(id uint32, flags spdy.FrameFlags, name string) {
	p.Helper()
	require.NoError(p, p.WriteFrame(&spdy.SynStreamFrame{
		StreamID: id, Flags: flags, Headers: spdy.HeaderBlock{{Name: "name", Value: name}},
	}))
}

// accepted returns the header values of the streams that AcceptStream returns, and the last error.
func (p *leaver) accepted() (names []string, streams []*spdy.RawStream, err error) {
	for {
		st, err := p.session.AcceptStream(context.Background())
		if err != nil {
			return names, streams, err
		}
		names, streams = append(names, st.Header()[0].Value), append(streams, st)
	}
}

// TestStreamsBeforeTheEnd shows that a stream whose SYN_STREAM has arrived reaches the program, even
// if the connection ends right behind it and the stream carries nothing else.
func TestStreamsBeforeTheEnd(t *testing.T) {
	ends := map[string]func(p *leaver){
		"the peer closes": func(p *leaver) { require.NoError(p, p.conn.Close()) },
		"behind a GOAWAY": func(p *leaver) {
			require.NoError(p, p.WriteFrame(&spdy.GoAwayFrame{}))
			require.NoError(p, p.conn.Close())
		},
		"the peer breaks a rule": func(p *leaver) {
			require.NoError(p, p.WriteFrame(&spdy.SynStreamFrame{StreamID: p.first}))
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			eachLeaver(t, func(p *leaver) {
				p.opens(p.first, 0, "bare")
				p.opens(p.first+2, 0, "reset")
				require.NoError(p, p.WriteFrame(&spdy.RstStreamFrame{StreamID: p.first + 2, Status: spdy.RstCancel}))
				p.opens(p.first+4, 0, "partial")
				require.NoError(p, p.WriteFrame(&spdy.DataFrame{StreamID: p.first + 4, Data: []byte("part")}))
				p.opens(p.first+6, spdy.FlagFin, "whole")
				end(p)
				synctest.Wait()
				names, streams, err := p.accepted()
				require.Error(p, err)
				require.Equal(p, []string{"bare", "partial", "whole"}, names)
				for i, want := range []string{"", "part", ""} {
					got, err := io.ReadAll(streams[i])
					require.Equal(p, want, string(got))
					if names[i] == "whole" {
						require.NoError(p, err)
						continue
					}
					require.ErrorIs(p, err, io.ErrUnexpectedEOF)
				}
				_, err = streams[0].Write([]byte("x"))
				require.Error(p, err)
			})
		})
	}
}

// TestStreamsBeforeOwnEnd shows that a program that has closed its session receives no stream that
// carries nothing.
func TestStreamsBeforeOwnEnd(t *testing.T) {
	eachLeaver(t, func(p *leaver) {
		p.opens(p.first, 0, "bare")
		p.opens(p.first+2, spdy.FlagFin, "whole")
		synctest.Wait()
		p.session.Close()
		names, _, err := p.accepted()
		require.Equal(p, spdy.ErrSessionClosed, err)
		require.Equal(p, []string{"whole"}, names)
	})
}
