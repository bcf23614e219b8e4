package spdy

import "fmt"

// A FrameType is the type field of a control frame (SPEC §1.2).
type FrameType uint16

// The control frame types. FrameData stands for DATA, which is not a control frame and has no type
// field; no dialect assigns 0 to a control frame.
const (
	FrameData         FrameType = 0
	FrameSynStream    FrameType = 1
	FrameSynReply     FrameType = 2
	FrameRstStream    FrameType = 3
	FrameSettings     FrameType = 4
	FrameNoop         FrameType = 5 // SPDY/2 only
	FramePing         FrameType = 6
	FrameGoAway       FrameType = 7
	FrameHeaders      FrameType = 8
	FrameWindowUpdate FrameType = 9  // SPDY/3 and SPDY/3.1
	FrameCredential   FrameType = 10 // SPDY/3 only
)

var frameTypeNames = [...]string{
	FrameData:         "DATA",
	FrameSynStream:    "SYN_STREAM",
	FrameSynReply:     "SYN_REPLY",
	FrameRstStream:    "RST_STREAM",
	FrameSettings:     "SETTINGS",
	FrameNoop:         "NOOP",
	FramePing:         "PING",
	FrameGoAway:       "GOAWAY",
	FrameHeaders:      "HEADERS",
	FrameWindowUpdate: "WINDOW_UPDATE",
	FrameCredential:   "CREDENTIAL",
}

// String returns the type's name in the specification.
func (t FrameType) String() string {
	if int(t) < len(frameTypeNames) {
		return frameTypeNames[t]
	}
	return fmt.Sprintf("frame type %d", uint16(t))
}

// definedIn reports whether dialect v has the control frame type t. Frames of other types are
// skipped (SPEC F4, F5, F15, W20).
func (t FrameType) definedIn(v Version) bool {
	switch t {
	case FrameNoop:
		return v == SPDY2
	case FrameWindowUpdate:
		return v >= SPDY3
	case FrameCredential:
		return v == SPDY3
	}
	return t >= FrameSynStream && t <= FrameHeaders
}

// hasHeaderBlock reports whether frames of type t carry a compressed header block. Skipping such a
// block breaks the zlib context.
func (t FrameType) hasHeaderBlock() bool {
	return t == FrameSynStream || t == FrameSynReply || t == FrameHeaders
}

// The control frame types under the names of 2015.
const (
	FRAME_SYN_STREAM    = 1
	FRAME_SYN_REPLY     = 2
	FRAME_RST_STREAM    = 3
	FRAME_SETTINGS      = 4
	FRAME_PING          = 6
	FRAME_GOAWAY        = 7
	FRAME_HEADERS       = 8
	FRAME_WINDOW_UPDATE = 9
)

type frameFlags uint8

// FrameFlags are the flags of a frame: FlagFin and the like, or'ed together.
type FrameFlags = frameFlags

// The flags of frames (SPEC §1.2).
const (
	FlagFin            FrameFlags = 0x01 // DATA, SYN_STREAM, SYN_REPLY, HEADERS: the sender's last frame on the stream
	FlagUnidirectional FrameFlags = 0x02 // SYN_STREAM: the receiver may not answer on the stream
	FlagClearSettings  FrameFlags = 0x01 // SETTINGS, server to client: first discard the stored settings
)

// The flags of frames under the names of 2015.
const (
	FLAG_NONE FrameFlags = 0
	FLAG_FIN  FrameFlags = 1
)

// MAX_DATA_PAYLOAD is the maximum payload of a frame in bytes: the length field of the frame header
// has 24 bits.
const MAX_DATA_PAYLOAD = 1<<24 - 1

// A SettingID identifies the setting in an entry of a SETTINGS frame (SPEC §3). A SettingID has 24
// bits on the wire.
type SettingID uint32

// The settings.
const (
	SettingUploadBandwidth             SettingID = 1 // expected upload rate, kB/s
	SettingDownloadBandwidth           SettingID = 2 // expected download rate, kB/s
	SettingRoundTripTime               SettingID = 3 // expected round trip time, ms
	SettingMaxConcurrentStreams        SettingID = 4 // streams the receiver of the frame may have open
	SettingCurrentCwnd                 SettingID = 5 // TCP congestion window, packets
	SettingDownloadRetransRate         SettingID = 6 // retransmission rate, percent
	SettingInitialWindowSize           SettingID = 7 // send window of streams, bytes; SPDY/3 and SPDY/3.1
	SettingClientCertificateVectorSize SettingID = 8 // slots for client certificates; SPDY/3 only

	// SettingUpgrades is a setting of this library, not of SPDY: with the value 1 a client asks
	// whether the server accepts upgrades, and a server that does replies with the same entry. See
	// docs/upgrades.md. Other implementations ignore the setting (SPEC T5).
	SettingUpgrades SettingID = 0xF08441
)

var settingNames = [...]string{
	SettingUploadBandwidth:             "UPLOAD_BANDWIDTH",
	SettingDownloadBandwidth:           "DOWNLOAD_BANDWIDTH",
	SettingRoundTripTime:               "ROUND_TRIP_TIME",
	SettingMaxConcurrentStreams:        "MAX_CONCURRENT_STREAMS",
	SettingCurrentCwnd:                 "CURRENT_CWND",
	SettingDownloadRetransRate:         "DOWNLOAD_RETRANS_RATE",
	SettingInitialWindowSize:           "INITIAL_WINDOW_SIZE",
	SettingClientCertificateVectorSize: "CLIENT_CERTIFICATE_VECTOR_SIZE",
}

// String returns the setting's name in the specification.
func (id SettingID) String() string {
	if int64(id) < int64(len(settingNames)) && settingNames[id] != "" {
		return settingNames[id]
	}
	if id == SettingUpgrades {
		return "UPGRADES"
	}
	return fmt.Sprintf("setting %d", uint32(id))
}

// The flags of an entry of a SETTINGS frame.
const (
	FlagPersistValue uint8 = 0x1 // server to client: please store the value
	FlagPersisted    uint8 = 0x2 // client to server: a value stored earlier
)

// A Setting is an entry of a SETTINGS frame. Flags are FlagPersistValue and FlagPersisted.
type Setting struct {
	ID    SettingID // which setting
	Flags uint8     // whether the value persists between sessions; 0 if not
	Value uint32    // in the unit of the ID
}

// frameHeaderSize is the size of the header of every frame (SPEC §1.1).
const frameHeaderSize = 8

const (
	maxStreamID  = 1<<31 - 1 // stream ids have 31 bits (SPEC §1.12)
	maxSettingID = 1<<24 - 1
)

// Sizes of payloads, or of the fields before the header block (SPEC §1.2).
const (
	synStreamFixed    = 10
	rstStreamSize     = 8
	settingsFixed     = 4
	settingSize       = 8
	pingSize          = 4
	windowUpdateSize  = 8
	credentialFixed   = 6
	maxSettingEntries = (MAX_DATA_PAYLOAD - settingsFixed) / settingSize
)

// replyFixed returns the size of the fields before the header block in SYN_REPLY and HEADERS:
// SPDY/2 has 16 unused bits after the stream id (SPEC §1.4).
func replyFixed(v Version) int {
	if v == SPDY2 {
		return 6
	}
	return 4
}

// goAwaySize returns the payload size of GOAWAY; SPDY/2 has no status field (SPEC §1.9).
func goAwaySize(v Version) int {
	if v == SPDY2 {
		return 4
	}
	return 8
}

// maxPriority returns the least urgent priority that SYN_STREAM can express; 0 is the most urgent
// in every dialect (SPEC §1.3).
func maxPriority(v Version) uint8 {
	if v == SPDY2 {
		return 3
	}
	return 7
}

// priorityShift returns the bit offset of the priority in byte 8 of SYN_STREAM.
func priorityShift(v Version) uint {
	if v == SPDY2 {
		return 6
	}
	return 5
}

// frameHeader is the parsed common header of a frame.
type frameHeader struct {
	control  bool
	version  uint16    // control frames: version on the wire, 2 or 3
	typ      FrameType // control frames
	streamID uint32    // DATA
	flags    frameFlags
	length   int // payload bytes that follow, at most MAX_DATA_PAYLOAD
}

// synStream is the parsed fields before the header block of SYN_STREAM.
type synStream struct {
	id, assoc uint32
	priority  uint8 // of the dialect: 0 to 3 in SPDY/2, 0 to 7 otherwise
	slot      uint8 // SPDY/3 only: index into the credential vector
	flags     frameFlags
}
