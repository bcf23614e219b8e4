package spdy

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/amahi/spdy/internal/testconn"
)

// FuzzRawSession: whatever a peer sends to a raw session, in either role and mode,
// nothing panics, everything ends, and no stream ends well whose FIN has not come.
func FuzzRawSession(f *testing.F) {
	for _, flags := range []FrameFlags{0, FlagFin, FlagUnidirectional} {
		var wire bytes.Buffer
		w := NewFramer(&wire, nil, SPDY31)
		for _, frame := range []Frame{
			&SynStreamFrame{StreamID: 1, Flags: flags, Headers: HeaderBlock{{"streamtype", "data"}}},
			&SynStreamFrame{StreamID: 2, Flags: flags, Headers: HeaderBlock{{"streamtype", "error"}}},
			&DataFrame{StreamID: 1, Data: []byte("text")},
			&HeadersFrame{StreamID: 1, Headers: HeaderBlock{{"late", "header"}}},
			&SettingsFrame{Entries: []Setting{{ID: SettingInitialWindowSize, Value: 1 << 20}}},
			&SynReplyFrame{StreamID: 1, Headers: HeaderBlock{}},
			&WindowUpdateFrame{StreamID: 0, Delta: 1 << 16},
			&PingFrame{ID: 1}, &PingFrame{ID: 2},
			&DataFrame{StreamID: 1, Flags: FlagFin, Data: []byte("end")},
			&DataFrame{StreamID: 1, Data: []byte("stray")},
			&RstStreamFrame{StreamID: 2, Status: RstCancel},
			&GoAwayFrame{LastGoodStreamID: 1},
			&DataFrame{StreamID: 2, Flags: FlagFin},
		} {
			if err := w.WriteFrame(frame); err != nil {
				f.Fatal(err)
			}
		}
		for mode := range byte(8) {
			f.Add(append([]byte{mode}, wire.Bytes()...))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 0 {
			synctest.Test(t, func(t *testing.T) { fuzzRaw(t, data[0], data[1:]) })
		}
	})
}

// fuzzRaw plays what a peer has sent to a raw session, of which mode chooses the kind.
func fuzzRaw(t *testing.T, mode byte, sent []byte) {
	conf := Config{Logger: quietConfig.Logger, MaxHeaderBytes: 1 << 10, AcceptBacklog: 3, ResetOverBudget: mode&4 != 0}
	if mode&2 != 0 {
		conf.FlowControl, conf.UnreadBudget = FlowControlPeerUnaware, 1
	}
	mine, peer := testconn.Pair()
	go io.Copy(io.Discard, peer)
	s := conf.RawSession(mine, mode&1 != 0)
	var wg sync.WaitGroup
	use := func(st *RawStream) {
		wg.Go(func() {
			defer st.Close()
			_, err := io.Copy(io.Discard, st)
			if err == nil && !finSent(sent, st.ID()) {
				t.Errorf("stream %d ended without FIN", st.ID())
			}
			st.Write([]byte("answer"))
		})
		wg.Go(func() {
			for {
				if _, err := st.ReceiveHeaders(context.Background()); err != nil {
					return
				}
			}
		})
	}
	wg.Go(func() {
		for {
			st, err := s.AcceptStream(context.Background())
			if err != nil {
				return
			}
			use(st)
		}
	})
	if st, err := s.OpenStream(context.Background(), nil, StreamOptions{}); err == nil {
		use(st)
	}
	wg.Go(func() { s.Serve() })
	peer.Write(sent)
	peer.CloseWrite()
	wg.Wait()
	peer.Close()
	if n := openStreams(s); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// refused reports whether a stream was refused in b.
func refused(b []byte, id uint32) (yes bool) {
	walkFrames(b, func(h frameHeader, frame []byte) {
		if h.control && h.typ == FrameRstStream && len(frame) >= 16 && binary.BigEndian.Uint32(frame[8:])&maxStreamID == id {
			yes = yes || RstStatus(binary.BigEndian.Uint32(frame[12:])) == RstRefusedStream
		}
	})
	return yes
}

// finSent reports whether there may be a frame with the FIN of a stream in b.
func finSent(b []byte, id uint32) (fin bool) {
	walkFrames(b, func(h frameHeader, frame []byte) {
		about := h.streamID
		if h.control && len(frame) >= 12 {
			about = frameStream(h, frame)
		}
		fin = fin || about == id && h.flags&FlagFin != 0
	})
	return fin
}
