package spdy

import "net/http"

// Version is the version number in control frames, which SPDY/3 and SPDY/3.1 share.
const Version = 3

// MaxDataLength is the largest payload of a frame, in bytes: its length has 24 bits
// (SPDY/3.1 §2.2).
const MaxDataLength = 1<<24 - 1

// StreamId is the 31-bit number of a stream; 0 means no stream.
type StreamId uint32

// ControlFrameType is the type of a control frame.
type ControlFrameType uint16

// The types of control frames.
const (
	TypeSynStream    ControlFrameType = 1
	TypeSynReply     ControlFrameType = 2
	TypeRstStream    ControlFrameType = 3
	TypeSettings     ControlFrameType = 4
	TypePing         ControlFrameType = 6
	TypeGoAway       ControlFrameType = 7
	TypeHeaders      ControlFrameType = 8
	TypeWindowUpdate ControlFrameType = 9
)

// ControlFlags are the flags of a control frame.
type ControlFlags uint8

// The flags of control frames.
const (
	ControlFlagFin                   ControlFlags = 1 // SYN_STREAM, SYN_REPLY, HEADERS: the last frame of the stream from this side
	ControlFlagUnidirectional        ControlFlags = 2 // SYN_STREAM: the peer sends nothing
	ControlFlagSettingsClearSettings ControlFlags = 1 // SETTINGS: discard stored settings
)

// DataFlags are the flags of a DATA frame.
type DataFlags uint8

// DataFlagFin marks the sender's last frame of a stream.
const DataFlagFin DataFlags = 1

// A Frame is a frame of this package, as a pointer: *SynStreamFrame, *SynReplyFrame,
// *RstStreamFrame, *SettingsFrame, *PingFrame, *GoAwayFrame, *HeadersFrame, *WindowUpdateFrame or
// *DataFrame.
type Frame interface {
	// write writes the frame.
	write(f *Framer) error
}

// A ControlFrameHeader is the common part of all control frames. A Framer fills in all fields
// except the flags.
type ControlFrameHeader struct {
	version   uint16
	frameType ControlFrameType

	// Flags are the flags of the frame.
	Flags  ControlFlags
	length uint32
}

// A SynStreamFrame opens a stream (SPDY/3.1 §2.6.1).
type SynStreamFrame struct {
	CFHeader             ControlFrameHeader
	StreamId             StreamId
	AssociatedToStreamId StreamId // the parent stream, or 0
	Priority             uint8    // 0, the most urgent, to 7
	Slot                 uint8    // SPDY/3: index of the client's certificate
	Headers              http.Header
}

// A SynReplyFrame accepts a stream (SPDY/3.1 §2.6.2).
type SynReplyFrame struct {
	CFHeader ControlFrameHeader
	StreamId StreamId
	Headers  http.Header
}

// RstStreamStatus is the reason for resetting a stream.
type RstStreamStatus uint32

// The reasons to reset a stream (SPDY/3.1 §2.6.3).
const (
	ProtocolError       RstStreamStatus = 1  // the peer broke the protocol
	InvalidStream       RstStreamStatus = 2  // a frame for a stream that is not open
	RefusedStream       RstStreamStatus = 3  // the stream was not processed, and may be retried
	UnsupportedVersion  RstStreamStatus = 4  // another version of SPDY
	Cancel              RstStreamStatus = 5  // the stream is no longer wanted
	InternalError       RstStreamStatus = 6  // a failure of the frame's sender
	FlowControlError    RstStreamStatus = 7  // more bytes than the window were sent
	StreamInUse         RstStreamStatus = 8  // a second SYN_REPLY
	StreamAlreadyClosed RstStreamStatus = 9  // a frame for a half that is closed
	InvalidCredentials  RstStreamStatus = 10 // SPDY/3: the certificate is unusable
	FrameTooLarge       RstStreamStatus = 11 // the frame is larger than the receiver accepts
)

// A RstStreamFrame ends a stream at once (SPDY/3.1 §2.6.3).
type RstStreamFrame struct {
	CFHeader ControlFrameHeader
	StreamId StreamId
	Status   RstStreamStatus // must not be 0
}

// SettingsFlag controls whether a setting outlives the session.
type SettingsFlag uint8

// The flags of a setting.
const (
	FlagSettingsPersistValue SettingsFlag = 1 // from a server: store the setting
	FlagSettingsPersisted    SettingsFlag = 2 // from a client: the setting was stored
)

// SettingsId identifies a setting, with 24 bits.
type SettingsId uint32

// The settings (SPDY/3.1 §2.6.4).
const (
	SettingsUploadBandwidth             SettingsId = 1 // in KB/s
	SettingsDownloadBandwidth           SettingsId = 2 // in KB/s
	SettingsRoundTripTime               SettingsId = 3 // in ms
	SettingsMaxConcurrentStreams        SettingsId = 4
	SettingsCurrentCwnd                 SettingsId = 5 // TCP's window, in packets
	SettingsDownloadRetransRate         SettingsId = 6 // in percent
	SettingsInitialWindowSize           SettingsId = 7 // in bytes
	SettingsClientCretificateVectorSize SettingsId = 8 // SPDY/3; the name is spelled as in the original
)

// A SettingsFlagIdValue is a setting.
type SettingsFlagIdValue struct {
	Flag  SettingsFlag
	Id    SettingsId
	Value uint32
}

// A SettingsFrame informs the peer about limits and measurements (SPDY/3.1 §2.6.4).
type SettingsFrame struct {
	CFHeader     ControlFrameHeader
	FlagIdValues []SettingsFlagIdValue
}

// A PingFrame is echoed unchanged by the peer (SPDY/3.1 §2.6.5).
type PingFrame struct {
	CFHeader ControlFrameHeader
	Id       uint32 // odd if the client asks, even if the server asks; not 0
}

// GoAwayStatus is the reason for ending a session.
type GoAwayStatus uint32

// The reasons to end a session (SPDY/3.1 §2.6.6).
const (
	GoAwayOK            GoAwayStatus = 0 // an orderly end
	GoAwayProtocolError GoAwayStatus = 1 // the peer broke the protocol
	GoAwayInternalError GoAwayStatus = 2 // a failure of the frame's sender
)

// A GoAwayFrame announces that the sender accepts no more streams (SPDY/3.1 §2.6.6).
type GoAwayFrame struct {
	CFHeader         ControlFrameHeader
	LastGoodStreamId StreamId // the last stream that the sender has accepted
	Status           GoAwayStatus
}

// A HeadersFrame adds headers to a stream (SPDY/3.1 §2.6.7).
type HeadersFrame struct {
	CFHeader ControlFrameHeader
	StreamId StreamId
	Headers  http.Header
}

// A WindowUpdateFrame grants the peer more credit (SPDY/3.1 §2.6.8).
type WindowUpdateFrame struct {
	CFHeader        ControlFrameHeader
	StreamId        StreamId // 0 means the session in SPDY/3.1
	DeltaWindowSize uint32   // additional bytes
}

// A DataFrame carries bytes of a stream (SPDY/3.1 §2.2.2).
type DataFrame struct {
	StreamId StreamId
	Flags    DataFlags
	Data     []byte // at most MaxDataLength
}

// An ErrorCode is the fault of a frame.
type ErrorCode string

// The possible faults of a frame.
const (
	UnlowercasedHeaderName     ErrorCode = "header was not lowercased"
	DuplicateHeaders           ErrorCode = "multiple headers with same name"
	WrongCompressedPayloadSize ErrorCode = "compressed payload size was incorrect"
	UnknownFrameType           ErrorCode = "unknown frame type" // kept for programs that name it
	InvalidControlFrame        ErrorCode = "invalid control frame"
	InvalidDataFrame           ErrorCode = "invalid data frame"
	InvalidHeaderPresent       ErrorCode = "frame contained invalid header"
	ZeroStreamId               ErrorCode = "stream id zero is disallowed"
)

// An Error is the error for a faulty frame.
type Error struct {
	Err      ErrorCode
	StreamId StreamId // the stream of the frame, or 0
}

// Error returns the code.
func (e *Error) Error() string { return string(e.Err) }
