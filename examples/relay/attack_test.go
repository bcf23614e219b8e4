package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
)

// A22, the takeover of a tunnel: whoever can reach the proxy is not thereby an origin,
// and whoever can get between an origin and its proxy is no proxy.
func TestAttackA22Takeover(t *testing.T) {
	t.Setenv("RELAY_TOKEN", "")
	proxy := start(t, "proxy", "-listen", "127.0.0.1:0", "-tunnels", "127.0.0.1:0", "-status", "", "-reconnect", "refuse",
		"-origin", "home=secret", "-origin", "other=else")
	public, tunnels := proxy.Find(`HTTP clients on (\S+)`), proxy.Find(`origins on (\S+)`)
	upgrade := "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"no token":                 {"GET /tunnel/home HTTP/1.1\r\nHost: x\r\n" + upgrade, 401},
		"a wrong token":            {"GET /tunnel/home HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer guess\r\n" + upgrade, 401},
		"part of the token":        {"GET /tunnel/home HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secre\r\n" + upgrade, 401},
		"the token as a password":  {"GET /tunnel/home HTTP/1.1\r\nHost: x\r\nAuthorization: Basic secret\r\n" + upgrade, 401},
		"the token of another":     {"GET /tunnel/home HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer else\r\n" + upgrade, 401},
		"a name that nobody has":   {"GET /tunnel/evil HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n" + upgrade, 401},
		"no name and no token":     {"GET /tunnel/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \r\n" + upgrade, 404},
		"no upgrade":               {"GET /tunnel/home HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n", 426},
		"another upgrade":          {"GET /tunnel/home HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", 426},
		"another method":           {"POST /tunnel/home HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: Bearer secret\r\n" + upgrade, 405},
		"a SPDY session right off": {"\x80\x03\x00\x04\x00\x00\x00\x04\x00\x00\x00\x00", 400},
	} {
		t.Run("proxy/"+name, func(t *testing.T) {
			require.Equal(t, tt.status, knock(t, tunnels, tt.request))
			code, _ := fetch(t, "http://"+public+"/home/", "")
			require.Equal(t, http.StatusServiceUnavailable, code, "nobody has become the origin")
			require.NotContains(t, proxy.Output(), "is up")
			require.NotContains(t, proxy.Output(), "secret")
		})
	}
	t.Run("proxy/by the front door", func(t *testing.T) {
		status := knock(t, public, "GET /tunnel/home HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"+upgrade)
		require.NotEqual(t, http.StatusSwitchingProtocols, status)
	})
	t.Run("proxy/a second origin", func(t *testing.T) {
		start(t, "origin", "-plain", "-token", "secret", "-proxy", tunnels, "-dir", directory(t))
		proxy.Find("home: tunnel 1 from .* is up")
		status := knock(t, tunnels, "GET /tunnel/home HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"+upgrade)
		require.Equal(t, http.StatusConflict, status, "what becomes of it is the operator's choice, here to refuse it")
		code, body := fetch(t, "http://"+public+"/home/a.txt", "")
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, "0123456789", body)
	})
	testFalseProxy(t)
}

// knock sends a request and returns the status of the answer; what is no HTTP gets 400.
func knock(t *testing.T, addr, request string) int {
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, request+"\r\n\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	res.Body.Close()
	return res.StatusCode
}

// testFalseProxy is what an origin says to somebody who is not its proxy: nothing, above
// all not its token.
func testFalseProxy(t *testing.T) {
	cert, _, err := localcert.New()
	require.NoError(t, err)
	other, _, err := localcert.New()
	require.NoError(t, err)
	trusted, _, err := localcert.WritePEM(t.TempDir(), other)
	require.NoError(t, err)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	require.NoError(t, err)
	heard := make(chan string, 10)
	go func() {
		defer close(heard)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			text, _ := io.ReadAll(io.LimitReader(conn, 1000))
			heard <- string(text)
			conn.Close()
		}
	}()
	for name, args := range map[string]string{
		"of nobody's": "origin -token secret -proxy " + ln.Addr().String(),
		"of another":  fmt.Sprintf("origin -token secret -cafile %s -proxy %s", trusted, ln.Addr()),
	} {
		t.Run("origin/a certificate "+name, func(t *testing.T) {
			p := start(t, strings.Fields(args)...)
			p.Find("certificate")
			require.NotContains(t, p.Output(), "secret")
		})
	}
	ln.Close()
	for text := range heard {
		require.NotContains(t, text, "secret")
	}
}
