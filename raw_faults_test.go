package spdy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// The faults of the library that Kubernetes uses, each by the name it has in the list of
// needs, between two sessions of ours: with flow control from the start, and with both
// ends expecting none. What is said here of ours was found to be otherwise there.

// faultModes are the configurations that none of the faults may show in.
var faultModes = map[string]Config{
	"standard": {},
	"unaware":  {FlowControl: FlowControlPeerUnaware},
}

// faultTest runs f in each of the modes.
func faultTest(t *testing.T, name string, f func(t *testing.T, r *rawRig)) {
	for mode, conf := range faultModes {
		t.Run(name+"/"+mode, func(t *testing.T) {
			rawTest(t, rigSetup{client: &conf, server: &conf}, f)
		})
	}
}

// echo serves a session by sending back what comes on each stream.
func echo(s *Session, wg *sync.WaitGroup) {
	wg.Go(func() {
		for {
			st, err := s.AcceptStream(context.Background())
			if err != nil {
				return
			}
			wg.Go(func() {
				defer st.Close()
				io.Copy(st, st)
			})
		}
	})
}

// roundTrip sends text on a stream of its own and wants it back.
func roundTrip(t testing.TB, s *Session, text string) {
	t.Helper()
	st, err := s.OpenStream(context.Background(), HeaderBlock{{"streamtype", "data"}}, StreamOptions{})
	require.NoError(t, err)
	defer st.Close()
	go func() {
		io.WriteString(st, text)
		st.CloseWrite()
	}()
	got, err := io.ReadAll(st)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

func TestRawFaultsOfIsolation(t *testing.T) {
	faultTest(t, "E1 a stream that is not read stops nobody", func(t *testing.T, r *rawRig) {
		unread, err := r.client.OpenStream(context.Background(), nil, StreamOptions{})
		require.NoError(t, err)
		accepted, err := r.server.AcceptStream(context.Background())
		require.NoError(t, err)
		var wg sync.WaitGroup
		for _, st := range []*RawStream{unread, accepted} { // in both directions
			wg.Go(func() {
				_, err := io.Copy(st, newPattern(1, 1<<40))
				assert.Error(t, err)
			})
		}
		synctest.Wait()
		start := time.Now()
		echo(r.server, &wg)
		for i := range 12 { // moby has five workers: one of them would be the stuck one
			roundTrip(t, r.client, strings.Repeat("x", 100<<10*(i%3)+1))
		}
		for _, s := range []*Session{r.client, r.server} {
			_, err := s.PingContext(context.Background())
			require.NoError(t, err)
			require.LessOrEqual(t, unreadBytes(s), int64(defaultStreamWindow))
		}
		require.Zero(t, time.Since(start), "nothing has to be waited for")
		r.close()
		wg.Wait()
	})
	faultTest(t, "E2 a reset that nobody waits for any more blocks no later stream", func(t *testing.T, r *rawRig) {
		var wg sync.WaitGroup
		for range 20 {
			st, err := r.client.OpenStream(context.Background(), nil, StreamOptions{})
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err = st.AwaitReply(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
			accepted, err := r.server.AcceptStream(context.Background())
			require.NoError(t, err)
			require.NoError(t, accepted.Reset(RstRefusedStream))
		}
		echo(r.server, &wg)
		for range 20 {
			roundTrip(t, r.client, "text")
		}
		r.requireBalanced()
		r.client.Close()
		wg.Wait()
	})
	faultTest(t, "E6 a deadline is of one stream", func(t *testing.T, r *rawRig) {
		one, _ := r.pair()
		two, other := r.pair()
		require.NoError(t, one.SetDeadline(time.Now().Add(-time.Second)))
		_, err := one.Read(make([]byte, 1))
		require.Error(t, err)
		_, err = r.client.PingContext(context.Background())
		require.NoError(t, err)
		_, err = other.Write([]byte("text"))
		require.NoError(t, err)
		_, err = io.ReadFull(two, make([]byte, 4))
		require.NoError(t, err)
	})
	faultTest(t, "E10 late headers that nobody receives stop nobody", func(t *testing.T, r *rawRig) {
		one, accepted := r.pair()
		require.NoError(t, accepted.Reply(nil, false))
		for i := range 60 {
			require.NoError(t, one.SendHeaders(HeaderBlock{{"number", fmt.Sprint(i)}}, false))
			require.NoError(t, accepted.SendHeaders(HeaderBlock{{"number", fmt.Sprint(i)}}, false))
		}
		_, err := r.client.PingContext(context.Background())
		require.NoError(t, err)
		for i := range 60 { // and none is lost
			for _, st := range []*RawStream{one, accepted} {
				h, err := st.ReceiveHeaders(context.Background())
				require.NoError(t, err)
				require.Equal(t, HeaderBlock{{"number", fmt.Sprint(i)}}, h)
			}
		}
	})
}

func TestRawFaultsOfTruncation(t *testing.T) {
	faultTest(t, "E3 what follows a GOAWAY arrives", func(t *testing.T, r *rawRig) {
		opened, accepted := r.pair()
		_, err := accepted.Write([]byte("before-"))
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() { assert.NoError(t, r.server.Shutdown(context.Background())) })
		synctest.Wait()
		_, err = accepted.Write([]byte("after"))
		require.NoError(t, err)
		require.NoError(t, accepted.CloseWrite())
		text, err := io.ReadAll(opened)
		require.NoError(t, err)
		require.Equal(t, "before-after", string(text))
		require.NoError(t, opened.Close())
		wg.Wait()
	})
	breaks := map[string]func(r *rawRig, st *RawStream){
		"E4 RST_STREAM":         func(_ *rawRig, st *RawStream) { assert.NoError(t, st.Reset(RstInternalError)) },
		"E4 lost connection":    func(r *rawRig, _ *RawStream) { r.sc.Reset() },
		"E4 closed connection":  func(r *rawRig, _ *RawStream) { r.sc.Close() },
		"E4 closed session":     func(r *rawRig, _ *RawStream) { r.server.Close() },
		"E4 closed under Write": func(_ *rawRig, st *RawStream) { assert.NoError(t, st.Close()) },
		"E4 session shut in vain": func(r *rawRig, _ *RawStream) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			assert.Error(t, r.server.Shutdown(ctx))
		},
	}
	for name, cut := range breaks {
		faultTest(t, name+" is no end", func(t *testing.T, r *rawRig) {
			opened, accepted := r.pair()
			var wg sync.WaitGroup
			wg.Go(func() {
				_, err := io.Copy(accepted, newPattern(1, 1<<40))
				assert.Error(t, err)
			})
			_, err := io.ReadFull(opened, make([]byte, 1000))
			require.NoError(t, err)
			synctest.Wait()
			cut(r, accepted)
			_, err = io.ReadAll(opened)
			requireTruncated(t, err)
			wg.Wait()
		})
	}
	faultTest(t, "E9 bytes that come before our reply are kept", func(t *testing.T, r *rawRig) {
		for range 1000 {
			st, err := r.client.OpenStream(context.Background(), nil, StreamOptions{})
			require.NoError(t, err)
			_, err = st.Write([]byte("early"))
			require.NoError(t, err)
			require.NoError(t, st.CloseWrite())
			accepted, err := r.server.AcceptStream(context.Background())
			require.NoError(t, err)
			synctest.Wait()
			require.NoError(t, accepted.Reply(nil, true))
			text, err := io.ReadAll(accepted)
			require.NoError(t, err)
			require.Equal(t, "early", string(text))
			<-st.Done()
		}
	})
	faultTest(t, "X3 after the end of a half nothing more is sent", func(t *testing.T, r *rawRig) {
		opened, accepted := r.pair()
		require.NoError(t, opened.CloseWrite())
		_, err := opened.Write([]byte("more"))
		require.ErrorIs(t, err, ErrStreamClosed)
		text, err := io.ReadAll(accepted)
		require.NoError(t, err)
		require.Empty(t, text)
		require.NoError(t, opened.Close())
		require.NoError(t, opened.Reset(RstCancel))
		<-accepted.Done() // its half does not stay open
		_, err = accepted.Write([]byte("x"))
		requireReset(t, "nobody reads", err, RstCancel, true)
		r.requireBalanced()
	})
}

func TestRawFaultsOfEnds(t *testing.T) {
	faultTest(t, "E8 a stream that crosses a GOAWAY is known not to be taken", func(t *testing.T, r *rawRig) {
		opened, accepted := r.pair()
		r.sc.SetHold(true)
		var wg sync.WaitGroup
		wg.Go(func() { assert.NoError(t, r.server.Shutdown(context.Background())) })
		synctest.Wait()
		late, err := r.client.OpenStream(context.Background(), nil, StreamOptions{})
		require.NoError(t, err, "it cannot know yet")
		synctest.Wait()
		r.sc.SetHold(false)
		_, err = late.AwaitReply(context.Background())
		var e *StreamError
		require.ErrorAs(t, err, &e)
		require.True(t, e.Retryable())
		require.NoError(t, accepted.Close())
		require.NoError(t, opened.Close())
		wg.Wait()
	})
	calls := map[string]func(opened, accepted *RawStream) error{
		"E12 Write before a reply": func(opened, _ *RawStream) error {
			_, err := io.Copy(opened, newPattern(1, 1<<40))
			return err
		},
		"E12 Write": func(_, accepted *RawStream) error {
			_, err := io.Copy(accepted, newPattern(1, 1<<40))
			return err
		},
		"E13 AwaitReply": func(opened, _ *RawStream) error {
			_, err := opened.AwaitReply(context.Background())
			return err
		},
		"Read": func(opened, _ *RawStream) error {
			_, err := opened.Read(make([]byte, 1))
			return err
		},
		"ReceiveHeaders": func(_, accepted *RawStream) error {
			_, err := accepted.ReceiveHeaders(context.Background())
			return err
		},
		"AcceptStream": func(_, accepted *RawStream) error {
			_, err := accepted.Session().AcceptStream(context.Background())
			return err
		},
		"PingContext": func(_, accepted *RawStream) error {
			<-time.After(time.Millisecond)
			_, err := accepted.Session().PingContext(context.Background())
			return err
		},
	}
	for name, wait := range calls {
		faultTest(t, name+" ends with the connection", func(t *testing.T, r *rawRig) {
			opened, accepted := r.pair()
			result := make(chan error, 1)
			go func() { result <- wait(opened, accepted) }()
			synctest.Wait()
			r.cc.SetBlackHole(true) // the PING is on its way to nowhere
			<-time.After(time.Second)
			require.Empty(t, result)
			r.cc.Reset()
			require.Error(t, <-result)
		})
	}
	faultTest(t, "X2 what is read is credited", func(t *testing.T, r *rawRig) {
		opened, accepted := r.pair()
		const size = 8 * defaultSessionWindow / 10 * 2 // more than any window
		for i, st := range []*RawStream{opened, accepted} {
			go writePattern(t, st, int64(i), size)
		}
		errs := make(chan error, 2)
		go func() { errs <- readPattern(opened, 1, size) }()
		go func() { errs <- readPattern(accepted, 0, size) }()
		require.NoError(t, errors.Join(<-errs, <-errs))
		r.requireBalanced()
	})
}

// TestRawFaultX1: a server says nothing that could get lost with the answer to an upgrade.
func TestRawFaultX1(t *testing.T) {
	unaware := faultModes["unaware"]
	rawTest(t, rigSetup{client: &unaware, server: &unaware, conn: []testconn.Option{testconn.Record()}}, func(t *testing.T, r *rawRig) {
		opened := make(chan *RawStream, 1)
		go func() {
			st, err := r.server.OpenStream(context.Background(), nil, StreamOptions{})
			assert.NoError(t, err)
			opened <- st
			_, err = st.Write([]byte("first"))
			assert.NoError(t, err)
			assert.NoError(t, st.Close())
		}()
		go r.server.Ping(time.Hour)
		<-opened
		<-time.After(time.Minute)
		require.Empty(t, r.sc.Sent())
		go r.client.Ping(time.Hour)
		<-time.After(time.Minute)
		require.Empty(t, r.cc.Sent(), "and a client says nothing but what it has to")
		roundTripTo(t, r.client, r.server)
		st, err := r.client.AcceptStream(context.Background())
		require.NoError(t, err)
		text, err := io.ReadAll(st)
		require.NoError(t, err)
		require.Equal(t, "first", string(text))
	})
}

// roundTripTo opens a stream and closes it at both ends.
func roundTripTo(t testing.TB, from, to *Session) {
	t.Helper()
	opened, accepted := openRaw(t, from, to)
	require.NoError(t, accepted.Close())
	require.NoError(t, opened.Close())
}

// TestRawFaultE5: what a small frame inflates to is bounded, whatever it is made of.
func TestRawFaultE5(t *testing.T) {
	const many = 20 // a hundred of them only take longer to prepare
	million := strings.Repeat("0", 1<<20)
	var headers HeaderBlock
	for i := range many {
		headers = append(headers, HeaderField{fmt.Sprintf("name-%d", i), million})
	}
	nv, err := appendNameValue(nil, SPDY31, headers)
	require.NoError(t, err)
	block := zlibBlocks(t, 9, dictionarySPDY3, nv)[0]
	require.Less(t, len(block), many*1_100)
	wire := append(appendSynStreamHeader(nil, SPDY31, synStream{id: 1}), block...)
	require.NoError(t, finishFrame(wire))
	for mode, conf := range faultModes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, peer := testconn.Pair()
				conf.Logger = quietConfig.Logger
				s := conf.RawSession(ours, false)
				ended := make(chan error, 1)
				go func() { ended <- s.Serve() }()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := peer.Write(wire)
				require.NoError(t, err)
				synctest.Wait()
				runtime.ReadMemStats(&after)
				require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "never is much allocated")
				var e *SessionError
				require.ErrorAs(t, s.Err(), &e)
				peer.Close()
				<-ended
			})
		})
	}
}
