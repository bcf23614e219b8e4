package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/amahi/spdy"
)

// A role is the side of a session under measurement.
type role string

const (
	server role = "server"
	client role = "client"
)

// requests is the number of streams that a client opens before the peer sends anything.
const requests = 20

// An input is a peer's traffic of one frame type.
type input struct {
	frame, what string
	role        role // the receiving side; "" for both
	only        func(v spdy.Version) bool
	send        func(p *peer, n int) // sends n times the smallest amount
	partial     bool                 // the input ends within a frame
}

// A peer generates the bytes to send.
type peer struct {
	buf  bytes.Buffer
	f    *spdy.Framer
	v    spdy.Version
	role role // of the receiving session
	next uint32

	answers int32 // requests of the session that the peer answers
}

func newPeer(v spdy.Version, to role) *peer {
	p := &peer{v: v, role: to, next: 1}
	p.f = spdy.NewFramer(&p.buf, nil, v)
	p.f.Compression = spdy.CompressFull
	if to == client {
		p.next = 2
	}
	return p
}

func (p *peer) add(frames ...spdy.Frame) {
	for _, frame := range frames {
		if err := p.f.WriteFrame(frame); err != nil {
			panic(err) // a bug in this command
		}
	}
}

// raw adds a control frame of any type.
func (p *peer) raw(typ byte, payload []byte) {
	p.buf.Write([]byte{0x80, wire(p.v), 0, typ, 0, byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload))})
	p.buf.Write(payload)
}

func wire(v spdy.Version) byte {
	if v == spdy.SPDY2 {
		return 2
	}
	return 3
}

// open opens a stream: a request, or a push.
func (p *peer) open(more ...spdy.HeaderField) (id uint32) {
	id = p.next
	p.next += 2
	f := &spdy.SynStreamFrame{StreamID: id}
	pairs := []string{":method", "POST", ":path", "/", ":version", "HTTP/1.1", ":host", "example.com", ":scheme", "http"}
	if p.role == client {
		f.AssociatedStreamID, f.Flags = 1, spdy.FlagUnidirectional
		pairs = []string{":status", "200", ":path", fmt.Sprint("/", id), ":version", "HTTP/1.1", ":host", "example.com", ":scheme", "http"}
		if p.v == spdy.SPDY2 {
			pairs = []string{":status", "200", ":path", fmt.Sprint("http://example.com/", id), ":version", "HTTP/1.1"}
		}
	}
	f.Headers = append(p.block(pairs...), more...)
	p.add(f)
	return id
}

// stream returns a stream that accepts HEADERS and DATA. For a server the peer opens a new stream;
// for a client the peer replies to one of the client's requests.
func (p *peer) stream(i int) (id uint32) {
	if p.role == server {
		return p.open()
	}
	id = uint32(2*i + 1)
	p.reply(id)
	return id
}

// reply sends the reply to a request.
func (p *peer) reply(id uint32, more ...spdy.HeaderField) {
	p.answers++
	p.add(&spdy.SynReplyFrame{StreamID: id, Headers: append(p.block(":status", "200", ":version", "HTTP/1.1"), more...)})
}

// block builds a header block from pairs.
func (p *peer) block(pairs ...string) (h spdy.HeaderBlock) {
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i]
		if p.v == spdy.SPDY2 {
			name = strings.Replace(strings.TrimPrefix(name, ":"), "path", "url", 1)
		}
		h = append(h, spdy.HeaderField{Name: name, Value: pairs[i+1]})
	}
	return h
}

// The kinds of header blocks.
func manyValues(n int) spdy.HeaderBlock {
	return spdy.HeaderBlock{{Name: "x", Value: "a" + strings.Repeat("\x00a", n*400-1)}}
}

func manyNames(n int) (h spdy.HeaderBlock) {
	for i := range n * 200 {
		h = append(h, spdy.HeaderField{Name: fmt.Sprint("n", i), Value: "v"})
	}
	return h
}

func longValue(n int) spdy.HeaderBlock {
	return spdy.HeaderBlock{{Name: "x", Value: strings.Repeat("v", n*1000)}}
}

func trailerNames(n int) spdy.HeaderBlock {
	var b strings.Builder
	for i := range n * 200 {
		fmt.Fprintf(&b, "t%d,", i)
	}
	return spdy.HeaderBlock{{Name: "trailer", Value: b.String() + "t"}}
}

func v2(v spdy.Version) bool     { return v == spdy.SPDY2 }
func notV2(v spdy.Version) bool  { return v != spdy.SPDY2 }
func v31(v spdy.Version) bool    { return v == spdy.SPDY31 }
func always(v spdy.Version) bool { return true }
