package spdy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
)

// The exported API of 2015. What is declared here compiles only as long as every name
// has the type it had then.

// The constants that had no type fit any.
const (
	_ int8    = spdy.FRAME_SYN_STREAM
	_ uint16  = spdy.FRAME_SYN_REPLY
	_ float64 = spdy.FRAME_RST_STREAM
	_ int     = spdy.FRAME_SETTINGS
	_ uint8   = spdy.FRAME_PING
	_ int64   = spdy.FRAME_GOAWAY
	_ uint32  = spdy.FRAME_HEADERS
	_ float32 = spdy.FRAME_WINDOW_UPDATE
	_ int32   = spdy.MAX_DATA_PAYLOAD
	_ float64 = spdy.MAX_DATA_PAYLOAD
	_ uint8   = spdy.NORTHBOUND_SLOTS
	_ float32 = spdy.NORTHBOUND_SLOTS
	_ int32   = spdy.INITIAL_FLOW_CONTOL_WINDOW
	_ string  = spdy.HEADER_STATUS + spdy.HEADER_VERSION + spdy.HEADER_PATH + spdy.HEADER_METHOD +
		spdy.HEADER_HOST + spdy.HEADER_SCHEME + spdy.HEADER_CONTENT_LENGTH
)

var (
	_ func(addr string, handler http.Handler) error                    = spdy.ListenAndServe
	_ func(addr, certFile, keyFile string, handler http.Handler) error = spdy.ListenAndServeTLS
	_ func(addr, certFile, keyFile string, handler http.Handler) error = spdy.ListenAndServeTLSSpdyOnly
	_ func(req *url.URL) uint8                                         = spdy.PriorityFor
	_ func()                                                           = spdy.EnableDebug
	_ func(io.Writer)                                                  = spdy.SetLog

	_ func(addr string) (*spdy.Client, error)                       = spdy.NewClient
	_ func(net.Conn) (*spdy.Client, error)                          = spdy.NewClientConn
	_ func(*spdy.Client, *http.Request) (*http.Response, error)     = (*spdy.Client).Do
	_ func(*spdy.Client) error                                      = (*spdy.Client).Close
	_ func(*spdy.Client, time.Duration) (bool, error)               = (*spdy.Client).Ping
	_ func(*spdy.Server) error                                      = (*spdy.Server).ListenAndServe
	_ func(*spdy.Server, string, string) error                      = (*spdy.Server).ListenAndServeTLSSpdyOnly
	_ func(*spdy.Server, net.Listener) error                        = (*spdy.Server).Serve
	_ func(*spdy.Server) error                                      = (*spdy.Server).Close
	_ func(net.Conn, *http.Server) *spdy.Session                    = spdy.NewServerSession
	_ func(net.Conn) *spdy.Session                                  = spdy.NewClientSession
	_ func(*spdy.Session) error                                     = (*spdy.Session).Serve
	_ func(*spdy.Session)                                           = (*spdy.Session).Close
	_ func(*spdy.Session) *spdy.Stream                              = (*spdy.Session).NewClientStream
	_ func(*spdy.Session, *http.Request, http.ResponseWriter) error = (*spdy.Session).NewStreamProxy
	_ func(*spdy.Session, time.Duration) bool                       = (*spdy.Session).Ping
	_ func(*spdy.Stream) http.Header                                = (*spdy.Stream).Header
	_ func(*spdy.Stream, []byte) (int, error)                       = (*spdy.Stream).Write
	_ func(*spdy.Stream, int)                                       = (*spdy.Stream).WriteHeader
	_ func(*spdy.Stream, *http.Request, http.ResponseWriter) error  = (*spdy.Stream).Request
	_ func(*spdy.Stream) string                                     = (*spdy.Stream).String
	_ func() *spdy.ResponseRecorder                                 = spdy.NewRecorder
	_ func(*spdy.ResponseRecorder) http.Header                      = (*spdy.ResponseRecorder).Header
	_ func(*spdy.ResponseRecorder, []byte) (int, error)             = (*spdy.ResponseRecorder).Write
	_ func(*spdy.ResponseRecorder, int)                             = (*spdy.ResponseRecorder).WriteHeader
	_ func(*spdy.Server, context.Context) error                     = (*spdy.Server).Shutdown
	_ func(*spdy.Server, string, string) error                      = (*spdy.Server).ListenAndServeTLS
	_ func(*spdy.Server, net.Listener, string, string) error        = (*spdy.Server).ServeTLS
	_ http.ResponseWriter                                           = (*spdy.Stream)(nil)
	_ http.ResponseWriter                                           = (*spdy.ResponseRecorder)(nil)
	_ fmt.Stringer                                                  = (*spdy.Stream)(nil)
	_ interface {
		SendGoaway(f spdy.FrameFlags, dat []byte)
	} = (*spdy.Session)(nil)
	_ = spdy.Server{Handler: http.Handler(nil), Addr: string(""), TLSConfig: (*tls.Config)(nil)}
	_ = spdy.ResponseRecorder{Code: int(0), HeaderMap: http.Header(nil), Body: (*bytes.Buffer)(nil)}
)

func TestSeedConstants(t *testing.T) {
	require.Equal(t, []int{1, 2, 3, 4, 6, 7, 8, 9}, []int{
		spdy.FRAME_SYN_STREAM, spdy.FRAME_SYN_REPLY, spdy.FRAME_RST_STREAM, spdy.FRAME_SETTINGS,
		spdy.FRAME_PING, spdy.FRAME_GOAWAY, spdy.FRAME_HEADERS, spdy.FRAME_WINDOW_UPDATE,
	})
	require.Equal(t, ":status :version :path :method :host :scheme Content-Length", strings.Join([]string{
		spdy.HEADER_STATUS, spdy.HEADER_VERSION, spdy.HEADER_PATH, spdy.HEADER_METHOD,
		spdy.HEADER_HOST, spdy.HEADER_SCHEME, spdy.HEADER_CONTENT_LENGTH,
	}, " "))
	require.Equal(t, int32(64*1024), spdy.INITIAL_FLOW_CONTOL_WINDOW)
	require.Equal(t, 16777215, spdy.MAX_DATA_PAYLOAD)
	require.Equal(t, 5, spdy.NORTHBOUND_SLOTS)
	for want, flag := range []any{spdy.FLAG_NONE, spdy.FLAG_FIN} {
		v := reflect.ValueOf(flag)
		require.Equal(t, "frameFlags", v.Type().Name())
		require.Equal(t, reflect.Uint8, v.Kind())
		require.EqualValues(t, want, v.Uint())
	}
	require.Equal(t, 0, (&spdy.ResponseRecorder{}).Code)
}

// echo2015 is the handler of the server program of 2015.
func echo2015(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "Hi there, I love %s!", r.URL.Path[1:])
}

// client2015 is the client program of 2015, in which one Read has to bring the
// whole body.
func client2015(client *spdy.Client, target string) (string, error) {
	req, err := http.NewRequest("GET", target, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	data := make([]byte, int(res.ContentLength))
	_, err = res.Body.(io.Reader).Read(data)
	res.Body.Close()
	return string(data), err
}

func TestProgramsOf2015(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &spdy.Server{Handler: http.HandlerFunc(echo2015)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()

	client, err := spdy.NewClient(ln.Addr().String())
	require.NoError(t, err)
	text, err := client2015(client, "http://"+ln.Addr().String()+"/banana")
	require.NoError(t, err)
	require.Equal(t, "Hi there, I love banana!", text)
	pinged, err := client.Ping(5 * time.Second)
	require.NoError(t, err)
	require.True(t, pinged)
	require.NoError(t, client.Close())
	require.NoError(t, server.Close())
	require.ErrorIs(t, <-served, http.ErrServerClosed)
}

// TestOneReadBringsAShortAnswer holds the promise to programs of 2015 for every size
// of answer that gets a Content-Length by itself, on a network that delivers a byte at
// a time, with other answers around it.
func TestOneReadBringsAShortAnswer(t *testing.T) {
	for _, size := range []int{1, 2, 24, 511, 512, 513, 2048, 2049, 4094, 4095, 4096} {
		for _, read := range []int{1, 7, 1000, 0} {
			one, two := testconn.Pair(testconn.ReadSize(read))
			want := strings.Repeat("x", size-1) + "."
			session := spdy.NewServerSession(two, &http.Server{Handler: http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, want) })})
			go session.Serve()
			client, err := spdy.NewClientConn(one)
			require.NoError(t, err)
			for range 3 {
				text, err := client2015(client, "http://x/")
				require.NoError(t, err)
				require.Equal(t, want, text, "%d bytes, %d a read", size, read)
			}
			client.Close()
			session.Close()
		}
	}
}

// TestOneReadAmongMany is the same with many answers at once, which fill the sender's
// batches: a short answer must not be cut in two where a batch ends.
func TestOneReadAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := testconn.Pair()
		gate := make(chan struct{})
		want := strings.Repeat("y", 4000)
		session := spdy.NewServerSession(two, &http.Server{Handler: http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				<-gate
				fmt.Fprint(w, want)
			})})
		go session.Serve()
		client, err := spdy.NewClientConn(one)
		require.NoError(t, err)
		defer session.Close()
		defer client.Close()
		const many = 90
		texts := make(chan string, many)
		for range many {
			go func() {
				text, err := client2015(client, "http://x/")
				texts <- text + fmt.Sprint(err)
			}()
		}
		synctest.Wait()
		two.SetHold(true) // the sender stands in a Write while the answers collect
		two.SetWriteCap(1)
		two.SetBandwidth(1 << 20) // so that what is cut arrives in two pieces
		go session.Ping(time.Second)
		synctest.Wait()
		close(gate)
		synctest.Wait()
		two.SetHold(false)
		two.SetWriteCap(0)
		for range many {
			require.True(t, <-texts == want+"<nil>", "one Read did not bring the whole answer")
		}
	})
}

func TestSeedSession(t *testing.T) {
	one, two := testconn.Pair()
	server := spdy.NewServerSession(one, &http.Server{Handler: http.HandlerFunc(echo2015)}) // it dialled
	client := spdy.NewClientSession(two)                                                    // it accepted
	ended := make(chan error, 2)
	go func() { ended <- server.Serve() }()
	go func() { ended <- client.Serve() }()

	require.True(t, client.Ping(5*time.Second))
	require.True(t, server.Ping(5*time.Second))

	req, err := http.NewRequest("GET", "http://x/pears", nil)
	require.NoError(t, err)
	stream := client.NewClientStream()
	require.Equal(t, "0", stream.String())
	recorder := spdy.NewRecorder()
	require.NoError(t, stream.Request(req, recorder))
	require.Equal(t, "1", stream.String())
	require.Equal(t, 200, recorder.Code)
	require.Equal(t, "Hi there, I love pears!", recorder.Body.String())
	require.Equal(t, recorder.Header().Get("Content-Type"), stream.Header().Get("Content-Type"))

	var zero spdy.ResponseRecorder
	require.NoError(t, client.NewStreamProxy(req, &zero))
	require.Equal(t, 200, zero.Code)

	client.SendGoaway(spdy.FLAG_NONE, []byte{0, 0, 0, 0, 0, 0, 0, 0})
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	server.SendGoaway(spdy.FLAG_FIN, nil) // says nothing to a session that has ended
	server.Close()
	client.Close()
	require.False(t, client.Ping(time.Second))
}
