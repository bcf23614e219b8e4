//go:build pairings

package pairings

import (
	"fmt"
	"io"
	"net/http"
)

// openingRows are about how streams are opened.
var openingRows = []row{
	{name: "headers that HTTP does not allow", run: oddHeaders},
	{name: "CreateStream before Serve", unserved: true, run: createBeforeServe},
}

// odd are headers that moby/spdystream passes although HTTP does not allow them, or that could be taken
// for others on the wire.
var odd = []http.Header{
	{"Env:X": {"1"}},
	{":path": {"/"}},
	{"a b": {"c"}},
	{"größe": {"é"}},
	{"Script": {"first\r\nsecond: line\n"}},
	{"Bell": {"\x01\x7f\t\x1b"}},
	{"A": {""}},
	{"A": {"b", ""}},
	{"A": {"", "b"}},
	{"A": {"b", "", "c"}},
	{"A": {"", "", ""}},
	{"A": {}},
	{"Upgrade": {"x"}, "Te": {"y"}},
}

// oddHeaders has them pass with the opening of a stream and behind it, both ways.
func oddHeaders(r *rig) {
	for _, sent := range odd {
		var came []string
		note := func(h http.Header) { came = append(came, fmt.Sprintf("%q", h)) }
		err := r.try(3*hangs, func() error {
			s, err := r.client.create(sent)
			if err != nil {
				return err
			}
			if err := s.WaitTimeout(hangs); err != nil {
				return err
			}
			accepted := <-r.accepted
			note(accepted.Headers())
			for _, way := range [][2]stream{{s, accepted}, {accepted, s}} {
				if err := way[0].SendHeader(sent, false); err != nil {
					return err
				}
				late, err := way[1].ReceiveHeader()
				if err != nil {
					return err
				}
				note(late)
			}
			return nil
		})
		if err == nil {
			r.result.Digest += fmt.Sprintln(came)
		}
	}
}

// createBeforeServe opens streams at an end that is not served yet. They reach the other end all the
// same, and are of use once it is.
func createBeforeServe(r *rig) {
	for range 2 {
		r.client, r.server = r.pair()
		opener, other := r.client, r.server
		if r.result.Of > 0 { // the other way around
			opener, other = other, opener
		}
		go other.serve(func(s stream) { // ends with the connection
			_ = s.SendReply(http.Header{}, false)
			r.accepted <- s
			go func() { _, _ = io.Copy(s, s) }() // ends with the stream
		})
		var opened []stream
		for range 10 {
			_ = r.try(hangs, func() error {
				s, err := opener.create(header)
				opened = append(opened, s)
				<-r.accepted
				return err
			})
		}
		go opener.serve(func(stream) {}) // ends with the connection
		for _, s := range opened {
			_ = r.try(2*hangs, func() error {
				if err := s.WaitTimeout(hangs); err != nil {
					return err
				}
				if _, err := s.Write([]byte("hello")); err != nil {
					return err
				}
				_, err := io.ReadFull(s, make([]byte, 5))
				return err
			})
		}
	}
}
