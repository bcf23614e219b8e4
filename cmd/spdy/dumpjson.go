package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/shown"
)

// The objects that dump -json prints. They have the keys of "decoded" in testdata/vectors.json, and
// "error" in addition if the headers break a rule.
type (
	jsonData struct {
		Type     string          `json:"type"`
		StreamID uint32          `json:"stream_id"`
		Flags    spdy.FrameFlags `json:"flags"`
		Length   int             `json:"length"`
		DataHex  *string         `json:"data_hex,omitempty"` // with -secrets
	}
	jsonControl struct {
		Type        string          `json:"type"`
		TypeCode    spdy.FrameType  `json:"type_code"`
		WireVersion uint16          `json:"wire_version"`
		Flags       spdy.FrameFlags `json:"flags"`
		Length      int             `json:"length"`
	}
	jsonSynStream struct {
		jsonControl
		StreamID   uint32 `json:"stream_id"`
		Associated uint32 `json:"associated_stream_id"`
		Priority   uint8  `json:"priority"`
		Slot       *uint8 `json:"slot,omitempty"` // not in SPDY/2
		Unused     uint16 `json:"unused_bits"`
		jsonBlock
	}
	jsonReply struct { // SYN_REPLY and HEADERS
		jsonControl
		StreamID uint32  `json:"stream_id"`
		Unused   *uint16 `json:"unused_bits,omitempty"` // SPDY/2 only
		jsonBlock
	}
	jsonBlock struct {
		Headers  [][2]string `json:"headers"`
		LeftOut  int         `json:"headers_left_out,omitempty"` // never with -secrets
		BlockHex *string     `json:"header_block_hex,omitempty"` // with -secrets
		Error    string      `json:"error,omitempty"`
	}
	jsonRstStream struct {
		jsonControl
		StreamID uint32         `json:"stream_id"`
		Status   spdy.RstStatus `json:"status_code"`
	}
	jsonSettings struct {
		jsonControl
		Entries []jsonSetting `json:"entries"`
	}
	jsonSetting struct {
		ID    spdy.SettingID `json:"id"`
		Flags uint8          `json:"flags"`
		Value uint32         `json:"value"`
	}
	jsonPing struct {
		jsonControl
		ID uint32 `json:"ping_id"`
	}
	jsonGoAway struct {
		jsonControl
		LastGood uint32             `json:"last_good_stream_id"`
		Status   *spdy.GoAwayStatus `json:"status_code,omitempty"` // not in SPDY/2
	}
	jsonWindowUpdate struct {
		jsonControl
		StreamID uint32 `json:"stream_id"`
		Delta    uint32 `json:"delta"`
	}
	jsonCredential struct {
		jsonControl
		Slot         uint16   `json:"slot"`
		Proof        string   `json:"proof_hex"`
		Certificates []string `json:"certificates_hex"`
	}
	jsonUnknown struct {
		jsonControl
		DataHex *string `json:"data_hex,omitempty"` // with -secrets
	}
)

// A jsonPrinter prints an object for each frame.
type jsonPrinter struct {
	w       io.Writer
	enc     *json.Encoder // writes to line
	line    bytes.Buffer
	version spdy.Version
	secrets bool
}

func newJSONPrinter(w io.Writer, v spdy.Version, secrets bool) *jsonPrinter {
	p := &jsonPrinter{w: w, version: v, secrets: secrets}
	p.enc = json.NewEncoder(&p.line)
	p.enc.SetEscapeHTML(false)
	return p
}

func (p *jsonPrinter) frame(raw spdy.RawFrame, f spdy.Frame, err error) error {
	p.line.Reset()
	if err := p.enc.Encode(p.object(raw, f, err)); err != nil {
		return err
	}
	_, werr := p.w.Write(shown.AppendJSON(nil, p.line.Bytes()))
	return werr
}

// secret returns data in hexadecimal digits, or nil unless secrets are shown.
func (p *jsonPrinter) secret(data []byte) *string {
	if !p.secrets {
		return nil
	}
	digits := hex.EncodeToString(data)
	return &digits
}

// object makes the object of a frame. Only for frames whose headers break a rule f is nil and err
// set.
func (p *jsonPrinter) object(raw spdy.RawFrame, f spdy.Frame, err error) any {
	control := jsonControl{raw.Type.String(), raw.Type, raw.Version, raw.Flags, raw.Length}
	switch f := f.(type) {
	case *spdy.DataFrame:
		return jsonData{raw.Type.String(), f.StreamID, raw.Flags, raw.Length, p.secret(f.Data)}
	case *spdy.RstStreamFrame:
		return jsonRstStream{control, f.StreamID, f.Status}
	case *spdy.SettingsFrame:
		s := jsonSettings{control, []jsonSetting{}}
		for _, e := range f.Entries {
			s.Entries = append(s.Entries, jsonSetting(e))
		}
		return s
	case *spdy.NoopFrame:
		return control
	case *spdy.PingFrame:
		return jsonPing{control, f.ID}
	case *spdy.GoAwayFrame:
		g := jsonGoAway{control, f.LastGoodStreamID, nil}
		if p.version != spdy.SPDY2 {
			g.Status = &f.Status
		}
		return g
	case *spdy.WindowUpdateFrame:
		return jsonWindowUpdate{control, f.StreamID, f.Delta}
	case *spdy.CredentialFrame:
		c := jsonCredential{control, f.Slot, hex.EncodeToString(f.Proof), []string{}}
		for _, cert := range f.Certificates {
			c.Certificates = append(c.Certificates, hex.EncodeToString(cert))
		}
		return c
	case *spdy.UnknownFrame:
		control.Type = "UNKNOWN"
		return jsonUnknown{control, p.secret(f.Data)}
	}
	return p.withHeaders(control, raw, f, err)
}

func (p *jsonPrinter) withHeaders(control jsonControl, raw spdy.RawFrame, f spdy.Frame, err error) any {
	block := jsonBlock{Headers: [][2]string{}, BlockHex: p.secret(raw.Block)}
	left := longestFrame
	fields := fieldsOf(p.version, raw, f)
	for i, h := range fields {
		if !p.secrets {
			h.Name, h.Value = shown.Cut(h.Name, longestValue), shown.Cut(shown.Redact(h.Name, h.Value), longestValue)
			if left -= len(h.Name) + len(h.Value); left < 0 {
				block.LeftOut = len(fields) - i
				break
			}
		}
		block.Headers = append(block.Headers, [2]string{h.Name, h.Value})
	}
	if err != nil {
		block.Error = faultText(raw, err)
	}
	fixed := fixedOf(p.version, raw)
	if raw.Type == spdy.FrameSynStream {
		s := jsonSynStream{
			jsonControl: control, StreamID: fixed.stream, Associated: fixed.associated,
			Priority: fixed.priority, Unused: fixed.unused, jsonBlock: block,
		}
		if fixed.hasSlot {
			s.Slot = &fixed.slot
		}
		return s
	}
	r := jsonReply{jsonControl: control, StreamID: fixed.stream, jsonBlock: block}
	if fixed.hasUnused {
		r.Unused = &fixed.unused
	}
	return r
}
