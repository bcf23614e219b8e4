package spdy

import (
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var allVersions = []Version{SPDY2, SPDY3, SPDY31}

// unhex decodes hex digits, in which blanks may stand.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// splitFrame returns the header and the payload of the one frame in b.
func splitFrame(t testing.TB, b []byte) (frameHeader, []byte) {
	t.Helper()
	require.GreaterOrEqual(t, len(b), frameHeaderSize)
	h := parseFrameHeader(b)
	require.Len(t, b[frameHeaderSize:], h.length)
	return h, b[frameHeaderSize:]
}

func TestFrameBytes(t *testing.T) {
	settings := []Setting{{ID: SettingMaxConcurrentStreams, Flags: FlagPersistValue, Value: 100}}
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"data", appendDataHeader(nil, 5, FlagFin, 0x010203), "00000005 01010203"},
		{"data, id of 32 bits", appendDataHeader(nil, math.MaxUint32, 0, MAX_DATA_PAYLOAD), "7fffffff 00ffffff"},
		{"rst/3", appendRstStream(nil, SPDY31, 7, RstCancel), "80030003 00000008 00000007 00000005"},
		{"rst/3 of SPDY/3", appendRstStream(nil, SPDY3, 7, RstFrameTooLarge), "80030003 00000008 00000007 0000000b"},
		{"rst/2", appendRstStream(nil, SPDY2, 7, RstFlowControlError), "80020003 00000008 00000007 00000007"},
		{"rst/2 of SPDY/3", appendRstStream(nil, SPDY2, 7, RstStreamInUse), "80020003 00000008 00000007 00000001"},
		{"rst, id of 32 bits", appendRstStream(nil, SPDY3, math.MaxUint32, 1), "80030003 00000008 7fffffff 00000001"},
		{"settings/2", appendSettings(nil, SPDY2, 0, settings), "80020004 0000000c 00000001 04000001 00000064"},
		{"settings/3", appendSettings(nil, SPDY3, FlagClearSettings, settings), "80030004 0100000c 00000001 01000004 00000064"},
		{"settings, none", appendSettings(nil, SPDY31, 0, nil), "80030004 00000004 00000000"},
		{"settings/2, id of 24 bits", appendSettings(nil, SPDY2, 0, []Setting{{0xff010203, 0, 1}}), "80020004 0000000c 00000001 03020100 00000001"},
		{"settings/3, id of 24 bits", appendSettings(nil, SPDY3, 0, []Setting{{0xff010203, 0, 1}}), "80030004 0000000c 00000001 00010203 00000001"},
		{"noop", appendNoop(nil, SPDY2), "80020005 00000000"},
		{"ping", appendPing(nil, SPDY31, 0xfffffffe), "80030006 00000004 fffffffe"},
		{"goaway/2", appendGoAway(nil, SPDY2, 3, GoAwayProtocolError), "80020007 00000004 00000003"},
		{"goaway/3", appendGoAway(nil, SPDY3, 3, GoAwayInternalError), "80030007 00000008 00000003 00000002"},
		{"goaway, id of 32 bits", appendGoAway(nil, SPDY31, math.MaxUint32, 0), "80030007 00000008 7fffffff 00000000"},
		{"window update", appendWindowUpdate(nil, SPDY31, 0, 0x10000), "80030009 00000008 00000000 00010000"},
		{"window update, 32 bits", appendWindowUpdate(nil, SPDY3, math.MaxUint32, math.MaxUint32), "80030009 00000008 7fffffff 7fffffff"},
		{"syn_stream/2", appendSynStreamHeader(nil, SPDY2, synStream{id: 1, assoc: 2, priority: 2, slot: 9, flags: FlagFin}), "80020001 01000000 00000001 00000002 8000"},
		{"syn_stream/3", appendSynStreamHeader(nil, SPDY3, synStream{id: 1, priority: 5, slot: 9}), "80030001 00000000 00000001 00000000 a009"},
		{"syn_stream/3.1", appendSynStreamHeader(nil, SPDY31, synStream{id: 2, assoc: 1, priority: 7, slot: 9, flags: FlagUnidirectional}), "80030001 02000000 00000002 00000001 e000"},
		{"syn_stream, ids of 32 bits", appendSynStreamHeader(nil, SPDY31, synStream{id: math.MaxUint32, assoc: math.MaxUint32}), "80030001 00000000 7fffffff 7fffffff 0000"},
		{"syn_stream/2, priority 7", appendSynStreamHeader(nil, SPDY2, synStream{id: 1, priority: 7}), "80020001 00000000 00000001 00000000 c000"},
		{"syn_stream/3, priority 9", appendSynStreamHeader(nil, SPDY3, synStream{id: 1, priority: 9}), "80030001 00000000 00000001 00000000 e000"},
		{"syn_reply/2", appendSynReplyHeader(nil, SPDY2, 1, FlagFin), "80020002 01000000 00000001 0000"},
		{"syn_reply/3", appendSynReplyHeader(nil, SPDY31, 0x80000001, 0), "80030002 00000000 00000001"},
		{"headers/2", appendHeadersHeader(nil, SPDY2, 1, 0), "80020008 00000000 00000001 0000"},
		{"headers/3", appendHeadersHeader(nil, SPDY3, 1, FlagFin), "80030008 01000000 00000001"},
	} {
		assert.Equal(t, hex.EncodeToString(unhex(t, tt.want)), hex.EncodeToString(tt.got), tt.name)
	}
}

// TestAppendKeepsPrefix shows that encoders append: what is in the slice stays.
func TestAppendKeepsPrefix(t *testing.T) {
	for _, v := range allVersions {
		b := []byte("before")
		b = appendPing(b, v, 1)
		b = appendSettings(b, v, 0, []Setting{{ID: 7}, {ID: 4}})
		require.Equal(t, "before", string(b[:6]))
		require.Equal(t, appendPing(nil, v, 1), b[6:18])
		require.Equal(t, appendSettings(nil, v, 0, []Setting{{ID: 4}, {ID: 7}}), b[18:])
	}
}

func TestFrameHeader(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want frameHeader
	}{
		{"00000000 00000000", frameHeader{}},
		{"7fffffff ffffffff", frameHeader{streamID: maxStreamID, flags: 0xff, length: MAX_DATA_PAYLOAD}},
		{"80030001 01000100", frameHeader{control: true, version: 3, typ: FrameSynStream, flags: FlagFin, length: 256}},
		{"ffffffff 00010000", frameHeader{control: true, version: 0x7fff, typ: 0xffff, length: 65536}},
	} {
		assert.Equal(t, tt.want, parseFrameHeader(unhex(t, tt.in)), tt.in)
	}
	assert.Panics(t, func() { parseFrameHeader(make([]byte, 7)) })
}

func TestFrameRoundTrip(t *testing.T) {
	for _, v := range allVersions {
		t.Run(v.String(), func(t *testing.T) {
			roundTripHeaderFrames(t, v)
			roundTripPlainFrames(t, v)
		})
	}
}

func roundTripHeaderFrames(t *testing.T, v Version) {
	block := []byte("compressed")
	want := synStream{id: maxStreamID, assoc: 3, priority: maxPriority(v), flags: FlagFin | FlagUnidirectional}
	if v == SPDY3 {
		want.slot = 255
	}
	b := append(appendSynStreamHeader(nil, v, want), block...)
	require.NoError(t, finishFrame(b))
	h, p := splitFrame(t, b)
	require.Equal(t, FrameSynStream, h.typ)
	require.Equal(t, v.wire(), h.version)
	f, rest, err := parseSynStream(v, h, p)
	require.NoError(t, err)
	require.Equal(t, want, f)
	require.Equal(t, block, rest)

	b = append(appendSynReplyHeader(nil, v, 5, FlagFin), block...)
	require.NoError(t, finishFrame(b))
	h, p = splitFrame(t, b)
	require.Equal(t, FrameSynReply, h.typ)
	require.Equal(t, FlagFin, h.flags)
	id, rest, err := parseSynReply(v, h, p)
	require.NoError(t, err)
	require.EqualValues(t, 5, id)
	require.Equal(t, block, rest)

	b = append(appendHeadersHeader(nil, v, 6, 0), block...)
	require.NoError(t, finishFrame(b))
	h, p = splitFrame(t, b)
	require.Equal(t, FrameHeaders, h.typ)
	id, rest, err = parseHeaders(v, h, p)
	require.NoError(t, err)
	require.EqualValues(t, 6, id)
	require.Equal(t, block, rest)
}

func roundTripPlainFrames(t *testing.T, v Version) {
	h, p := splitFrame(t, appendRstStream(nil, v, 9, RstRefusedStream))
	id, status, err := parseRstStream(h, p)
	require.NoError(t, err)
	require.EqualValues(t, 9, id)
	require.Equal(t, RstRefusedStream, status)

	h, p = splitFrame(t, appendPing(nil, v, math.MaxUint32))
	id, err = parsePing(h, p)
	require.NoError(t, err)
	require.EqualValues(t, uint32(math.MaxUint32), id)

	h, p = splitFrame(t, appendGoAway(nil, v, 11, GoAwayInternalError))
	id, goAway, err := parseGoAway(v, h, p)
	require.NoError(t, err)
	require.EqualValues(t, 11, id)
	if v == SPDY2 {
		require.Equal(t, GoAwayOK, goAway, "SPDY/2 has no status")
	} else {
		require.Equal(t, GoAwayInternalError, goAway)
	}

	h, p = splitFrame(t, appendWindowUpdate(nil, v, 3, 1<<31-1))
	id, delta, err := parseWindowUpdate(h, p)
	require.NoError(t, err)
	require.EqualValues(t, 3, id)
	require.EqualValues(t, 1<<31-1, delta)

	h, p = splitFrame(t, appendNoop(nil, v))
	require.NoError(t, parseNoop(h, p))
}

func TestSettingsOrder(t *testing.T) {
	given := []Setting{
		{ID: 7, Flags: 1, Value: 70}, {ID: 4, Value: 40}, {ID: 7, Value: 71},
		{ID: 0x10000, Flags: 2, Value: 1}, {ID: 0x100, Value: 2}, {ID: 4, Flags: 3, Value: 41}, {ID: 1, Value: 10},
	}
	asGiven := slices.Clone(given)
	want := []Setting{given[6], given[1], given[5], given[0], given[2], given[4], given[3]}
	for _, v := range allVersions {
		h, p := splitFrame(t, appendSettings([]byte{}, v, FlagClearSettings, given))
		require.Equal(t, want, settingsOf(t, v, h, p), "T4: ascending; T2: equal ids keep their order")
		require.Equal(t, asGiven, given, "the caller's slice is left alone")
		require.Equal(t, FlagClearSettings, h.flags)
		h, p = splitFrame(t, appendSettingsAsGiven(nil, v, 0, given))
		require.Equal(t, given, settingsOf(t, v, h, p))
	}
}

func settingsOf(t *testing.T, v Version, h frameHeader, p []byte) []Setting {
	t.Helper()
	n, err := settingsCount(h, p)
	require.NoError(t, err)
	var s []Setting
	for i := range n {
		s = append(s, settingAt(v, p, i))
	}
	return s
}

// TestReservedBits sets each bit that is to be ignored on receipt (SPEC F9, F10).
func TestReservedBits(t *testing.T) {
	ones := make([]byte, 18)
	for i := range ones {
		ones[i] = 0xff
	}
	for _, v := range allVersions {
		want := synStream{id: maxStreamID, assoc: maxStreamID, priority: maxPriority(v), flags: FlagFin | FlagUnidirectional}
		if v == SPDY3 {
			want.slot = 0xff
		}
		f, _, err := parseSynStream(v, frameHeader{flags: 0xff}, ones[:10])
		require.NoError(t, err)
		require.Equal(t, want, f)

		id, block, err := parseSynReply(v, frameHeader{}, ones[:8])
		require.NoError(t, err)
		require.EqualValues(t, maxStreamID, id)
		require.Len(t, block, 8-replyFixed(v))

		id, _, err = parseGoAway(v, frameHeader{}, ones[:goAwaySize(v)])
		require.NoError(t, err)
		require.EqualValues(t, maxStreamID, id)
	}
	id, status, err := parseRstStream(frameHeader{}, ones[:8])
	require.NoError(t, err)
	require.EqualValues(t, maxStreamID, id)
	require.EqualValues(t, uint32(math.MaxUint32), status, "the status has 32 bits")
	id, delta, err := parseWindowUpdate(frameHeader{}, ones[:8])
	require.NoError(t, err)
	require.EqualValues(t, maxStreamID, id)
	require.EqualValues(t, 1<<31-1, delta)
}

// TestFixedLengths tries every frame at each wrong length (SPEC F8).
func TestFixedLengths(t *testing.T) {
	for _, v := range allVersions {
		minimum := 4
		if v == SPDY2 {
			minimum = 6
		}
		goAway := 8
		if v == SPDY2 {
			goAway = 4
		}
		for n := range 24 {
			p := make([]byte, n)
			for i := range min(n, 4) {
				p[i] = 1 // a stream id that is not 0
			}
			check := func(name string, ok bool, err error) {
				t.Helper()
				if ok {
					assert.NoError(t, err, "%v %s of %d bytes", v, name, n)
					return
				}
				var se *SessionError
				if assert.ErrorAs(t, err, &se, "%v %s of %d bytes", v, name, n) {
					assert.Equal(t, GoAwayProtocolError, se.Status)
				}
			}
			_, _, err := parseSynStream(v, frameHeader{}, p)
			check("SYN_STREAM", n >= 10, err)
			_, _, err = parseSynReply(v, frameHeader{}, p)
			check("SYN_REPLY", n >= minimum, err)
			_, _, err = parseHeaders(v, frameHeader{}, p)
			check("HEADERS", n >= minimum, err)
			_, _, err = parseRstStream(frameHeader{}, p)
			check("RST_STREAM", n == 8, err)
			_, err = parsePing(frameHeader{}, p)
			check("PING", n == 4, err)
			_, _, err = parseGoAway(v, frameHeader{}, p)
			check("GOAWAY", n == goAway, err)
			_, _, err = parseWindowUpdate(frameHeader{}, p)
			check("WINDOW_UPDATE", n == 8, err)
			check("NOOP", n == 0, parseNoop(frameHeader{}, p))
			_, err = settingsCount(frameHeader{}, make([]byte, n))
			check("SETTINGS", n == 4, err)
		}
	}
}

// TestSettingsCount makes the declared number of entries disagree with the
// length, also where 4+8N wraps around in 32 bits (SPEC T18).
func TestSettingsCount(t *testing.T) {
	for _, tt := range []struct {
		payload string
		want    int // -1: refused
	}{
		{"00000000", 0},
		{"00000001 0000000000000000", 1},
		{"00000001", -1},
		{"00000000 0000000000000000", -1},
		{"00000002 0000000000000000", -1},
		{"00000001 00000000000000", -1},
		{"00000001 000000000000000000", -1},
		{"ffffffff 0000000000000000", -1},
		{"20000000", -1},
		{"20000001 0000000000000000", -1},
		{"80000000 0000000000000000", -1},
	} {
		n, err := settingsCount(frameHeader{}, unhex(t, tt.payload))
		if tt.want < 0 {
			var se *SessionError
			require.ErrorAs(t, err, &se, tt.payload)
			require.Equal(t, GoAwayProtocolError, se.Status)
			continue
		}
		require.NoError(t, err, tt.payload)
		require.Equal(t, tt.want, n, tt.payload)
	}
}

// TestStreamZero: stream 0 does not exist (SPEC F12), and WINDOW_UPDATE alone
// gives its id another meaning.
func TestStreamZero(t *testing.T) {
	p := make([]byte, 12)
	p[0] = 0x80 // a reserved bit does not make it another stream
	for _, v := range allVersions {
		_, _, synStreamErr := parseSynStream(v, frameHeader{}, p)
		_, _, synReplyErr := parseSynReply(v, frameHeader{}, p)
		_, _, headersErr := parseHeaders(v, frameHeader{}, p)
		_, _, rstErr := parseRstStream(frameHeader{}, p[:8])
		for _, err := range []error{synStreamErr, synReplyErr, headersErr, rstErr} {
			var se *SessionError
			require.ErrorAs(t, err, &se)
			require.Equal(t, GoAwayProtocolError, se.Status)
		}
	}
	id, _, err := parseWindowUpdate(frameHeader{}, p[:8])
	require.NoError(t, err)
	require.Zero(t, id)
}

func TestFrameTooLong(t *testing.T) {
	frame := appendHeadersHeader(make([]byte, 0, frameHeaderSize+MAX_DATA_PAYLOAD+1), SPDY3, 1, 0)
	frame = frame[:frameHeaderSize+MAX_DATA_PAYLOAD]
	require.NoError(t, finishFrame(frame))
	require.Equal(t, MAX_DATA_PAYLOAD, parseFrameHeader(frame).length)
	var se *SessionError
	require.ErrorAs(t, finishFrame(frame[:len(frame)+1]), &se)
	require.Equal(t, GoAwayInternalError, se.Status, "H15")
	require.Panics(t, func() { appendDataHeader(nil, 1, 0, MAX_DATA_PAYLOAD+1) })
	require.Panics(t, func() { appendDataHeader(nil, 1, 0, -1) })
}

func TestFrameTypesDefined(t *testing.T) {
	count := map[Version]int{SPDY2: 8, SPDY3: 9, SPDY31: 8}
	for _, v := range allVersions {
		n := 0
		for typ := range FrameType(20) {
			if typ.definedIn(v) {
				n++
			}
		}
		require.Equal(t, count[v], n, v)
		require.False(t, FrameData.definedIn(v))
		require.Equal(t, v == SPDY2, FrameNoop.definedIn(v))
		require.Equal(t, v != SPDY2, FrameWindowUpdate.definedIn(v))
		require.Equal(t, v == SPDY3, FrameCredential.definedIn(v))
	}
}

func TestFrameNames(t *testing.T) {
	require.Equal(t, "SYN_STREAM", FrameSynStream.String())
	require.Equal(t, "CREDENTIAL", FrameCredential.String())
	require.Equal(t, "frame type 65535", FrameType(65535).String())
	require.Equal(t, "INITIAL_WINDOW_SIZE", SettingInitialWindowSize.String())
	require.Equal(t, "setting 0", SettingID(0).String())
	require.Equal(t, "setting 4294967295", SettingID(math.MaxUint32).String())
}

// TestConstantsOf2015 compiles as the programs of that time do.
func TestConstantsOf2015(t *testing.T) {
	var (
		types       = [...]uint16{FRAME_SYN_STREAM, FRAME_SYN_REPLY, FRAME_RST_STREAM, FRAME_SETTINGS, FRAME_PING, FRAME_GOAWAY, FRAME_HEADERS, FRAME_WINDOW_UPDATE}
		typed       = [...]FrameType{FrameSynStream, FrameSynReply, FrameRstStream, FrameSettings, FramePing, FrameGoAway, FrameHeaders, FrameWindowUpdate}
		most  int64 = MAX_DATA_PAYLOAD
	)
	for i := range types {
		require.EqualValues(t, types[i], typed[i])
	}
	require.Equal(t, FrameFlags(0), FLAG_NONE)
	require.Equal(t, FlagFin, FLAG_FIN)
	require.EqualValues(t, 16777215, most)
}

// TestFrameCodecAllocs: the frame codec is on the path of every byte.
func TestFrameCodecAllocs(t *testing.T) {
	buf := make([]byte, 0, 1024)
	settings := []Setting{{ID: 7, Value: 65536}, {ID: 4, Value: 100}}
	for _, v := range allVersions {
		var failed error
		n := testing.AllocsPerRun(100, func() {
			b := appendDataHeader(buf, 1, FlagFin, 5)
			var h frameHeader
			parse := func(at int, err error) frameHeader {
				if err != nil {
					failed = err
				}
				return parseFrameHeader(b[at:])
			}
			at := len(b)
			b = appendSynStreamHeader(b, v, synStream{id: 1, priority: 3})
			_, _, err := parseSynStream(v, parseFrameHeader(b[at:]), b[at+8:])
			h = parse(at, err)
			at = len(b)
			b = appendSynReplyHeader(b, v, 1, FlagFin)
			_, _, err = parseSynReply(v, h, b[at+8:])
			h = parse(at, err)
			if err := finishFrame(b[at:]); err != nil {
				failed = err
			}
			at = len(b)
			b = appendHeadersHeader(b, v, 1, FlagFin)
			_, _, err = parseHeaders(v, h, b[at+8:])
			h = parse(at, err)
			at = len(b)
			b = appendRstStream(b, v, 1, RstCancel)
			_, _, err = parseRstStream(h, b[at+8:])
			h = parse(at, err)
			at = len(b)
			b = appendSettings(b, v, 0, settings)
			_, err = settingsCount(h, b[at+8:])
			settingAt(v, b[at+8:], 1)
			h = parse(at, err)
			at = len(b)
			b = appendPing(b, v, 1)
			_, err = parsePing(h, b[at+8:])
			h = parse(at, err)
			at = len(b)
			b = appendGoAway(b, v, 1, GoAwayOK)
			_, _, err = parseGoAway(v, h, b[at+8:])
			h = parse(at, err)
			at = len(b)
			b = appendWindowUpdate(b, v, 1, 100)
			_, _, err = parseWindowUpdate(h, b[at+8:])
			h = parse(at, err)
			at = len(b)
			b = appendNoop(b, v)
			err = parseNoop(h, b[at+8:])
			parse(at, err)
		})
		require.NoError(t, failed)
		require.Zero(t, n, v)
	}
}
