package costs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// numbers are the fields of a struct that are numbers, those of a Pools in it included, by their index.
func numbers(of reflect.Type) (all [][]int) {
	for _, f := range reflect.VisibleFields(of) {
		switch kind := f.Type.Kind(); {
		case !f.IsExported():
		case kind == reflect.Int || kind == reflect.Int64:
			all = append(all, f.Index)
		case f.Type == reflect.TypeFor[spdy.Pools]():
			for i := range f.Type.NumField() {
				all = append(all, append(append([]int{}, f.Index...), i))
			}
		}
	}
	return all
}

// extremes are what numbers are set to, by name.
var extremes = map[string]int64{"largest": math.MaxInt64, "smallest": math.MinInt64, "negative": -1, "one": 1}

// set sets a number to an extreme, or to the nearest of its type.
func set(v reflect.Value, n int64) {
	if v.Kind() == reflect.Int {
		n = max(min(n, math.MaxInt), math.MinInt)
	}
	v.SetInt(n)
}

// eachExtreme runs f for all extremes of all numbers of a struct, in all versions. A limit of
// one byte, stream or nanosecond may fail what is tried; the others are as good as none.
func eachExtreme(t *testing.T, of reflect.Type, f func(t *testing.T, set func(v reflect.Value), v spdy.Version, may bool)) {
	fields := numbers(of)
	for _, index := range fields {
		field := of.FieldByIndex(index)
		for name, n := range extremes {
			bubble.InVersions(t, of.Name()+"."+field.Name+"/"+name, func(t *testing.T, v spdy.Version) {
				f(t, func(s reflect.Value) { set(s.FieldByIndex(index), n) }, v, n == 1)
			})
		}
	}
}

// Every number of a Config may be as large or as small as it can be: the largest value means the
// largest that there is, or no limit, and a negative one the default or none. Nothing overflows.
func TestNumbers(t *testing.T) {
	require.Greater(t, len(numbers(reflect.TypeFor[spdy.Config]())), 25)
	eachExtreme(t, reflect.TypeFor[spdy.Config](), func(t *testing.T, set func(reflect.Value), v spdy.Version, may bool) {
		var conf spdy.Config
		set(reflect.ValueOf(&conf).Elem())
		s := newSite(t, v, conf)
		client := s.transport()
		client.Config = bubble.Quiet(conf, v)
		exchange(t, s, client, may)
		exchangeRaw(t, conf, v, may)
	})
}

// So may those of a Transport.
func TestNumbersOfTransport(t *testing.T) {
	eachExtreme(t, reflect.TypeFor[spdy.Transport](), func(t *testing.T, set func(reflect.Value), v spdy.Version, may bool) {
		s := newSite(t, v, spdy.Config{})
		client := s.transport()
		set(reflect.ValueOf(client).Elem())
		exchange(t, s, client, may)
	})
}

// So may those of a Server, also for clients without SPDY.
func TestNumbersOfServer(t *testing.T) {
	eachExtreme(t, reflect.TypeFor[spdy.Server](), func(t *testing.T, set func(reflect.Value), v spdy.Version, may bool) {
		s := prepareSite(t, v, spdy.Config{})
		set(reflect.ValueOf(s.srv).Elem())
		s.serve()
		conn, err := s.ln.Dial()
		require.NoError(t, err)
		_, err = io.WriteString(conn, "POST /honest HTTP/1.1\r\nHost: example.com\r\nContent-Length: 2\r\n\r\nhi")
		require.NoError(t, err)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if !may {
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, res.StatusCode)
		}
		conn.Close()
		exchange(t, s, s.transport(), may)
	})
}

// So may those of a Framer.
func TestNumbersOfFramer(t *testing.T) {
	eachExtreme(t, reflect.TypeFor[spdy.Framer](), func(t *testing.T, set func(reflect.Value), v spdy.Version, may bool) {
		var buf bytes.Buffer
		f := spdy.NewFramer(&buf, &buf, v)
		set(reflect.ValueOf(f).Elem())
		require.NoError(t, f.WriteFrame(&spdy.SynReplyFrame{StreamID: 1, Headers: spdy.HeaderBlock{{Name: "a", Value: "b"}}}))
		frame, err := f.ReadFrame()
		if wantOutcome(t, err, may) {
			require.Equal(t, "b", frame.(*spdy.SynReplyFrame).Headers[0].Value)
		}
	})
}

// wantOutcome wants no error, or, if there may be one, one whose type tells what it is. It reports
// whether there is none.
func wantOutcome(t *testing.T, err error, may bool) (ok bool) {
	t.Helper()
	if !may {
		require.NoError(t, err)
	}
	var (
		stream  *spdy.StreamError
		session *spdy.SessionError
		conn    *spdy.ConnError
		pool    *spdy.PoolError
		large   *spdy.HeaderTooLargeError
		network net.Error
	)
	if err != nil && !errors.As(err, &stream) && !errors.As(err, &session) && !errors.As(err, &conn) && !errors.As(err, &pool) &&
		!errors.As(err, &large) && !errors.As(err, &network) {
		require.Fail(t, "an error without a type", "%T: %v", err, err)
	}
	return err == nil
}

// exchange has a Transport and a Server exchange something, twice, and a second apart.
func exchange(t *testing.T, s *site, client *spdy.Transport, may bool) {
	for range 2 {
		ask(t, client, may)
		bubble.Pass(time.Second)
	}
	if !may {
		require.Zero(t, s.srv.Stats().Flooded)
	}
	client.CloseIdleConnections()
	s.leave(nil)
	wantEmpty(t, client.PoolStats())
}

// ask has a client ask for an echo.
func ask(t *testing.T, client http.RoundTripper, may bool) {
	t.Helper()
	const text = "an echo"
	req, err := http.NewRequest("POST", "http://example.com/honest", strings.NewReader(text))
	require.NoError(t, err)
	req.Header.Set("Expect", "100-continue")
	res, err := client.RoundTrip(req)
	if !wantOutcome(t, err, may) {
		return
	}
	body, err := io.ReadAll(res.Body)
	if wantOutcome(t, err, may) && (!may || res.StatusCode == http.StatusOK) {
		require.Equal(t, text, string(body))
	}
	require.NoError(t, res.Body.Close())
}

// exchangeRaw is exchange for a stream of bytes.
func exchangeRaw(t *testing.T, conf spdy.Config, v spdy.Version, may bool) {
	ours, theirs := testconn.Pair()
	a, b := bubble.Quiet(conf, v).RawSession(ours, true), bubble.Quiet(conf, v).RawSession(theirs, false)
	for _, s := range []*spdy.Session{a, b} {
		go s.Serve()
	}
	defer synctest.Wait()
	defer a.Close()
	defer b.Close()
	h, err := spdy.NewHeaderBlock(http.Header{"X": {"y"}})
	require.NoError(t, err)
	st, err := a.OpenStream(context.Background(), h, spdy.StreamOptions{})
	if !wantOutcome(t, err, may) {
		return
	}
	if may {
		st.SetDeadline(time.Now().Add(time.Minute))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := b.AcceptStream(ctx)
	if !wantOutcome(t, err, may) {
		return
	}
	go func() {
		_, _ = st.Write(make([]byte, 1000))
		_ = st.CloseWrite()
	}()
	text, err := io.ReadAll(got)
	if wantOutcome(t, err, may) {
		require.Len(t, text, 1000)
	}
}
