package says

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
)

// logLines is an io.Writer of a log.Logger.
type logLines chan string

func (l logLines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

var anyPort = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// TestFailedHandshake compares what a server behind a listener of TLS tells a client that begins
// with something else than a handshake, or with one that fails, and what it logs, with net/http.
func TestFailedHandshake(t *testing.T) {
	cert, _, err := localcert.New("127.0.0.1")
	require.NoError(t, err)
	say := func(text string) func(t *testing.T, conn net.Conn) string {
		return func(t *testing.T, conn net.Conn) string {
			_, err := io.WriteString(conn, text)
			require.NoError(t, err)
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			got, err := io.ReadAll(conn)
			require.NoError(t, err)
			return string(got)
		}
	}
	clients := map[string]func(t *testing.T, conn net.Conn) string{
		"GET":     say("GET / HTTP/1.1\r\nHost: home.example\r\n\r\n"),
		"HEAD":    say("HEAD / HTTP/1.0\r\n\r\n"),
		"OPTIONS": say("OPTIONS * HTTP/1.1\r\nHost: home.example\r\n\r\n"),
		"another": say("hello, world\r\n"),
		"nothing": say(""),
		"no certificate that it trusts": func(_ *testing.T, conn net.Conn) string {
			return tls.Client(conn, &tls.Config{ServerName: "127.0.0.1"}).Handshake().Error()
		},
		"no version in common": func(_ *testing.T, conn net.Conn) string {
			return tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}).Handshake().Error()
		},
	}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			meet := func(serve func(net.Listener, *log.Logger)) (got, logged string) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				lines := make(logLines, 10)
				serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}), log.New(lines, "", 0))
				conn, err := net.Dial("tcp", ln.Addr().String())
				require.NoError(t, err)
				defer conn.Close()
				require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
				got = client(t, conn)
				conn.Close()
				select {
				case line := <-lines:
					return got, anyPort.ReplaceAllString(line, "ADDR")
				case <-time.After(time.Minute): // so that a failure is no hang
					return got, "nothing is logged"
				}
			}
			want, wantLog := meet(func(ln net.Listener, l *log.Logger) {
				s := &http.Server{ErrorLog: l}
				go s.Serve(ln)
				t.Cleanup(func() { s.Close() })
			})
			got, gotLog := meet(func(ln net.Listener, l *log.Logger) {
				s := &spdy.Server{ErrorLog: l}
				go s.Serve(ln)
				t.Cleanup(func() { s.Close() })
			})
			require.Equal(t, want, got)
			require.Equal(t, wantLog, gotLog)
			require.True(t, strings.HasPrefix(gotLog, "http: TLS handshake error from ADDR: "), gotLog)
		})
	}
}
