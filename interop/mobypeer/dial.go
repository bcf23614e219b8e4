package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/moby/spdystream"
)

// patience is the timeout for calls that must return.
const patience = 30 * time.Second

// dial tests a mirroring server with typical calls of programs.
func dial(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	c, err := spdystream.NewConnection(conn, false)
	if err != nil {
		return err
	}
	go c.Serve(spdystream.NoOpStreamHandler) // ends with the connection
	if _, err := c.Ping(); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	failed := make(chan error)
	const streams = 40
	for i := range streams {
		go func() { failed <- echo(c, uint64(i), 1+i*i*500) }() // ends with the stream
	}
	for range streams {
		if err := <-failed; err != nil {
			return err
		}
	}
	if err := headers(c); err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	if err := c.Close(); err != nil {
		return err
	}
	return c.Wait(patience)
}

// echo sends size bytes on a stream, and expects the same bytes back.
func echo(c *spdystream.Connection, seed uint64, size int) error {
	s, err := c.CreateStream(http.Header{"Size": {fmt.Sprint(size)}}, nil, false)
	if err != nil {
		return err
	}
	if err := s.WaitTimeout(patience); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, 1))
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(random.Uint32())
	}
	wrote := make(chan error, 1)
	go func() { // ends with the stream
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), 32<<10)
			if _, err := s.Write(rest[:n]); err != nil {
				wrote <- err
				return
			}
			rest = rest[n:]
		}
		wrote <- s.Close()
	}()
	got, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	if !bytes.Equal(sent, got) {
		return fmt.Errorf("%d bytes came back of %d", len(got), len(sent))
	}
	return <-wrote
}

// headers sends headers and expects the same headers back.
func headers(c *spdystream.Connection) error {
	s, err := c.CreateStream(http.Header{}, nil, false)
	if err != nil {
		return err
	}
	if err := s.WaitTimeout(patience); err != nil {
		return err
	}
	for range 3 {
		if err := s.SendHeader(http.Header{"A": {"b", "c"}}, false); err != nil {
			return err
		}
		h, err := s.ReceiveHeader()
		if err != nil {
			return err
		}
		if fmt.Sprint(h) != "map[A:[b c]]" {
			return fmt.Errorf("%v came back", h)
		}
	}
	return s.Reset()
}
