package main

import (
	"encoding/hex"
	"encoding/json"
	"io"

	"github.com/amahi/spdy"
)

// The objects that dump -json prints. They have the keys of "decoded" in
// testdata/vectors.json, and "error" in addition if the headers break a rule.
type (
	jsonData struct {
		Type     string          `json:"type"`
		StreamID uint32          `json:"stream_id"`
		Flags    spdy.FrameFlags `json:"flags"`
		Length   int             `json:"length"`
		DataHex  string          `json:"data_hex"`
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
		BlockHex string      `json:"header_block_hex"`
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
		DataHex string `json:"data_hex"`
	}
)

// A jsonPrinter prints an object for each frame.
type jsonPrinter struct {
	enc     *json.Encoder
	version spdy.Version
}

func newJSONPrinter(w io.Writer, v spdy.Version) *jsonPrinter {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &jsonPrinter{enc, v}
}

func (p *jsonPrinter) frame(raw spdy.RawFrame, f spdy.Frame, err error) error {
	return p.enc.Encode(p.object(raw, f, err))
}

// object makes the object of a frame. f is nil, and err set, only for frames whose
// headers break a rule.
func (p *jsonPrinter) object(raw spdy.RawFrame, f spdy.Frame, err error) any {
	control := jsonControl{raw.Type.String(), raw.Type, raw.Version, raw.Flags, raw.Length}
	switch f := f.(type) {
	case *spdy.DataFrame:
		return jsonData{raw.Type.String(), f.StreamID, raw.Flags, raw.Length, hex.EncodeToString(f.Data)}
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
		return jsonUnknown{control, hex.EncodeToString(f.Data)}
	}
	return p.withHeaders(control, raw, f, err)
}

func (p *jsonPrinter) withHeaders(control jsonControl, raw spdy.RawFrame, f spdy.Frame, err error) any {
	block := jsonBlock{Headers: [][2]string{}, BlockHex: hex.EncodeToString(raw.Block)}
	for _, h := range fieldsOf(p.version, raw, f) {
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
