package main

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// others are servers that do not speak SPDY, by what they say first, and what the commands say of
// them.
var others = []struct {
	name  string
	says  string // "" for nothing
	hangs bool   // the server hangs up instead

	plain  string // of http://; "" for what depends on the time
	secure string // of https://
}{
	{
		name: "HTTP/1.1", says: "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
		plain:  ` speaks HTTP/1.1, not SPDY (it says "HTTP/1.1 400 Bad Request"); use curl or another client of HTTP`,
		secure: " speaks HTTP/1 on this port, not TLS; http:// is for SPDY without TLS",
	},
	{
		name: "TLS", says: "\x15\x03\x01\x00\x02\x02\x46",
		plain:  " speaks TLS, not SPDY; use https://",
		secure: "TLS handshake with ",
	},
	{
		name: "SETTINGS of HTTP/2", says: "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
		plain:  " speaks HTTP/2, not SPDY; use curl or another client of HTTP",
		secure: " speaks HTTP/2 on this port, not TLS",
	},
	{
		name: "preface of HTTP/2", says: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		plain:  ` speaks HTTP/2, not SPDY (it says "PRI * HTTP/2.0"); use curl`,
		secure: ` speaks another protocol, which begins with "PRI *", on this port, not TLS`,
	},
	{
		name: "SSH", says: "SSH-2.0-\x1b[31m\r\n",
		plain:  ` speaks SSH, not SPDY (it says "SSH-2.0-\\x1b[31m")` + "\n",
		secure: " speaks SSH on this port, not TLS",
	},
	{
		name: "SMTP", says: "220 mail.example ESMTP\r\n",
		plain:  ` does not speak SPDY (it says "220 mail.example ESMTP"); https:// is for ports with TLS`,
		secure: ` speaks another protocol, which begins with "220 m", on this port, not TLS`,
	},
	{
		name: "SPDY without TLS", says: "\x80\x03\x00\x07\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00",
		secure: " speaks SPDY on this port, not TLS; http:// is for SPDY without TLS",
	},
	{
		name:   "silence",
		plain:  " has sent nothing, not even an answer to a PING, and may not speak SPDY; https:// is for ports with TLS",
		secure: " it has not been completed in time",
	},
	{
		name: "end", hangs: true,
		plain:  " has closed the connection and sent nothing, and may not speak SPDY; https:// is for ports with TLS",
		secure: "it has closed the connection and may not speak TLS",
	},
}

// sayFirst starts a server that says something to every client, reads what comes, and hangs up
// if it is to.
func sayFirst(t *testing.T, text string, hangs bool) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.WriteString(conn, text)
				if hangs { // an end, and no reset, which unread bytes would make of it
					conn.(*net.TCPConn).CloseWrite()
				}
				io.Copy(io.Discard, conn)
			}()
		}
	}()
	return ln.Addr().String()
}

// TestOthers: get and ping say what a server speaks that does not speak SPDY, once and in a line.
func TestOthers(t *testing.T) {
	for _, x := range others {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			addr := sayFirst(t, x.says, x.hangs)
			limit := "20s"
			if x.name == "silence" {
				limit = "700ms"
			}
			for _, c := range []struct {
				want string
				args []string
			}{
				{x.plain, []string{"get", "http://" + addr + "/"}},
				{x.secure, []string{"get", "-k", "https://" + addr + "/"}},
				{x.plain, []string{"ping", addr}},
			} {
				if c.want == "" {
					continue
				}
				r := tool(t, "", append(c.args, "-connect-timeout", limit)...)
				require.Equal(t, exitFailure, r.code)
				require.Contains(t, r.stderr, c.want)
				require.Contains(t, r.stderr, "spdy "+c.args[0]+": ")
				require.Contains(t, r.stderr, addr)
				require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
				require.NotContains(t, r.stderr, "http.Transport", "which is for programs")
			}
		})
	}
}
