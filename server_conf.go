package spdy

import (
	"net/http"
	"time"
)

// serving returns the configuration of a session that serves for an http.Server. Fields that c
// leaves unset are filled in from hs, by the rules of net/http.
func (c *Config) serving(hs *http.Server) *Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.MaxHeaderBytes <= 0 && hs.MaxHeaderBytes > 0 {
		d.MaxHeaderBytes = blockBytes(int64(hs.MaxHeaderBytes))
	}
	if d.IdleTimeout == 0 {
		d.IdleTimeout = firstSet(hs.IdleTimeout, hs.ReadTimeout)
	}
	d.FirstFrameTimeout = c.firstFrameLimit(hs)
	if d.Logger == nil && hs.ErrorLog != nil {
		d.Logger = newErrorLogger(hs.ErrorLog)
	}
	return &d
}

// firstFrameLimit returns the time that a client of an http.Server may keep a session waiting for a
// frame. Negative means no limit.
func (c *Config) firstFrameLimit(hs *http.Server) time.Duration {
	own := time.Duration(0)
	if c != nil {
		own = c.FirstFrameTimeout
	}
	return firstSet(hs.ReadHeaderTimeout, firstSet(own, firstSet(hs.ReadTimeout, defaultFirstFrameTimeout)))
}

// firstSet returns the first of two limits that is not 0. Negative means no limit.
func firstSet(a, b time.Duration) time.Duration {
	if a != 0 {
		return a
	}
	return b
}

// handshakeLimit returns the time limit for a TLS handshake: as with net/http the shortest of the
// limits set, and at most ten seconds.
func handshakeLimit(hs *http.Server) time.Duration {
	limit := handshakeTimeout
	for _, d := range [...]time.Duration{hs.ReadHeaderTimeout, hs.ReadTimeout, hs.WriteTimeout} {
		if d > 0 {
			limit = min(limit, d)
		}
	}
	return limit
}
