package spdy_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/spdytest"
)

// A Framer reads and writes frames, for tools and tests. Applications do not need it.
func ExampleFramer() {
	var wire bytes.Buffer
	framer := spdy.NewFramer(&wire, &wire, spdy.SPDY31)
	frames := []spdy.Frame{
		&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin, Headers: spdy.HeaderBlock{{Name: ":path", Value: "/"}}},
		&spdy.PingFrame{ID: 1},
		&spdy.RstStreamFrame{StreamID: 1, Status: spdy.RstCancel},
	}
	for _, f := range frames {
		if err := framer.WriteFrame(f); err != nil {
			log.Fatal(err)
		}
	}
	for range frames {
		f, err := framer.ReadFrame()
		if err != nil {
			log.Fatal(err)
		}
		switch f := f.(type) {
		case *spdy.SynStreamFrame:
			path, _ := f.Headers.Get(":path")
			fmt.Println(f.FrameType(), "of stream", f.StreamID, "asks for", path)
		case *spdy.RstStreamFrame:
			fmt.Println(f.FrameType(), "of stream", f.StreamID, "says", f.Status)
		default:
			fmt.Println(f.FrameType())
		}
	}
	// Output:
	// SYN_STREAM of stream 1 asks for /
	// PING
	// RST_STREAM of stream 1 says CANCEL
}

// What the examples have in common: a certificate for the loopback addresses, a time in
// the past, and whom to trust to talk to a server of spdytest.
var (
	certificate, trusted = makeCertificate()
	aLongTimeAgo         = time.Unix(1, 0)
)

func makeCertificate() (tls.Certificate, *x509.CertPool) {
	cert, pool, err := localcert.New()
	if err != nil {
		log.Fatal(err)
	}
	return cert, pool
}

func trust(srv *spdytest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return pool
}
