package main

import "strings"

// Contents of the conversations. The peers in node/ and netty/ generate the same contents.
const (
	bigBody      = 10 << 20
	windowBody   = 1 << 20
	smallBody    = 20000
	cutBody      = 10000
	manyStreams  = 200
	streamWindow = 256 << 10 // the library's default receive window
)

// bigHeader is 20 KiB of moderately compressible text.
var bigHeader = func() string {
	var b strings.Builder
	for i := 0; b.Len() < 20<<10; i++ {
		b.WriteByte("abcdefghijklmnopqrstuvwxyz0123456789"[(i*i*31+i>>3)%36])
	}
	return b.String()
}()

// pattern returns n bytes that every peer can generate: byte i is 7i + (i >> 9), modulo 256.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(7*i + i>>9)
	}
	return p
}
