package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/moby/spdystream"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
)

// beHonest sends n bytes on one stream: as the body of a request to a server, or of a response to a
// client.
func beHonest(addr, victim string, n int64) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	body := io.LimitReader(zeros{}, n)
	switch victim {
	case ourServer:
		s := (&spdy.Config{Version: spdy.SPDY31}).ClientSession(conn)
		go s.Serve() // ends with the connection
		return upload(s, body)
	case h2Server:
		c, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(conn)
		if err != nil {
			return err
		}
		return upload(c, body)
	case mobyPeer:
		return streamTo(conn, body)
	}
	return answerWith(conn, body)
}

func upload(rt http.RoundTripper, body io.Reader) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://victim.example/", body)
	if err != nil {
		return err
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// streamTo acts as kubectl cp does.
func streamTo(conn net.Conn, body io.Reader) error {
	c, err := spdystream.NewConnection(conn, false)
	if err != nil {
		return err
	}
	go c.Serve(spdystream.NoOpStreamHandler) // ends with the connection
	s, err := c.CreateStream(http.Header{}, nil, false)
	if err != nil {
		return err
	}
	if err := s.Wait(); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{s}, body, make([]byte, 16<<10)); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	_, err = s.Read(make([]byte, 1)) // the victim closes after reading all bytes
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("the victim's end of the stream: %w", err)
}

// answerWith is an honest server.
func answerWith(conn net.Conn, body io.Reader) error {
	done := make(chan error, 1)
	s := (&spdy.Config{Version: spdy.SPDY31}).ServerSession(conn, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(w, body)
		done <- err
	})})
	go s.Serve() // ends with the connection
	err := <-done
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(err, s.Shutdown(ctx))
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
