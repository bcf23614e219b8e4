package spdy

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// A vector is one frame of testdata/vectors.json, made by an implementation
// that is not this one (SPEC §9).
type vector struct {
	Name      string
	Version   string
	SessionID string `json:"session_id"`
	FrameHex  string `json:"frame_hex"`
	Decoded   struct {
		Type             string
		TypeCode         FrameType `json:"type_code"`
		WireVersion      uint16    `json:"wire_version"`
		Flags            FrameFlags
		Length           int
		StreamID         uint32 `json:"stream_id"`
		Associated       uint32 `json:"associated_stream_id"`
		Priority         uint8
		Slot             uint16
		Headers          [][2]string
		HeaderBlockHex   string    `json:"header_block_hex"`
		Status           uint32    `json:"status_code"`
		Entries          []Setting // the JSON keys are the fields' names
		PingID           uint32    `json:"ping_id"`
		LastGoodStreamID uint32    `json:"last_good_stream_id"`
		Delta            uint32
		ProofHex         string   `json:"proof_hex"`
		CertificatesHex  []string `json:"certificates_hex"`
		DataHex          string   `json:"data_hex"`
	}
}

func (vec *vector) version(t testing.TB) Version {
	t.Helper()
	for _, v := range allVersions {
		if v.String() == "spdy/"+vec.Version {
			return v
		}
	}
	t.Fatalf("%s: version %q", vec.Name, vec.Version)
	return 0
}

func (vec *vector) headers() HeaderBlock {
	h := HeaderBlock{}
	for _, pair := range vec.Decoded.Headers {
		h = append(h, HeaderField{pair[0], pair[1]})
	}
	return h
}

// frame returns what the vector has to be read as, without its header block.
func (vec *vector) frame(t testing.TB) Frame {
	t.Helper()
	d := &vec.Decoded
	switch d.Type {
	case "DATA":
		return &DataFrame{StreamID: d.StreamID, Flags: d.Flags, Data: unhexOrNil(t, d.DataHex)}
	case "SYN_STREAM":
		return &SynStreamFrame{StreamID: d.StreamID, AssociatedStreamID: d.Associated, Priority: d.Priority, Slot: uint8(d.Slot), Flags: d.Flags, Headers: vec.headers()}
	case "SYN_REPLY":
		return &SynReplyFrame{StreamID: d.StreamID, Flags: d.Flags, Headers: vec.headers()}
	case "HEADERS":
		return &HeadersFrame{StreamID: d.StreamID, Flags: d.Flags, Headers: vec.headers()}
	case "RST_STREAM":
		return &RstStreamFrame{StreamID: d.StreamID, Status: RstStatus(d.Status), Flags: d.Flags}
	case "SETTINGS":
		f := &SettingsFrame{Flags: d.Flags}
		f.Entries = append(f.Entries, d.Entries...) // nil if there are none
		return f
	case "NOOP":
		return &NoopFrame{Flags: d.Flags}
	case "PING":
		return &PingFrame{ID: d.PingID, Flags: d.Flags}
	case "GOAWAY":
		return &GoAwayFrame{LastGoodStreamID: d.LastGoodStreamID, Status: GoAwayStatus(d.Status), Flags: d.Flags}
	case "WINDOW_UPDATE":
		return &WindowUpdateFrame{StreamID: d.StreamID, Delta: d.Delta, Flags: d.Flags}
	case "CREDENTIAL":
		f := &CredentialFrame{Slot: d.Slot, Flags: d.Flags, Proof: unhex(t, d.ProofHex)}
		for _, cert := range d.CertificatesHex {
			f.Certificates = append(f.Certificates, unhex(t, cert))
		}
		return f
	}
	t.Fatalf("%s: type %q", vec.Name, d.Type)
	return nil
}

func unhexOrNil(t testing.TB, s string) []byte {
	if s == "" {
		return nil
	}
	return unhex(t, s)
}

// A vectorSession is the vectors that share one compression context.
type vectorSession struct {
	id      string
	version Version
	vectors []vector
	wire    []byte // all frames
}

func loadVectors(t testing.TB) []*vectorSession {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	var all []vector
	require.NoError(t, json.Unmarshal(text, &all))
	var sessions []*vectorSession
	byID := map[string]*vectorSession{}
	for _, vec := range all {
		s := byID[vec.SessionID]
		if s == nil {
			s = &vectorSession{id: vec.SessionID, version: vec.version(t)}
			byID[s.id] = s
			sessions = append(sessions, s)
		}
		require.Equal(t, s.version, vec.version(t))
		s.vectors = append(s.vectors, vec)
		s.wire = append(s.wire, unhex(t, vec.FrameHex)...)
	}
	require.Len(t, all, 183)
	require.Len(t, sessions, 15)
	return sessions
}

// blockOf returns where the headers and the compressed block of a frame are kept.
func blockOf(f Frame) (headers *HeaderBlock, block *[]byte) {
	switch f := f.(type) {
	case *SynStreamFrame:
		return &f.Headers, &f.Block
	case *SynReplyFrame:
		return &f.Headers, &f.Block
	case *HeadersFrame:
		return &f.Headers, &f.Block
	}
	return nil, nil
}

// TestVectors reads every session of the vectors, whole and byte by byte, and
// writes it again: with the compressed blocks as they came it has to come out
// byte for byte, and with new ones it has to be read as the same frames.
func TestVectors(t *testing.T) {
	for _, s := range loadVectors(t) {
		t.Run(s.id, func(t *testing.T) {
			testVectors(t, s, bytes.NewReader(s.wire))
		})
		t.Run(s.id+"/bytewise", func(t *testing.T) {
			testVectors(t, s, iotest.OneByteReader(bytes.NewReader(s.wire)))
		})
	}
}

func testVectors(t *testing.T, s *vectorSession, r io.Reader) {
	var rewritten, recompressed bytes.Buffer
	in := NewFramer(&rewritten, r, s.version)
	in.KeepBlocks = true
	again := NewFramer(&recompressed, &recompressed, s.version)
	again.Compression = CompressFull
	for i := range s.vectors {
		vec := &s.vectors[i]
		got, err := in.ReadFrame()
		require.NoError(t, err, vec.Name)
		require.Equal(t, vec.Decoded.TypeCode, got.FrameType(), vec.Name)

		rewritten.Reset()
		require.NoError(t, in.WriteFrame(got), vec.Name)
		require.Equal(t, vec.FrameHex, hex.EncodeToString(rewritten.Bytes()), vec.Name)
		require.Equal(t, vec.Decoded.Length, rewritten.Len()-frameHeaderSize, vec.Name)

		if headers, block := blockOf(got); block != nil {
			require.NotEmpty(t, *block, vec.Name)
			*block = nil
			nv, err := appendNameValue(nil, s.version, *headers)
			require.NoError(t, err, vec.Name)
			require.Equal(t, vec.Decoded.HeaderBlockHex, hex.EncodeToString(nv), vec.Name)
		}
		require.Equal(t, vec.frame(t), got, vec.Name)

		require.NoError(t, again.WriteFrame(got), vec.Name)
		reread, err := again.ReadFrame()
		require.NoError(t, err, vec.Name)
		require.Equal(t, got, reread, vec.Name)
	}
	_, err := in.ReadFrame()
	require.Equal(t, io.EOF, err)
	require.Zero(t, recompressed.Len(), "all that was written has been read")
}

// TestVectorsTruncated cuts every session at every byte: the input ends cleanly
// between two frames only.
func TestVectorsTruncated(t *testing.T) {
	for _, s := range loadVectors(t) {
		boundary := map[int]bool{0: true}
		at := 0
		for i := range s.vectors {
			at += len(s.vectors[i].FrameHex) / 2
			boundary[at] = true
		}
		step := 1 + len(s.wire)/2000 // the large DATA frames need not be cut at each byte
		for n := 0; n < len(s.wire); n++ {
			if !boundary[n] && n%step != 0 {
				continue
			}
			f := NewFramer(nil, bytes.NewReader(s.wire[:n]), s.version)
			var err error
			for err == nil {
				_, err = f.ReadFrame()
			}
			want := io.ErrUnexpectedEOF
			if boundary[n] {
				want = io.EOF
			}
			require.Equal(t, want, err, "%s cut at %d", s.id, n)
		}
	}
}
