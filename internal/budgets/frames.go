package main

import "github.com/amahi/spdy"

// inputs are what is sent, at least one for each type of frame. At 20 times the least all of them are
// within what a session of the default configuration takes.
var inputs = []input{
	{frame: "SYN_STREAM", what: "a stream each", only: always, send: func(p *peer, n int) {
		for range 5 * n {
			p.open()
		}
	}},
	{frame: "SYN_STREAM", what: "values of one byte", only: always, send: func(p *peer, n int) { p.open(manyValues(n)...) }},
	{frame: "SYN_STREAM", what: "names", only: always, send: func(p *peer, n int) { p.open(manyNames(n)...) }},
	{frame: "SYN_STREAM", what: "one long value", only: always, send: func(p *peer, n int) { p.open(longValue(n)...) }},
	{frame: "SYN_STREAM", what: "names in Trailer", role: server, only: always, send: func(p *peer, n int) { p.open(trailerNames(n)...) }},
	{frame: "SYN_REPLY", what: "an answer each", role: client, only: always, send: func(p *peer, n int) {
		for i := range n {
			p.reply(uint32(2*i + 1))
		}
	}},
	{frame: "SYN_REPLY", what: "values of one byte", role: client, only: always, send: func(p *peer, n int) { p.reply(1, manyValues(n)...) }},
	{frame: "SYN_REPLY", what: "names", role: client, only: always, send: func(p *peer, n int) { p.reply(1, manyNames(n)...) }},
	{frame: "SYN_REPLY", what: "one long value", role: client, only: always, send: func(p *peer, n int) { p.reply(1, longValue(n)...) }},
	{frame: "SYN_REPLY", what: "interim answers", role: client, only: always, send: func(p *peer, n int) {
		for range 5 * n {
			p.add(&spdy.SynReplyFrame{StreamID: 1, Headers: p.block(":status", "103", ":version", "HTTP/1.1")})
		}
	}},
	{frame: "SYN_REPLY", what: "on a stream that is not open", only: always, send: func(p *peer, n int) {
		for range 10 * n {
			p.add(&spdy.SynReplyFrame{StreamID: 1002, Headers: longValue(1)})
		}
	}},
	{frame: "RST_STREAM", what: "on streams that are open", only: always, send: func(p *peer, n int) {
		for i := range n {
			p.add(&spdy.RstStreamFrame{StreamID: p.stream(i), Status: spdy.RstCancel})
		}
	}},
	{frame: "RST_STREAM", what: "on streams that are not", only: always, send: func(p *peer, n int) {
		for range 100 * n {
			p.add(&spdy.RstStreamFrame{StreamID: 1001, Status: spdy.RstCancel})
		}
	}},
	{frame: "SETTINGS", what: "one entry each", only: always, send: func(p *peer, n int) {
		for i := range 100 * n {
			p.add(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingUploadBandwidth, Value: uint32(i)}}})
		}
	}},
	{frame: "SETTINGS", what: "many entries", only: always, send: func(p *peer, n int) {
		entries := make([]spdy.Setting, 200*n)
		for i := range entries {
			entries[i] = spdy.Setting{ID: spdy.SettingID(i + 100), Value: 1}
		}
		p.add(&spdy.SettingsFrame{Entries: entries})
	}},
	{frame: "NOOP", what: "", only: v2, send: func(p *peer, n int) {
		for range 100 * n {
			p.raw(5, nil)
		}
	}},
	{frame: "PING", what: "of the peer's", only: always, send: func(p *peer, n int) {
		for i := range uint32(100 * n) {
			p.add(&spdy.PingFrame{ID: p.next + 2*i})
		}
	}},
	{frame: "PING", what: "that answer none of ours", only: always, send: func(p *peer, n int) {
		for i := range uint32(100 * n) {
			p.add(&spdy.PingFrame{ID: p.next + 2*i + 1})
		}
	}},
	{frame: "GOAWAY", what: "", only: always, send: func(p *peer, n int) {
		for range 100 * n {
			p.add(&spdy.GoAwayFrame{LastGoodStreamID: 1<<31 - 1})
		}
	}},
	{frame: "HEADERS", what: "values of one byte", only: always, send: func(p *peer, n int) {
		p.add(&spdy.HeadersFrame{StreamID: p.stream(0), Headers: manyValues(n)})
	}},
	{frame: "HEADERS", what: "names, in small blocks", only: always, send: func(p *peer, n int) {
		id, all := p.stream(0), manyNames(n)
		for i := 0; i < len(all); i += 20 {
			p.add(&spdy.HeadersFrame{StreamID: id, Headers: all[i : i+20]})
		}
	}},
	{frame: "HEADERS", what: "on a stream that is not open", only: always, send: func(p *peer, n int) {
		for range 10 * n {
			p.add(&spdy.HeadersFrame{StreamID: 1001, Headers: longValue(1)})
		}
	}},
	{frame: "WINDOW_UPDATE", what: "of a stream", only: notV2, send: func(p *peer, n int) {
		id := p.stream(0)
		for range 100 * n {
			p.add(&spdy.WindowUpdateFrame{StreamID: id, Delta: 1})
		}
	}},
	{frame: "WINDOW_UPDATE", what: "of the session", only: v31, send: func(p *peer, n int) {
		for range 100 * n {
			p.add(&spdy.WindowUpdateFrame{Delta: 1})
		}
	}},
	{frame: "CREDENTIAL", what: "", only: notV2, send: func(p *peer, n int) {
		for range 20 * n {
			p.raw(10, make([]byte, 500))
		}
	}},
	{frame: "unknown", what: "", only: always, send: func(p *peer, n int) {
		for range 20 * n {
			p.raw(99, make([]byte, 500))
		}
	}},
	{frame: "SYN_STREAM", what: "of 16 MiB, of which a part has come", only: always, send: func(p *peer, n int) {
		p.raw(1, nil)
		p.buf.Truncate(p.buf.Len() - 3)
		p.buf.Write([]byte{0xff, 0xff, 0xff})
		p.buf.Write(make([]byte, n*40<<10))
	}, partial: true},
	{frame: "DATA", what: "one byte on each stream", only: always, send: func(p *peer, n int) {
		for i := range n {
			p.add(&spdy.DataFrame{StreamID: p.stream(i), Data: []byte("x")})
		}
	}},
	{frame: "DATA", what: "one byte in each frame", only: always, send: func(p *peer, n int) {
		id := p.stream(0)
		for range 200 * n {
			p.add(&spdy.DataFrame{StreamID: id, Data: []byte("x")})
		}
	}},
	{frame: "DATA", what: "10,000 bytes in each frame", only: always, send: func(p *peer, n int) {
		id := p.stream(0)
		for range n {
			p.add(&spdy.DataFrame{StreamID: id, Data: make([]byte, 10_000)})
		}
	}},
	{frame: "DATA", what: "empty", only: always, send: func(p *peer, n int) {
		id := p.stream(0)
		for range 100 * n {
			p.add(&spdy.DataFrame{StreamID: id})
		}
	}},
}
