package spdy

import (
	"encoding/binary"
	"fmt"
)

// A Frame is a frame that a Framer reads and writes: *DataFrame, *SynStreamFrame, *SynReplyFrame,
// *RstStreamFrame, *SettingsFrame, *NoopFrame, *PingFrame, *GoAwayFrame, *HeadersFrame,
// *WindowUpdateFrame, *CredentialFrame or *UnknownFrame.
//
// Flags holds all flags that were set, also undefined flags. Reserved bits are not kept.
type Frame interface {
	// FrameType returns the type of the frame, FrameData for DATA.
	FrameType() FrameType

	// appendTo appends the frame as written by f.
	appendTo(dst []byte, f *Framer) ([]byte, error)
}

// A DataFrame carries bytes of a stream (SPDY/3.1 §2.2.2).
type DataFrame struct {
	StreamID uint32     // stream of the bytes
	Flags    FrameFlags // FlagFin or 0
	Data     []byte     // the payload, which may be empty
}

// A SynStreamFrame opens a stream (SPDY/3.1 §2.6.1).
type SynStreamFrame struct {
	StreamID           uint32      // odd if the client opens the stream; larger than the id of every earlier stream of the same side
	AssociatedStreamID uint32      // parent of a pushed stream, or 0
	Priority           uint8       // 0 is the most urgent; up to 3 in SPDY/2, up to 7 otherwise
	Slot               uint8       // SPDY/3 only: index into the client's certificates, or 0
	Flags              FrameFlags  // FlagFin, FlagUnidirectional, both or 0
	Headers            HeaderBlock // headers of the request, or of the pushed response
	Block              []byte      // compressed header block, written instead of Headers if not nil; see Framer.KeepBlocks
}

// A SynReplyFrame accepts a stream (SPDY/3.1 §2.6.2).
type SynReplyFrame struct {
	StreamID uint32      // the accepted stream
	Flags    FrameFlags  // FlagFin or 0
	Headers  HeaderBlock // headers of the response
	Block    []byte      // compressed header block, written instead of Headers if not nil; see Framer.KeepBlocks
}

// A HeadersFrame carries more headers of a stream (SPDY/3.1 §2.6.7).
type HeadersFrame struct {
	StreamID uint32      // stream of the headers
	Flags    FrameFlags  // FlagFin or 0
	Headers  HeaderBlock // usually trailers
	Block    []byte      // compressed header block, written instead of Headers if not nil; see Framer.KeepBlocks
}

// A RstStreamFrame ends a stream abnormally (SPDY/3.1 §2.6.3).
type RstStreamFrame struct {
	StreamID uint32     // the stream to end
	Status   RstStatus  // reason
	Flags    FrameFlags // none is defined
}

// A SettingsFrame sends limits and measurements to the peer (SPDY/3.1 §2.6.4). Entries are written
// in the given order; send them with ascending ids (SPEC T4).
type SettingsFrame struct {
	Flags   FrameFlags // FlagClearSettings or 0
	Entries []Setting  // in wire order
}

// A NoopFrame does nothing (SPDY/2). In other dialects a NOOP is read as an UnknownFrame.
type NoopFrame struct {
	Flags FrameFlags // none is defined
}

// A PingFrame is a request or the echo of a request (SPDY/3.1 §2.6.5). The receiver echoes the
// frame if the parity of ID belongs to the sender.
type PingFrame struct {
	ID    uint32     // odd in requests of the client, even in requests of the server
	Flags FrameFlags // none is defined
}

// A GoAwayFrame announces the end of the session (SPDY/3.1 §2.6.6). In SPDY/2, Status is not on the
// wire.
type GoAwayFrame struct {
	LastGoodStreamID uint32       // the last stream of the peer that the frame's sender has processed; 0 if none
	Status           GoAwayStatus // reason for the end of the session
	Flags            FrameFlags   // none is defined
}

// A WindowUpdateFrame lets the peer send Delta more bytes on a stream, or in the session if
// StreamID is 0 (SPDY/3.1 §2.6.8). In SPDY/2 the frame is read as an UnknownFrame.
type WindowUpdateFrame struct {
	StreamID uint32     // stream whose window grows; 0 for the session window, in SPDY/3.1
	Delta    uint32     // increment in bytes; 1 to 2^31-1
	Flags    FrameFlags // none is defined
}

// A CredentialFrame carries a client certificate for an origin (SPDY/3 §2.6.9). In other dialects
// the frame is read as an UnknownFrame.
type CredentialFrame struct {
	Slot         uint16     // index in the server's credential vector
	Flags        FrameFlags // none is defined
	Proof        []byte     // proof that the client has the private key of the certificate
	Certificates [][]byte   // DER, leaf first
}

// An UnknownFrame is a control frame with a type or version unknown to the dialect. Receivers skip
// the frame (SPEC F4, F5, F7).
type UnknownFrame struct {
	Version uint16     // as on the wire
	Type    FrameType  // as on the wire
	Flags   FrameFlags // as on the wire
	Data    []byte     // the whole payload
}

// FrameType returns FrameData.
func (*DataFrame) FrameType() FrameType { return FrameData }

// FrameType returns FrameSynStream.
func (*SynStreamFrame) FrameType() FrameType { return FrameSynStream }

// FrameType returns FrameSynReply.
func (*SynReplyFrame) FrameType() FrameType { return FrameSynReply }

// FrameType returns FrameHeaders.
func (*HeadersFrame) FrameType() FrameType { return FrameHeaders }

// FrameType returns FrameRstStream.
func (*RstStreamFrame) FrameType() FrameType { return FrameRstStream }

// FrameType returns FrameSettings.
func (*SettingsFrame) FrameType() FrameType { return FrameSettings }

// FrameType returns FrameNoop.
func (*NoopFrame) FrameType() FrameType { return FrameNoop }

// FrameType returns FramePing.
func (*PingFrame) FrameType() FrameType { return FramePing }

// FrameType returns FrameGoAway.
func (*GoAwayFrame) FrameType() FrameType { return FrameGoAway }

// FrameType returns FrameWindowUpdate.
func (*WindowUpdateFrame) FrameType() FrameType { return FrameWindowUpdate }

// FrameType returns FrameCredential.
func (*CredentialFrame) FrameType() FrameType { return FrameCredential }

// FrameType returns the Type field.
func (u *UnknownFrame) FrameType() FrameType { return u.Type }

func (d *DataFrame) appendTo(dst []byte, _ *Framer) ([]byte, error) {
	if err := fits(FrameData, d.StreamID, maxStreamID, len(d.Data)); err != nil {
		return nil, err
	}
	return append(appendDataHeader(dst, d.StreamID, d.Flags, len(d.Data)), d.Data...), nil
}

func (s *SynStreamFrame) appendTo(dst []byte, f *Framer) ([]byte, error) {
	if err := fits(FrameSynStream, max(s.StreamID, s.AssociatedStreamID), maxStreamID, 0); err != nil {
		return nil, err
	}
	if s.Priority > maxPriority(f.version) {
		return nil, fmt.Errorf("spdy: SYN_STREAM: %v has no priority %d", f.version, s.Priority)
	}
	start := len(dst)
	dst = appendSynStreamHeader(dst, f.version, synStream{
		id:       s.StreamID,
		assoc:    s.AssociatedStreamID,
		priority: s.Priority,
		slot:     s.Slot,
		flags:    s.Flags,
	})
	return f.appendBlock(dst, start, s.Headers, s.Block)
}

func (s *SynReplyFrame) appendTo(dst []byte, f *Framer) ([]byte, error) {
	if err := fits(FrameSynReply, s.StreamID, maxStreamID, 0); err != nil {
		return nil, err
	}
	start := len(dst)
	dst = appendSynReplyHeader(dst, f.version, s.StreamID, s.Flags)
	return f.appendBlock(dst, start, s.Headers, s.Block)
}

func (h *HeadersFrame) appendTo(dst []byte, f *Framer) ([]byte, error) {
	if err := fits(FrameHeaders, h.StreamID, maxStreamID, 0); err != nil {
		return nil, err
	}
	start := len(dst)
	dst = appendHeadersHeader(dst, f.version, h.StreamID, h.Flags)
	return f.appendBlock(dst, start, h.Headers, h.Block)
}

// appendTo writes the status unchanged, even if SPDY/2 lacks the status.
func (r *RstStreamFrame) appendTo(dst []byte, f *Framer) ([]byte, error) {
	if err := fits(FrameRstStream, r.StreamID, maxStreamID, 0); err != nil {
		return nil, err
	}
	start := len(dst)
	dst = appendRstStream(dst, f.version, r.StreamID, r.Status)
	binary.BigEndian.PutUint32(dst[len(dst)-4:], uint32(r.Status))
	return withFlags(dst, start, r.Flags), nil
}

func (s *SettingsFrame) appendTo(dst []byte, f *Framer) ([]byte, error) {
	if len(s.Entries) > maxSettingEntries {
		return nil, fmt.Errorf("spdy: SETTINGS with %d entries", len(s.Entries))
	}
	for _, e := range s.Entries {
		if e.ID > maxSettingID {
			return nil, fmt.Errorf("spdy: SETTINGS: id %d does not fit 24 bits", e.ID)
		}
	}
	return appendSettingsAsGiven(dst, f.version, s.Flags, s.Entries), nil
}

func (n *NoopFrame) appendTo(dst []byte, f *Framer) ([]byte, error) {
	return withFlags(appendNoop(dst, f.version), len(dst), n.Flags), nil
}

func (p *PingFrame) appendTo(dst []byte, f *Framer) ([]byte, error) {
	return withFlags(appendPing(dst, f.version, p.ID), len(dst), p.Flags), nil
}

func (g *GoAwayFrame) appendTo(dst []byte, f *Framer) ([]byte, error) {
	if err := fits(FrameGoAway, g.LastGoodStreamID, maxStreamID, 0); err != nil {
		return nil, err
	}
	return withFlags(appendGoAway(dst, f.version, g.LastGoodStreamID, g.Status), len(dst), g.Flags), nil
}

func (w *WindowUpdateFrame) appendTo(dst []byte, f *Framer) ([]byte, error) {
	// The delta has as many bits as a stream id.
	if err := fits(FrameWindowUpdate, max(w.StreamID, w.Delta), maxStreamID, 0); err != nil {
		return nil, err
	}
	return withFlags(appendWindowUpdate(dst, f.version, w.StreamID, w.Delta), len(dst), w.Flags), nil
}

func (c *CredentialFrame) appendTo(dst []byte, f *Framer) ([]byte, error) {
	n := credentialFixed + len(c.Proof)
	for _, cert := range c.Certificates {
		n += 4 + len(cert)
	}
	if err := fits(FrameCredential, 0, 0, n); err != nil {
		return nil, err
	}
	dst = appendControlHeader(dst, f.version, FrameCredential, c.Flags, n)
	dst = binary.BigEndian.AppendUint16(dst, c.Slot)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(c.Proof)))
	dst = append(dst, c.Proof...)
	for _, cert := range c.Certificates {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(cert)))
		dst = append(dst, cert...)
	}
	return dst, nil
}

func (u *UnknownFrame) appendTo(dst []byte, _ *Framer) ([]byte, error) {
	const maxVersion = 1<<15 - 1
	if err := fits(u.Type, uint32(u.Version), maxVersion, len(u.Data)); err != nil {
		return nil, err
	}
	dst = appendHeader(dst, 1<<31|uint32(u.Version)<<16|uint32(u.Type), u.Flags, len(u.Data))
	return append(dst, u.Data...), nil
}

// fits checks a value against the maximum of the field, and n against the maximum payload.
func fits(typ FrameType, value, most uint32, n int) error {
	if value > most {
		return fmt.Errorf("spdy: %v: value %#x is over %#x", typ, value, most)
	}
	if n > MAX_DATA_PAYLOAD {
		return fmt.Errorf("spdy: %v with a payload of %d bytes", typ, n)
	}
	return nil
}

// withFlags sets the flags of the frame that starts at start.
func withFlags(dst []byte, start int, flags frameFlags) []byte {
	dst[start+4] = byte(flags)
	return dst
}

// decodeCredential parses a CREDENTIAL frame (SPEC §1.11, C1).
func decodeCredential(h frameHeader, p []byte) (Frame, error) {
	if len(p) < credentialFixed {
		return nil, frameSizeError(h, len(p))
	}
	c := &CredentialFrame{Slot: binary.BigEndian.Uint16(p), Flags: h.flags}
	if c.Slot == 0 {
		return nil, sessionErrorf(GoAwayProtocolError, "CREDENTIAL for slot 0")
	}
	var ok bool
	if c.Proof, p, ok = cutBytes(p[2:]); !ok {
		return nil, sessionErrorf(GoAwayProtocolError, "CREDENTIAL: the proof goes past the end")
	}
	for len(p) > 0 {
		var cert []byte
		if cert, p, ok = cutBytes(p); !ok {
			return nil, sessionErrorf(GoAwayProtocolError, "CREDENTIAL: a certificate goes past the end")
		}
		c.Certificates = append(c.Certificates, cert)
	}
	return c, nil
}

// cutBytes splits p after a byte string that a 32-bit length precedes.
func cutBytes(p []byte) (b, rest []byte, ok bool) {
	if len(p) < 4 {
		return nil, p, false
	}
	n := uint64(binary.BigEndian.Uint32(p))
	if n > uint64(len(p)-4) {
		return nil, p, false
	}
	return p[4 : 4+n : 4+n], p[4+n:], true
}
