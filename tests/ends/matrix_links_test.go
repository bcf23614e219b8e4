package ends

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/amahi/spdy"
)

// An http2Link is a connection of HTTP/2.
type http2Link struct {
	conn   net.Conn
	framer *http2.Framer

	mu      sync.Mutex // guards what follows, and writing
	begun   bool
	initial int // size of the windows of streams
}

func newHTTP2Link(conn net.Conn) *http2Link {
	l := &http2Link{conn: conn, framer: http2.NewFramer(conn, bufio.NewReader(conn)), initial: 65_535}
	l.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return l
}

func (l *http2Link) windows() (stream, session int) { return 65_535, 65_535 }

func (l *http2Link) open(id uint32, c cell) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		l.begun = true
		if _, err := l.conn.Write([]byte(http2.ClientPreface)); err != nil {
			return err
		}
		if err := l.framer.WriteSettings(); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	enc.SetMaxDynamicTableSize(0) // each block stands alone
	method, length := c.header()
	fields := [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "front.example"}, {":path", "/"}}
	if c.isProbe() {
		fields = append(fields, [2]string{strings.ToLower(probeHeader), "1"})
	}
	if length >= 0 {
		fields = append(fields, [2]string{"content-length", strconv.Itoa(length)})
	}
	for _, f := range fields {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	return l.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: b.Bytes(), EndStream: method == http.MethodGet, EndHeaders: true,
	})
}

func (l *http2Link) write(f func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f()
}

func (l *http2Link) data(id uint32, p []byte, fin bool) error {
	return l.write(func() error { return l.framer.WriteData(id, fin, p) })
}

func (l *http2Link) reset(id uint32) error {
	return l.write(func() error { return l.framer.WriteRSTStream(id, http2.ErrCodeCancel) })
}

func (l *http2Link) credit(id uint32, n int) error {
	return l.write(func() error {
		if err := l.framer.WriteWindowUpdate(id, uint32(n)); err != nil {
			return err
		}
		return l.framer.WriteWindowUpdate(0, uint32(n))
	})
}

func (l *http2Link) next() (e event, err error) {
	f, err := l.framer.ReadFrame()
	if err != nil {
		return e, err
	}
	e.stream = f.Header().StreamID
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		e.status, _ = strconv.Atoi(f.PseudoValue("status"))
		e.fin = f.StreamEnded()
	case *http2.DataFrame:
		e.data, e.fin = f.Data(), f.StreamEnded()
	case *http2.RSTStreamFrame:
		e.reset = fmt.Sprint("RST_STREAM ", f.ErrCode)
	case *http2.WindowUpdateFrame:
		e.grant = int(f.Increment)
	case *http2.PingFrame:
		if !f.IsAck() {
			err = l.write(func() error { return l.framer.WritePing(true, f.Data) })
		}
	case *http2.SettingsFrame:
		if f.IsAck() {
			break
		}
		err = l.write(func() error {
			if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
				e.shift, l.initial = int(v)-l.initial, int(v)
			}
			return l.framer.WriteSettingsAck()
		})
	}
	return e, err
}

// A spdyLink is a connection of SPDY.
type spdyLink struct {
	version spdy.Version
	framer  *spdy.Framer
	initial int // size of the windows of streams

	mu sync.Mutex // guards writing
}

func newSPDYLink(conn net.Conn, v spdy.Version) *spdyLink {
	return &spdyLink{version: v, framer: spdy.NewFramer(conn, bufio.NewReader(conn), v), initial: 64 << 10}
}

func (l *spdyLink) windows() (stream, session int) {
	switch l.version {
	case spdy.SPDY2:
		return -1, -1
	case spdy.SPDY3:
		return 64 << 10, -1
	}
	return 64 << 10, 64 << 10
}

func (l *spdyLink) write(f spdy.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.framer.WriteFrame(f)
}

func (l *spdyLink) open(id uint32, c cell) error {
	method, length := c.header()
	h := spdy.HeaderBlock{
		{Name: ":method", Value: method}, {Name: ":path", Value: "/"}, {Name: ":version", Value: "HTTP/1.1"},
		{Name: ":host", Value: "front.example"}, {Name: ":scheme", Value: "http"},
	}
	if l.version == spdy.SPDY2 {
		for i := range h {
			h[i].Name = h[i].Name[1:]
		}
		h[1].Name, h[3] = "url", spdy.HeaderField{Name: "host", Value: "front.example"}
	}
	if c.isProbe() {
		h = append(h, spdy.HeaderField{Name: strings.ToLower(probeHeader), Value: "1"})
	}
	if length >= 0 {
		h = append(h, spdy.HeaderField{Name: "content-length", Value: strconv.Itoa(length)})
	}
	f := &spdy.SynStreamFrame{StreamID: id, Priority: 2, Headers: h}
	if method == http.MethodGet {
		f.Flags = spdy.FlagFin
	}
	return l.write(f)
}

func (l *spdyLink) data(id uint32, p []byte, fin bool) error {
	f := &spdy.DataFrame{StreamID: id, Data: p}
	if fin {
		f.Flags = spdy.FlagFin
	}
	return l.write(f)
}

func (l *spdyLink) reset(id uint32) error {
	return l.write(&spdy.RstStreamFrame{StreamID: id, Status: spdy.RstCancel})
}

func (l *spdyLink) credit(id uint32, n int) error {
	if err := l.write(&spdy.WindowUpdateFrame{StreamID: id, Delta: uint32(n)}); err != nil || l.version == spdy.SPDY3 {
		return err
	}
	return l.write(&spdy.WindowUpdateFrame{Delta: uint32(n)})
}

func (l *spdyLink) next() (e event, err error) {
	f, err := l.framer.ReadFrame()
	if err != nil {
		return e, err
	}
	switch f := f.(type) {
	case *spdy.SynReplyFrame:
		e.stream, e.fin = f.StreamID, f.Flags&spdy.FlagFin != 0
		for _, h := range f.Headers {
			if strings.TrimPrefix(h.Name, ":") == "status" {
				e.status, _ = strconv.Atoi(strings.Fields(h.Value)[0])
			}
		}
	case *spdy.DataFrame:
		e.stream, e.data, e.fin = f.StreamID, f.Data, f.Flags&spdy.FlagFin != 0
	case *spdy.HeadersFrame:
		e.stream, e.fin = f.StreamID, f.Flags&spdy.FlagFin != 0
	case *spdy.RstStreamFrame:
		e.stream, e.reset = f.StreamID, fmt.Sprint("RST_STREAM ", f.Status)
	case *spdy.WindowUpdateFrame:
		e.stream, e.grant = f.StreamID, int(f.Delta)
	case *spdy.PingFrame:
		if f.ID%2 == 0 {
			err = l.write(f)
		}
	case *spdy.SettingsFrame:
		for _, s := range f.Entries {
			if s.ID == spdy.SettingInitialWindowSize && l.version != spdy.SPDY2 {
				e.shift, l.initial = int(s.Value)-l.initial, int(s.Value)
			}
		}
	}
	return e, err
}
