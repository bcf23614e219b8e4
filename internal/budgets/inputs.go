package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/amahi/spdy"
)

// A role says which side of a session is measured.
type role string

const (
	server role = "server"
	client role = "client"
)

// requests is how many streams a client has open before anything is sent to it.
const requests = 20

// An input is what a peer sends of one type of frame.
type input struct {
	frame, what string
	role        role // whom it is sent to; "" for both
	only        func(v spdy.Version) bool
	send        func(p *peer, n int) // n times the least
	partial     bool                 // it ends within a frame
}

// A peer makes the bytes that it sends.
type peer struct {
	buf  bytes.Buffer
	f    *spdy.Framer
	v    spdy.Version
	role role // of the session that it sends to
	next uint32

	answers int32 // requests of the session that it answers
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
			panic(err) // which would be a fault of this command
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

// stream is a stream that takes HEADERS and DATA: of a server one that is opened now, of a client
// one of its own that is answered now.
func (p *peer) stream(i int) (id uint32) {
	if p.role == server {
		return p.open()
	}
	id = uint32(2*i + 1)
	p.reply(id)
	return id
}

// reply answers a request.
func (p *peer) reply(id uint32, more ...spdy.HeaderField) {
	p.answers++
	p.add(&spdy.SynReplyFrame{StreamID: id, Headers: append(p.block(":status", "200", ":version", "HTTP/1.1"), more...)})
}

// block makes pairs a header block.
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
