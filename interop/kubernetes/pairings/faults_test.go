//go:build pairings

package pairings

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/stretchr/testify/require"

	amahi "github.com/amahi/spdy"
)

// faultRows are E1 to E14 of docs/kubernetes.md.
var faultRows = []row{
	{name: "E1: PING and new streams while 8 MiB are not read", patient: true, run: unread(8 << 20)},
	{name: "E1: the same with 32 MiB", patient: true, run: unread(32 << 20)},
	{name: "E2: new streams after a late refusal", patient: true, unserved: true, run: lateRefusal},
	{name: "E3: what comes behind a GOAWAY", run: behindGoAway},
	{name: "E4: a TCP reset reads as an error", run: truncated},
	{name: "E5: a header bomb is refused", unserved: true, run: headerBomb},
	{name: "E6: a read deadline", run: deadline},
	{name: "E8: a stream after our GOAWAY is refused", patient: true, unserved: true, run: lateStream},
	{name: "E9: DATA right behind SYN_STREAM", unserved: true, run: earlyData},
	{name: "E10: PING and new streams while 60 HEADERS are not read", patient: true, run: unreadHeaders},
	{name: "E12: a Write before the reply, and the connection is lost", patient: true, unserved: true, run: lostBeforeReply(stream.Write)},
	{name: "E13: waiting for a reply, and the connection is lost", patient: true, unserved: true, run: lostInWait},
}

func unread(size int) func(r *rig) {
	return func(r *rig) {
		s, _ := r.open()
		wrote := make(chan struct{})
		go func() { // ends with the connection
			defer close(wrote)
			block := make([]byte, 32<<10)
			for range size / len(block) {
				if _, err := s.Write(block); err != nil {
					return
				}
			}
		}()
		limit := time.NewTimer(time.Second)
		defer limit.Stop()
		select {
		case <-wrote:
		case <-limit.C: // held up
		}
		r.works()
	}
}

func lateRefusal(r *rig) {
	refuse := make(chan struct{})
	first := make(chan stream, 1)
	first <- nil
	r.serve(func(s stream) {
		select {
		case <-first:
			go func() { // ends with the row
				<-refuse
				_ = s.Reset()
			}()
		default:
			_ = s.SendReply(http.Header{}, false)
		}
	})
	s, err := r.client.create(header)
	require.NoError(r, err)
	require.Error(r, s.WaitTimeout(50*time.Millisecond))
	close(refuse)
	pass(50 * time.Millisecond)
	r.works()
}

// behindGoAway has the server say GOAWAY and then the rest.
func behindGoAway(r *rig) {
	opened, accepted := r.open()
	_, err := accepted.Write([]byte("before, "))
	require.NoError(r, err)
	require.NoError(r, r.server.Close())
	_, _ = accepted.Write([]byte("after"))
	_ = accepted.Close()
	_ = opened.Close()
	_ = r.try(hangs, func() error {
		text, err := io.ReadAll(opened)
		if err == nil && string(text) != "before, after" {
			err = fmt.Errorf("%q", text)
		}
		return err
	})
}

func truncated(r *rig) {
	opened, accepted := r.open()
	_, err := accepted.Write([]byte("part"))
	require.NoError(r, err)
	_, err = io.ReadFull(opened, make([]byte, 4))
	require.NoError(r, err)
	require.NoError(r, r.server.net.SetLinger(0))
	require.NoError(r, r.server.net.Close())
	_ = r.try(hangs, func() error {
		if _, err := opened.Read(make([]byte, 1)); err == io.EOF {
			return errors.New("as if it were all")
		}
		return nil
	})
}

// headerBomb sends 100 KiB that become 100 MiB.
func headerBomb(r *rig) {
	packed, err := os.ReadFile("../faults/testdata/header-bomb.gz")
	require.NoError(r, err)
	inflate, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(r, err)
	bomb, err := io.ReadAll(inflate)
	require.NoError(r, err)
	go r.server.serve(func(s stream) { _ = s.SendReply(http.Header{}, false) })
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = r.client.net.Write(bomb)
	require.NoError(r, err)
	_ = r.client.net.SetReadDeadline(time.Now().Add(patience))
	framer := amahi.NewFramer(r.client.net, r.client.net, amahi.SPDY31)
	for {
		frame, err := framer.ReadFrame()
		_, refused := frame.(*amahi.RstStreamFrame)
		_, taken := frame.(*amahi.SynReplyFrame)
		if err != nil || refused || taken {
			break
		}
	}
	runtime.ReadMemStats(&after)
	_ = r.try(hangs, func() error {
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
			return fmt.Errorf("%d bytes", n)
		}
		return nil
	})
}

func deadline(r *rig) {
	opened, _ := r.open()
	require.NoError(r, opened.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_ = r.try(hangs, func() error {
		if _, err := opened.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("it reads %w", err)
		}
		return nil
	})
	r.works()
}

// lateStream opens streams after the server's GOAWAY.
func lateStream(r *rig) {
	go r.server.serve(func(s stream) {
		_ = s.SendReply(http.Header{}, false)
		r.accepted <- s
	})
	framer := amahi.NewFramer(r.client.net, r.client.net, amahi.SPDY31)
	require.NoError(r, framer.WriteFrame(&amahi.SynStreamFrame{StreamID: 1}))
	<-r.accepted
	require.NoError(r, r.server.Close())
	pass(50 * time.Millisecond)
	require.NoError(r, framer.WriteFrame(&amahi.SynStreamFrame{StreamID: 3}))
	require.NoError(r, r.client.net.SetReadDeadline(time.Now().Add(hangs)))
	_ = r.try(2*hangs, func() error {
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return err
			}
			if f, ok := frame.(*amahi.RstStreamFrame); ok && f.StreamID == 3 {
				return nil
			}
		}
	})
}

func earlyData(r *rig) {
	go r.server.serve(func(s stream) {
		_ = s.SendReply(http.Header{}, false)
		r.accepted <- s
	})
	framer := amahi.NewFramer(r.client.net, r.client.net, amahi.SPDY31)
	for i := range 20 {
		id := uint32(1 + 2*i)
		require.NoError(r, framer.WriteFrame(&amahi.SynStreamFrame{StreamID: id}))
		require.NoError(r, framer.WriteFrame(&amahi.DataFrame{StreamID: id, Flags: amahi.FlagFin, Data: []byte("early")}))
		accepted := <-r.accepted
		_ = r.try(hangs, func() error {
			text, err := io.ReadAll(accepted)
			if err == nil && string(text) != "early" {
				err = fmt.Errorf("%q", text)
			}
			return err
		})
	}
}

func unreadHeaders(r *rig) {
	s, _ := r.open()
	sent := make(chan struct{})
	go func() { // ends with the connection
		defer close(sent)
		for range 60 {
			_ = s.SendHeader(header, false)
		}
	}()
	limit := time.NewTimer(hangs)
	defer limit.Stop()
	select {
	case <-sent:
	case <-limit.C:
	}
	r.works()
}

func lostBeforeReply(call func(stream, []byte) (int, error)) func(r *rig) {
	return func(r *rig) {
		r.serve(func(s stream) { r.accepted <- s })
		_, err := r.client.create(header)
		require.NoError(r, err)
		accepted := <-r.accepted
		_ = r.try(hangs, func() error {
			go func() { // ends with the row
				pass(50 * time.Millisecond)
				_ = r.client.net.SetLinger(0)
				_ = r.client.net.Close()
			}()
			_, _ = call(accepted, []byte("x"))
			return nil
		})
	}
}

func lostInWait(r *rig) {
	r.serve(func(s stream) { r.accepted <- s })
	s, err := r.client.create(header)
	require.NoError(r, err)
	<-r.accepted
	require.NoError(r, r.server.net.SetLinger(0))
	require.NoError(r, r.server.net.Close())
	_ = r.try(hangs, func() error {
		if s.Wait() == nil {
			return errors.New("there was no reply")
		}
		return nil
	})
}
