package main

import "github.com/amahi/spdy"

// N1 is not visible in frames. node/repair.js checks for it whenever the peer starts.
const bugN1 = "handle-thing, by which node-spdy dresses a stream up as a socket, is broken on Node 11 and later: " +
	"writev() completes no request, and a write may complete twice. node/repair.js puts that right, and refuses to start when there is nothing to put right."

var nodeBugs = []*bug{
	{
		id: "N2", peer: peerNode, breaks: true,
		title:    "SPDY/2: sends and expects the flow control of SPDY/3",
		evidence: "echo: the peer sends exactly 65536 bytes of DATA and waits for a WINDOW_UPDATE, which SPDY/2 does not have",
		covers:   in(either(at(peerNode, false, convEcho), at(peerNode, true, convEcho)), onlyV2),
		seen:     func(o *outcome) bool { return o.stands() && o.trace.dataBytes(theirs, 1) == 65536 },
	},
	{
		id: "N3", peer: peerNode, breaks: true,
		title:    "SPDY/2: sends GOAWAY with 8 bytes; the frame has 4",
		evidence: "goaway-s with the server, goaway-c with the client: 80 02 00 07 00 00 00 08 .., which is a session error (SPEC F8)",
		covers:   in(either(at(peerNode, false, convGoAwayS), at(peerNode, true, convGoAwayC)), onlyV2),
		seen: onWire(func(tr *trace) bool {
			return tr.after(isSyn, func(s *step) bool { return isGoAway(theirs)(s) && s.length() == 8 })
		}),
	},
	{
		id: "N4", peer: peerNode, breaks: true,
		title:    "SPDY/2: a GOAWAY of 4 bytes, which is what it has, is an error to it",
		evidence: "goaway-c with the server, goaway-s with the client: after GOAWAY from the library the peer sends nothing more and drops the answer",
		covers:   in(either(at(peerNode, false, convGoAwayC), at(peerNode, true, convGoAwayS)), onlyV2),
		seen: onWire(func(tr *trace) bool {
			return tr.after(isSyn, isGoAway(ours)) && !tr.after(isGoAway(ours), func(s *step) bool { return s.from == theirs })
		}),
	},
	{
		id: "N5", peer: peerNode,
		title:    "sends the body of an answer to HEAD",
		evidence: "head with the server: DATA after SYN_REPLY on stream 1",
		covers:   at(peerNode, false, convHead),
		seen:     onWire(func(tr *trace) bool { return tr.dataBytes(theirs, 1) > 0 }),
	},
	{
		id: "N6", peer: peerNode, breaks: true,
		title:    "ignores FLAG_FIN of HEADERS, so that an answer with trailers never ends",
		evidence: "trailers with the client: after HEADERS with FIN on stream 1 the client waits",
		covers:   at(peerNode, true, convTrailers),
		seen: func(o *outcome) bool {
			return o.stands() && has(o.trace, ours, func(f *spdy.HeadersFrame) bool { return f.Flags&spdy.FlagFin != 0 })
		},
	},
	{
		id: "N7", peer: peerNode, breaks: true,
		title:    "pushes without FLAG_UNIDIRECTIONAL (and says scheme https without TLS)",
		evidence: "push with the server: SYN_STREAM on stream 2 with flags 0, answered with PROTOCOL_ERROR (SPEC U7)",
		covers:   at(peerNode, false, convPush),
		seen:     onWire(pushedBothWays),
	},
	{
		id: "N8", peer: peerNode, breaks: true,
		title:    "takes the last-good id in a client's GOAWAY, which counts streams of the server, for its own and resets every request",
		evidence: "goaway-c with the server: GOAWAY(0) from the library, RST_STREAM CANCEL from the peer on stream 1",
		covers:   in(at(peerNode, false, convGoAwayC), others...),
		seen:     onWire(func(tr *trace) bool { return tr.after(isGoAway(ours), isReset(theirs, spdy.RstCancel)) }),
	},
	{
		id: "N9", peer: peerNode, breaks: true,
		title:    "after its GOAWAY it closes the connection before the last FIN",
		evidence: "goaway-s with the server in SPDY/3.1: all 8 bytes of the body, then the end of the connection without FIN",
		covers:   in(at(peerNode, false, convGoAwayS), spdy.SPDY31),
		seen: onWire(func(tr *trace) bool {
			fin := has(tr, theirs, func(f *spdy.DataFrame) bool { return f.Flags&spdy.FlagFin != 0 })
			return tr.after(isSyn, isGoAway(theirs)) && tr.dataBytes(theirs, 1) == len("bye now\n") && !fin
		}),
	},
	{
		id: "N10", peer: peerNode,
		title:    "answers RST_STREAM with RST_STREAM",
		evidence: "cancel with the server, cut with the client: RST_STREAM from the library, RST_STREAM CANCEL from the peer on the same stream",
		covers:   either(at(peerNode, false, convCancel), at(peerNode, true, convCut)),
		seen:     onWire(func(tr *trace) bool { return tr.after(isReset(ours, 0), isReset(theirs, spdy.RstCancel)) }),
	},
	{
		id: "N11", peer: peerNode,
		title:    "as a client without TLS it says scheme https, and a host without the port",
		evidence: "get with the client: the SYN_STREAM",
		covers:   plain(at(peerNode, true, convGet)),
		seen: onWire(func(tr *trace) bool {
			return has(tr, theirs, func(f *spdy.SynStreamFrame) bool {
				prefix := ":"
				if tr.version == spdy.SPDY2 {
					prefix = ""
				}
				scheme, _ := f.Headers.Get(prefix + "scheme")
				host, _ := f.Headers.Get(prefix + "host")
				return scheme == "https" && host == loopback
			})
		}),
	},
	{
		id: "N12", peer: peerNode,
		title:    "SPDY/2: writes the priority with 3 bits; SPDY/2 has 2",
		evidence: "get with the client: SYN_STREAM with 60 in byte 8 of the payload, of which the 20 is unused in SPDY/2",
		covers:   plain(in(at(peerNode, true, convGet), onlyV2)),
		seen: onWire(func(tr *trace) bool {
			return tr.after(func(*step) bool { return true }, func(s *step) bool { return isSyn(s) && s.from == theirs && s.raw[16]&0x3f != 0 })
		}),
	},
	{
		id: "N13", peer: peerNode,
		title:    "hands several Set-Cookie headers to the application as an array in an array",
		evidence: "get with the client: set-cookie is a=1 NUL b=2 in the SYN_REPLY, and [[\"a=1\",\"b=2\"]] in res.headers",
		covers:   at(peerNode, true, convGet),
		seen:     printed("set-cookie is an array in an array"),
	},
	{
		id: "N14", peer: peerNode,
		title:    "SPDY/2: takes the absolute URL of a push for its path",
		evidence: "push with the client: url http://127.0.0.1/pushed in the SYN_STREAM becomes the path of the pushed stream",
		covers:   in(at(peerNode, true, convPush), onlyV2),
		seen:     printed("pushed path is http"),
	},
	{
		id: "N15", peer: peerNode, breaks: true, chance: true,
		title:    "resets a stream that it has ended when a WINDOW_UPDATE comes for it, and the reset overtakes the end",
		evidence: "echo with the server, now and then: WINDOW_UPDATE from the library, RST_STREAM INVALID_STREAM from the peer and only then its DATA with FIN",
		covers:   in(func(c cell) bool { return c.peer == peerNode && !c.server }, others...),
		seen: onWire(func(tr *trace) bool {
			reset := isReset(theirs, spdy.RstInvalidStream)
			granted := func(s *step) bool { _, ok := s.frame.(*spdy.WindowUpdateFrame); return ok && s.from == ours }
			return tr.after(granted, reset)
		}),
	},
}

var nettyBugs = []*bug{
	{
		id: "Y1", peer: peerNetty, breaks: true,
		title:    "takes pushes only with the answer's headers in a HEADERS frame, and resets all others, twice",
		evidence: "push with the client: SYN_STREAM on stream 2 with :status, two RST_STREAM PROTOCOL_ERROR from the peer",
		covers:   at(peerNetty, true, convPush),
		seen: onWire(func(tr *trace) bool {
			return tr.after(isReset(theirs, spdy.RstProtocolError), isReset(theirs, spdy.RstProtocolError))
		}),
	},
	{
		id: "Y2", peer: peerNetty,
		title:    "says :version twice on a pushed stream",
		evidence: "push with the server: :version in SYN_STREAM and in HEADERS on stream 2",
		covers:   at(peerNetty, false, convPush),
		seen: onWire(func(tr *trace) bool {
			_, a := find(tr, theirs, func(f *spdy.SynStreamFrame) bool { _, ok := f.Headers.Get(":version"); return ok })
			_, b := find(tr, theirs, func(f *spdy.HeadersFrame) bool { _, ok := f.Headers.Get(":version"); return ok && f.StreamID == 2 })
			return a && b
		}),
	},
	{
		id: "Y3", peer: peerNetty,
		title:    "mixes trailers into the headers of an answer",
		evidence: "trailers with the client: x-checksum comes in HEADERS after DATA and is among HttpMessage.headers()",
		covers:   at(peerNetty, true, convTrailers),
		seen:     printed("the trailer is among the headers"),
	},
}

var mobyBugs = []*bug{
	{
		id: "M1", peer: peerMoby, breaks: true,
		title:    "sends no WINDOW_UPDATE, so that nobody can send it more than the first 64 KiB",
		evidence: "echo with the server, streams and cancel with the client in SPDY/3.1: no WINDOW_UPDATE from the peer, the library stops at 65536 bytes of DATA",
		covers:   either(at(peerMoby, false, convEcho), in(at(peerMoby, true, convStreams, convCancel), spdy.SPDY31)),
		seen: func(o *outcome) bool {
			return o.stands() && !has[*spdy.WindowUpdateFrame](o.trace, theirs, nil) && o.trace.allData(ours) == 65536
		},
	},
	{
		id: "M2", peer: peerMoby, breaks: true,
		title:    "obeys no window and reads no SETTINGS",
		evidence: "window with both, echo with the client: more than 262144 bytes of DATA on stream 1 with nothing granted, RST_STREAM FLOW_CONTROL_ERROR from the library",
		covers:   either(at(peerMoby, false, convWindow), at(peerMoby, true, convWindow, convEcho)),
		seen: onWire(func(tr *trace) bool {
			return tr.dataBytes(theirs, 1)+tr.rest[theirs] > streamWindow && tr.after(isSyn, isReset(ours, spdy.RstFlowControlError))
		}),
	},
	{
		id: "M3", peer: peerMoby, breaks: true,
		title:    "lets a stream that was reset look as if it had ended",
		evidence: "cut with the client: RST_STREAM INTERNAL_ERROR from the library after 10000 bytes, io.EOF for the reader",
		covers:   at(peerMoby, true, convCut),
		seen: func(o *outcome) bool {
			return o.err != nil && o.err.Error() == cutLooksComplete && has[*spdy.RstStreamFrame](o.trace, ours, nil)
		},
	},
	{
		id: "M4", peer: peerMoby, breaks: true,
		title:    "stops reading at a GOAWAY and drops what is open",
		evidence: "goaway-c with the server, goaway-s with the client: after GOAWAY from the library the connection is closed and the rest of the answer lost",
		covers:   either(at(peerMoby, false, convGoAwayC), at(peerMoby, true, convGoAwayS)),
		seen: onWire(func(tr *trace) bool {
			return tr.after(isSyn, isGoAway(ours)) && !tr.after(isGoAway(ours), func(s *step) bool { return s.from == theirs })
		}),
	},
	{
		id: "M5", peer: peerMoby, breaks: true,
		title:    "cannot open a unidirectional stream, and so cannot push",
		evidence: "push with the server: SYN_STREAM on stream 2 with flags 0, answered with PROTOCOL_ERROR (SPEC U7)",
		covers:   at(peerMoby, false, convPush),
		seen:     onWire(pushedBothWays),
	},
}

var tsharkBugs = []*bug{
	{
		id: "S1", peer: peerTshark,
		title:    "tshark fails an assertion over the empty DATA frame with FIN that ends a body, and gives up the packet",
		evidence: "window, and by chance others: DATA with FIN and length 0. tshark is asked again without assembling bodies (-o spdy.assemble_data_frames:FALSE), and then reads every frame as it should",
		covers:   at(peerTshark, false, convWindow),
		seen:     printed(assemblyFault),
	},
	{
		id: "S2", peer: peerTshark, breaks: true,
		title:    "cuts inflated header blocks at 16384 bytes, and takes them for malformed",
		evidence: "headers: \"Not enough frame data for header value\" for the SYN_STREAM and the SYN_REPLY with x-big",
		covers:   at(peerTshark, false, convHeaders),
		seen: func(o *outcome) bool {
			return o.err != nil && o.err.Error() == "tshark: malformed packet: Not enough frame data for header value."
		},
	},
}

// isSyn matches a SYN_STREAM.
func isSyn(s *step) bool {
	return s.raw[0] == 0x80 && s.raw[3] == byte(spdy.FrameSynStream)
}

// pushedBothWays matches a push that is not unidirectional.
func pushedBothWays(tr *trace) bool {
	return has(tr, theirs, func(f *spdy.SynStreamFrame) bool {
		return f.AssociatedStreamID != 0 && f.Flags&spdy.FlagUnidirectional == 0
	})
}

// allData returns the number of DATA bytes that a side sent.
func (tr *trace) allData(from side) (n int) {
	for i := range tr.steps {
		if d, ok := tr.steps[i].frame.(*spdy.DataFrame); ok && tr.steps[i].from == from {
			n += len(d.Data)
		}
	}
	return n
}
