package main

import "strings"

// What conversations carry. The peers in node/ and netty/ make the same.
const (
	bigBody      = 10 << 20
	windowBody   = 1 << 20
	smallBody    = 20000
	cutBody      = 10000
	manyStreams  = 200
	streamWindow = 256 << 10 // the library's default for what it receives
)

// bigHeader is 20 KiB that compress, but not to nothing.
var bigHeader = func() string {
	var b strings.Builder
	for i := 0; b.Len() < 20<<10; i++ {
		b.WriteByte("abcdefghijklmnopqrstuvwxyz0123456789"[(i*i*31+i>>3)%36])
	}
	return b.String()
}()

// pattern is n bytes that every peer can make: byte i is 7i + (i >> 9), modulo 256.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(7*i + i>>9)
	}
	return p
}
