package ownership

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A keeper is a server that asks each client to keep a value. It answers all requests.
type keeper struct {
	version spdy.Version
	value   uint32

	mu       sync.Mutex
	returned []spdy.Setting // the settings that clients have returned since the last call of told
}

// serve speaks SPDY on a connection until it ends.
func (k *keeper) serve(conn net.Conn) {
	defer conn.Close()
	framer := spdy.NewFramer(conn, conn, k.version)
	hello := &spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingRoundTripTime, Flags: spdy.FlagPersistValue, Value: k.value}}}
	if framer.WriteFrame(hello) != nil {
		return
	}
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *spdy.SettingsFrame:
			k.note(f.Entries)
		case *spdy.SynStreamFrame:
			s := server{version: k.version}
			err := framer.WriteFrame(&spdy.SynReplyFrame{
				StreamID: f.StreamID, Flags: spdy.FlagFin, Headers: s.block("status", "200 OK", "version", "HTTP/1.1"),
			})
			if err != nil {
				return
			}
		}
	}
}

func (k *keeper) note(entries []spdy.Setting) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range entries {
		if e.Flags&spdy.FlagPersisted != 0 {
			k.returned = append(k.returned, e)
		}
	}
}

// told returns the values that clients have returned since the last call.
func (k *keeper) told() (values []uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.returned {
		values = append(values, e.Value)
	}
	k.returned = nil
	return values
}

// keepers are servers by the address that a client dials. All their connections have the
// same addresses, as behind a proxy.
type keepers map[string]*keeper

func (ks keepers) dial(_ context.Context, _, addr string) (net.Conn, error) {
	k := ks[strings.ToLower(addr)]
	if k == nil {
		return nil, fmt.Errorf("no server at %s", addr)
	}
	ours, theirs := testconn.Pair()
	go k.serve(theirs)
	return ours, nil
}

// dialTLS is dial for servers that choose SPDY by ALPN.
func (ks keepers) dialTLS(cert tls.Certificate) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, _, addr string) (net.Conn, error) {
		k := ks[strings.ToLower(addr)]
		if k == nil {
			return nil, fmt.Errorf("no server at %s", addr)
		}
		ours, theirs := testconn.Pair()
		go k.serve(tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{k.version.String()}}))
		return ours, nil
	}
}

// A server gets the settings back that servers of its origin have asked to keep, and no
// others, whatever the connections look like.
func TestAttackA25SettingsByOrigin(t *testing.T) {
	cert, trust, err := localcert.New()
	require.NoError(t, err)
	now := time.Now() // the bubble's clock is years behind the certificate
	secure := &tls.Config{RootCAs: trust, Time: func() time.Time { return now }}
	clients := map[string]func(ks keepers, conf *spdy.Config) (rt http.RoundTripper, scheme string){
		"Transport": func(ks keepers, conf *spdy.Config) (http.RoundTripper, string) {
			return &spdy.Transport{Config: conf, DialContext: ks.dial}, "http"
		},
		"Transport over TLS": func(ks keepers, conf *spdy.Config) (http.RoundTripper, string) {
			return &spdy.Transport{Config: conf, DialContext: ks.dialTLS(cert), TLSClientConfig: secure.Clone()}, "https"
		},
		"ConfigureTransport": func(ks keepers, conf *spdy.Config) (http.RoundTripper, string) {
			tr := &http.Transport{DialContext: ks.dialTLS(cert), TLSClientConfig: secure.Clone()}
			require.NoError(t, spdy.ConfigureTransport(tr, conf))
			return tr, "https"
		},
	}
	for name, client := range clients {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			a, b := &keeper{version: v, value: 1}, &keeper{version: v, value: 2}
			conf := &spdy.Config{Version: v, Settings: new(spdy.MemorySettings), Logger: slog.New(slog.DiscardHandler)}
			rt, scheme := client(keepers{"localhost:1001": a, "localhost:1002": b}, conf)
			visit := func(host string) {
				req, err := http.NewRequestWithContext(t.Context(), "GET", scheme+"://"+host+"/", nil)
				require.NoError(t, err)
				start(rt, req).body(t)
				rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
				synctest.Wait()
			}
			visit("localhost:1001")
			require.Empty(t, a.told(), "the first visit")
			visit("localhost:1002")
			require.Empty(t, b.told(), "another port is another origin")
			visit("LOCALHOST:1001")
			require.Equal(t, []uint32{1}, a.told())
			visit("localhost:1002")
			require.Equal(t, []uint32{2}, b.told())
			require.Empty(t, conf.SettingsKey, "the caller's Config is not changed")
			require.NotEmpty(t, conf.Settings.Load(scheme+"://localhost:1001"))
		})
	}
	testSettingsOfSessions(t)
}

// Sessions that a program makes of its own connections keep settings if it names the
// server.
func testSettingsOfSessions(t *testing.T) {
	for name, keys := range map[string][2]string{
		"no key":       {},
		"one server":   {"http://a.example:80", "http://a.example:80"},
		"two servers":  {"http://a.example:80", "http://b.example:80"},
		"key and none": {"http://a.example:80", ""},
	} {
		bubble.InVersions(t, "session/"+name, func(t *testing.T, v spdy.Version) {
			store := new(spdy.MemorySettings)
			visit := func(k *keeper, key string) []uint32 {
				ours, theirs := testconn.Pair()
				go k.serve(theirs)
				conf := &spdy.Config{Version: v, Settings: store, SettingsKey: key, Logger: slog.New(slog.DiscardHandler)}
				s := conf.ClientSession(ours)
				go s.Serve()
				synctest.Wait()
				s.Close()
				synctest.Wait()
				return k.told()
			}
			require.Empty(t, visit(&keeper{version: v, value: 1}, keys[0]))
			told := visit(&keeper{version: v, value: 2}, keys[1])
			if name == "one server" {
				require.Equal(t, []uint32{1}, told)
			} else {
				require.Empty(t, told)
			}
			require.Empty(t, store.Load(""))
		})
	}
}

// TestSettingsOfNewClient: NewClient keeps settings by the address that it dials.
func TestSettingsOfNewClient(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	k := &keeper{version: spdy.SPDY31, value: 7}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { k.serve(conn) })
		}
	})
	for range 2 {
		client, err := spdy.NewClient(ln.Addr().String())
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+ln.Addr().String()+"/", nil)
		require.NoError(t, err)
		start(client, req).body(t)
		require.NoError(t, client.Close())
	}
	require.NoError(t, ln.Close())
	serving.Wait()
	require.Equal(t, []uint32{7}, k.told())
	require.NotEmpty(t, spdy.DefaultSettings.Load("http://"+ln.Addr().String()))
}
