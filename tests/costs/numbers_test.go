package costs

import (
	"context"
	"io"
	"math"
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// numbers are the fields of Config that are numbers, those of Pools included, by their index.
func numbers() (all [][]int) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[spdy.Config]()) {
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

// Every number of a Config may be as large or as small as it can be: the largest value means the
// largest that there is, or no limit, and a negative one the default or none. Nothing overflows.
func TestNumbers(t *testing.T) {
	fields := numbers()
	require.Greater(t, len(fields), 25)
	for _, index := range fields {
		field := reflect.TypeFor[spdy.Config]().FieldByIndex(index)
		for name, n := range map[string]int64{"largest": math.MaxInt64, "smallest": math.MinInt64, "negative": -1} {
			var conf spdy.Config
			v := reflect.ValueOf(&conf).Elem().FieldByIndex(index)
			if v.Kind() == reflect.Int {
				n = max(min(n, math.MaxInt), math.MinInt)
			}
			v.SetInt(n)
			bubble.InVersions(t, field.Name+"/"+name, func(t *testing.T, v spdy.Version) {
				exchange(t, conf, v)
				exchangeRaw(t, conf, v)
			})
		}
	}
}

// exchange has a Transport and a Server with a configuration exchange something, twice, and a
// second apart.
func exchange(t *testing.T, conf spdy.Config, v spdy.Version) {
	s := newSite(t, v, conf)
	client := s.transport()
	client.Config = bubble.Quiet(conf, v)
	honest(t, client)
	bubble.Pass(time.Second)
	honest(t, client)
	require.Zero(t, s.srv.Stats().Flooded)
	client.CloseIdleConnections()
	s.leave(nil)
	wantEmpty(t, client.PoolStats())
}

// exchangeRaw is exchange for a stream of bytes.
func exchangeRaw(t *testing.T, conf spdy.Config, v spdy.Version) {
	ours, theirs := testconn.Pair()
	a, b := bubble.Quiet(conf, v).RawSession(ours, true), bubble.Quiet(conf, v).RawSession(theirs, false)
	for _, s := range []*spdy.Session{a, b} {
		go s.Serve()
	}
	h, err := spdy.NewHeaderBlock(http.Header{"X": {"y"}})
	require.NoError(t, err)
	st, err := a.OpenStream(context.Background(), h, spdy.StreamOptions{})
	require.NoError(t, err)
	got, err := b.AcceptStream(context.Background())
	require.NoError(t, err)
	go func() {
		_, _ = st.Write(make([]byte, 1000))
		_ = st.CloseWrite()
	}()
	text, err := io.ReadAll(got)
	require.NoError(t, err)
	require.Len(t, text, 1000)
	a.Close()
	b.Close()
	synctest.Wait()
}
