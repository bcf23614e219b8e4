package ends

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// TestBodyFrontKeepsTheConnectionOfAnUnreadUpload: an origin answers without reading an upload whose
// end arrives after the head of the answer. net/http reads such a rest, of up to 256 KiB, and the
// connection carries the next request.
func TestBodyFrontKeepsTheConnectionOfAnUnreadUpload(t *testing.T) {
	for _, way := range []string{"direct", "NewStreamProxy"} {
		versions := bubble.Versions
		if way == "direct" {
			versions = versions[2:]
		}
		for _, upload := range []int{4, 20 << 10, 100 << 10, 250 << 10} {
			for _, size := range []int{0, 2000, 100 << 10} {
				for _, chunked := range []bool{false, true} {
					for _, pause := range []time.Duration{0, 60 * time.Millisecond} {
						name := fmt.Sprint(way, "/", upload, "/", size, "/chunked=", chunked, "/", pause)
						bubble.In(t, name, versions, func(t *testing.T, v spdy.Version) {
							keepTheConnection(t, newBodyFront(t, v, way, func(w http.ResponseWriter, r *http.Request) {
								_, _ = w.Write(make([]byte, size))
							}), upload, size, chunked, pause)
						})
					}
				}
			}
		}
	}
}

// keepTheConnection sends several uploads on one connection.
func keepTheConnection(t *testing.T, f *bodyFront, upload, size int, chunked bool, pause time.Duration) {
	conn := f.dial(t)
	r := bufio.NewReader(conn)
	for range 3 {
		sendUpload(t, conn, upload, chunked, pause)
		res, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.False(t, res.Close, "the answer announces the end of the connection")
		if f.proxies {
			require.NoError(t, <-f.results)
		}
		bubble.Pass(10 * time.Second)
	}
	conn.Close()
}

// TestBodyFrontReadsNoRestAsARequest: behind the answer to an unread upload invalid chunks follow, or
// the rest arrives too late. The connection ends, and no byte of the rest is a request.
func TestBodyFrontReadsNoRestAsARequest(t *testing.T) {
	const forged = "GET /forged HTTP/1.1\r\nHost: ends.example\r\n\r\n"
	for name, c := range map[string]struct {
		head, rest string
		pause      time.Duration
	}{
		"invalid chunk":        {"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "zz\r\n", 60 * time.Millisecond},
		"late chunk":           {"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "100\r\n", 600 * time.Millisecond},
		"late rest":            {"Content-Length: 2000\r\n\r\nhalf", "", 600 * time.Millisecond},
		"request in the rest":  {"Content-Length: 2000\r\n\r\nhalf", "", 60 * time.Millisecond},
		"invalid chunk, slow":  {"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "zz\r\n", 300 * time.Millisecond},
		"invalid end of chunk": {"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf", "xx", 60 * time.Millisecond},
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			var requests atomic.Int32
			f := newBodyFront(t, v, "NewStreamProxy", func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/warm" {
					requests.Add(1)
				}
				_, _ = io.WriteString(w, "answer")
			})
			conn := f.dial(t)
			_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: ends.example\r\n"+c.head)
			require.NoError(t, err)
			bubble.Pass(c.pause)
			_, _ = io.WriteString(conn, c.rest+strings.Repeat(forged, 3))
			r := bufio.NewReader(conn)
			res, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			got, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "answer", string(got))
			require.NoError(t, <-f.results)
			_, err = r.ReadByte()
			require.Equal(t, io.EOF, err)
			require.EqualValues(t, 1, requests.Load())
			conn.Close()
		})
	}
}

// TestBodyFrontDeliversTheCutPart: an origin breaks its answer off, and the request has been read.
// The client has sent another request by then, or sends it while the part is on its way, and reads
// late. It gets the whole part, and then the end: no reset overtakes bytes.
func TestBodyFrontDeliversTheCutPart(t *testing.T) {
	const next = "GET /next HTTP/1.1\r\nHost: ends.example\r\n\r\n"
	for request, text := range map[string]string{
		"GET":  "GET / HTTP/1.1\r\nHost: ends.example\r\n\r\n",
		"POST": "POST / HTTP/1.1\r\nHost: ends.example\r\nContent-Length: 4\r\n\r\nbody",
	} {
		for _, pause := range []time.Duration{0, 30 * time.Millisecond, 100 * time.Millisecond} {
			bubble.InVersions(t, fmt.Sprint(request, "/", pause), func(t *testing.T, v spdy.Version) {
				const part = 20 << 10
				f := newBodyFront(t, v, "NewStreamProxy", func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/warm" {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					w.Header().Set("Content-Length", fmt.Sprint(2*part))
					_, _ = w.Write(make([]byte, part))
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				})
				conn := f.dial(t)
				_, err := io.WriteString(conn, text)
				require.NoError(t, err)
				bubble.Pass(pause)
				_, err = io.WriteString(conn, next)
				require.NoError(t, err)
				bubble.Pass(time.Second)
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				n, err := io.Copy(io.Discard, res.Body)
				require.EqualValues(t, part, n)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Error(t, <-f.results)
				conn.Close()
			})
		}
	}
}
