package says

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// zeroValues are the exported types that have methods on a pointer or a value, made by
// nobody's constructor. TestZeroValuesAreAll compares the list with the source.
var zeroValues = []any{
	new(spdy.Budget), new(spdy.Client), new(spdy.CompressionPolicy), new(spdy.Config), new(spdy.ConfigError),
	new(spdy.ConnError), new(spdy.CredentialFrame), new(spdy.DataFrame), new(spdy.FloodError), new(spdy.PoolError),
	new(spdy.FrameCounts), new(spdy.FrameFlags), new(spdy.FrameInfo), new(spdy.FrameType), new(spdy.Framer),
	new(spdy.GoAwayFrame), new(spdy.GoAwayStatus), new(spdy.HeaderBlock), new(spdy.HeaderTooLargeError),
	new(spdy.HeadersFrame), new(spdy.MemorySettings), new(spdy.NegotiationError), new(spdy.NoopFrame),
	new(spdy.NotSPDYError), new(spdy.PingFrame), new(spdy.ProxyError), new(spdy.RawStream), new(spdy.ResetCounts),
	new(spdy.ResponseRecorder), new(spdy.RstStatus), new(spdy.RstStreamFrame), new(spdy.Server), new(spdy.Session),
	new(spdy.SessionError), new(spdy.SettingID), new(spdy.SettingsFrame), new(spdy.Stream), new(spdy.StreamError),
	new(spdy.StreamStates), new(spdy.SynReplyFrame), new(spdy.SynStreamFrame), new(spdy.Transport),
	new(spdy.TruncatedError), new(spdy.UnknownFrame), new(spdy.UpgradeDialer), new(spdy.UpgradeError),
	new(spdy.Upgrader), new(spdy.Version), new(spdy.WindowUpdateFrame),
}

// Every method of every zero value returns, and does not panic: with arguments that are
// zero, and with sensible ones.
func TestZeroValues(t *testing.T) {
	for _, value := range zeroValues {
		typ := reflect.TypeOf(value)
		for i := range typ.NumMethod() {
			m := typ.Method(i)
			if strings.HasPrefix(m.Name, "ListenAndServe") { // on the well-known ports, for ever
				continue
			}
			for _, sensible := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v.%s/%v", typ.Elem().Name(), m.Name, sensible), func(t *testing.T) {
					v := reflect.New(typ.Elem()) // as nobody has used it
					args := arguments(m, sensible)
					ended := make(chan any, 1)
					go func() {
						defer func() { ended <- recover() }()
						v.MethodByName(m.Name).Call(args)
						ended <- nil
					}()
					select {
					case panicked := <-ended:
						if theirs, ok := panicsAs[typ.Elem().Name()+"."+m.Name]; ok {
							require.Panics(t, theirs, "as net/http does")
							return
						}
						require.Nil(t, panicked)
					case <-time.After(20 * time.Second):
						t.Fatal("it hangs")
					}
				})
			}
		}
	}
}

// No exported type with methods is missing in zeroValues.
func TestZeroValuesAreAll(t *testing.T) {
	listed := make(map[string]bool)
	for _, value := range zeroValues {
		listed[reflect.TypeOf(value).Elem().Name()] = true
	}
	listed["FrameFlags"] = true // an alias of a type that is not exported
	files, err := filepath.Glob("../../*.go")
	require.NoError(t, err)
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^func \((?:\w+ )?\*?([A-Z]\w*)\) [A-Z]`).FindAllSubmatch(text, -1) {
			require.True(t, listed[string(m[1])], "%s in %s", m[1], name)
			found++
		}
	}
	require.Greater(t, found, 100)
}

// panicsAs are the methods that panic because those of net/http do, which are called here.
var panicsAs = map[string]func(){
	"ResponseRecorder.WriteHeader": func() { httptest.NewRecorder().WriteHeader(0) },
}

// arguments are those of a method. Contexts are never nil, as for net/http.
func arguments(m reflect.Method, sensible bool) (args []reflect.Value) {
	for i := 1; i < m.Type.NumIn(); i++ {
		in := m.Type.In(i)
		if m.Type.IsVariadic() && i == m.Type.NumIn()-1 {
			break
		}
		args = append(args, argument(in, sensible))
	}
	return args
}

func argument(in reflect.Type, sensible bool) reflect.Value {
	for _, v := range []any{context.Background(), httptest.NewRequest("GET", "http://a.example/", nil), httptest.NewRecorder(),
		listener(), pipe(), strings.NewReader("text"), io.Discard, time.Second, []byte("text"), http.NotFoundHandler(), func() {}, &http.Server{}} {
		typ := reflect.TypeOf(v)
		if (sensible || in.Name() == "Context") && (typ == in || in.Kind() == reflect.Interface && typ.Implements(in)) {
			return reflect.ValueOf(v)
		}
	}
	return reflect.Zero(in)
}

// listener is one that is closed, so that whoever serves it returns.
func listener() net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	ln.Close()
	return ln
}

func pipe() net.Conn {
	ours, theirs := net.Pipe()
	theirs.Close()
	return ours
}

// Every method of a nil Session, as a zero Client returns it, does as that of a zero Session does:
// none panics, and those with an error return it.
func TestNilSession(t *testing.T) {
	require.Nil(t, new(spdy.Client).Session())
	typ := reflect.TypeFor[*spdy.Session]()
	failed := 0
	for i := range typ.NumMethod() {
		m := typ.Method(i)
		t.Run(m.Name, func(t *testing.T) {
			var results [2][]reflect.Value
			for n, s := range []*spdy.Session{nil, new(spdy.Session)} {
				results[n] = reflect.ValueOf(s).MethodByName(m.Name).Call(arguments(m, true))
			}
			for n, result := range results[0] {
				if err, ok := result.Interface().(error); ok {
					require.EqualError(t, err, results[1][n].Interface().(error).Error())
					failed++
				} else if result.Type() == reflect.TypeFor[error]() {
					require.Equal(t, "Shutdown", m.Name, "no error, though the session has not ended")
				}
			}
		})
	}
	require.Greater(t, failed, 5)
}

// Functions for a server or a session fail without one.
func TestNilServer(t *testing.T) {
	for name, f := range map[string]func() error{
		"ConfigureServer": func() error { return spdy.ConfigureServer(nil, nil) },
		"CloseServer":     func() error { return spdy.CloseServer(nil) },
		"ShutdownServer":  func() error { return spdy.ShutdownServer(context.Background(), nil) },
	} {
		t.Run(name, func(t *testing.T) { require.EqualError(t, f(), "spdy: a nil http.Server") })
	}
	t.Run("TrackSession", func(t *testing.T) {
		for _, s := range []*spdy.Session{nil, new(spdy.Session)} {
			require.ErrorContains(t, spdy.TrackSession(context.Background(), s), "nil or zero Session")
		}
	})
}
