package main

import (
	"context"
	"errors"
	"net"
)

// A childServer is a server peer in a separate process. The process prints "READY port" when it
// listens.
type childServer struct {
	dir  string
	env  []string
	argv []string

	p    *process
	addr string
	from int
}

func (s *childServer) listen(ctx context.Context) (string, error) {
	if s.p != nil && s.p.alive() {
		s.from = s.p.printed()
		return s.addr, nil
	}
	var err error
	s.from = 0
	if s.p, err = start(s.dir, s.env, s.argv...); err != nil {
		return "", err
	}
	port, err := s.p.await(ctx, 0, "READY ")
	if err != nil {
		return "", err
	}
	s.addr = net.JoinHostPort("127.0.0.1", port)
	return s.addr, nil
}

func (s *childServer) log() string {
	if s.p == nil {
		return ""
	}
	return s.p.log(s.from)
}

func (s *childServer) stop() {
	if s.p != nil {
		s.p.stop()
	}
}

// A childClient is a client peer in a separate process. It reads lines "conversation port" and
// answers each line with "RESULT ok" or "RESULT failed: why".
type childClient struct {
	dir  string
	env  []string
	argv []string

	p    *process
	from int
}

func (c *childClient) start(ctx context.Context) error {
	if c.p != nil && c.p.alive() {
		return nil
	}
	c.from = 0
	var err error
	if c.p, err = start(c.dir, c.env, c.argv...); err != nil {
		return err
	}
	_, err = c.p.await(ctx, 0, "READY")
	return err
}

func (c *childClient) converse(ctx context.Context, cell cell, addr string) error {
	c.from = c.p.printed()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if err := c.p.say(cell.conversation + " " + port); err != nil {
		return err
	}
	result, err := c.p.await(ctx, c.from, "RESULT ")
	switch {
	case err != nil:
		c.p.stop() // a late result would be attributed to the next conversation
		return err
	case result != "ok":
		return errors.New(result)
	}
	return nil
}

func (c *childClient) log() string {
	if c.p == nil {
		return ""
	}
	return c.p.log(c.from)
}

func (c *childClient) stop() {
	if c.p != nil {
		c.p.stop()
	}
}

// A selfServer is this library as the peer of this library: the reference for the other peers.
type selfServer struct {
	bench *bench
	cell  cell
	host  string // address to listen on

	talk *serverTalk
	end  context.CancelFunc
}

func (s *selfServer) listen(context.Context) (string, error) {
	s.stop()
	var ctx context.Context
	ctx, s.end = context.WithTimeout(context.Background(), talkTime)
	c := s.cell
	c.server = true
	var err error
	s.talk, err = serve(ctx, c, newTap(), s.bench.cert, s.bench.logger, s.host)
	if err != nil {
		return "", err
	}
	return s.talk.addr, nil
}

func (s *selfServer) log() string { return "" }

func (s *selfServer) stop() {
	if s.talk != nil {
		s.end()
		s.talk.close()
		s.talk = nil
	}
}
