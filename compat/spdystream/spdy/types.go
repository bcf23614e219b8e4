package spdy

import "net/http"

// Version is the version number in control frames, which SPDY/3 and SPDY/3.1 share.
const Version = 3

// MaxDataLength is the largest payload of a frame, in bytes: its length has 24 bits
// (SPDY/3.1 §2.2).
const MaxDataLength = 1<<24 - 1

// StreamId is the number of a stream, of 31 bits; 0 stands for none.
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
	ControlFlagUnidirectional        ControlFlags = 2 // SYN_STREAM: nothing comes back
	ControlFlagSettingsClearSettings ControlFlags = 1 // SETTINGS: forget what was kept
)

// DataFlags are the flags of a DATA frame.
type DataFlags uint8

// DataFlagFin marks the last frame of a stream from its sender.
const DataFlagFin DataFlags = 1

// A Frame is one of the frames of this package, behind a pointer: *SynStreamFrame,
// *SynReplyFrame, *RstStreamFrame, *SettingsFrame, *PingFrame, *GoAwayFrame,
// *HeadersFrame, *WindowUpdateFrame or *DataFrame.
type Frame interface {
	// write writes the frame.
	write(f *Framer) error
}

// A ControlFrameHeader is what all control frames have in common. A Framer fills in all
// but the flags.
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
	AssociatedToStreamId StreamId // the stream that this one belongs to, or 0
	Priority             uint8    // 0, the most urgent, to 7
	Slot                 uint8    // SPDY/3: which of the client's certificates
	Headers              http.Header
}

// A SynReplyFrame accepts a stream (SPDY/3.1 §2.6.2).
type SynReplyFrame struct {
	CFHeader ControlFrameHeader
	StreamId StreamId
	Headers  http.Header
}

// RstStreamStatus says why a stream was reset.
type RstStreamStatus uint32

// The reasons to reset a stream (SPDY/3.1 §2.6.3).
const (
	ProtocolError       RstStreamStatus = 1  // the peer broke the protocol
	InvalidStream       RstStreamStatus = 2  // a frame for a stream that is not open
	RefusedStream       RstStreamStatus = 3  // nothing was done, and it may be tried again
	UnsupportedVersion  RstStreamStatus = 4  // another version of SPDY
	Cancel              RstStreamStatus = 5  // nobody wants the stream any more
	InternalError       RstStreamStatus = 6  // a failure of the frame's sender
	FlowControlError    RstStreamStatus = 7  // more than the window was sent
	StreamInUse         RstStreamStatus = 8  // a second SYN_REPLY
	StreamAlreadyClosed RstStreamStatus = 9  // a frame for a half that is closed
	InvalidCredentials  RstStreamStatus = 10 // SPDY/3: the certificate is of no use
	FrameTooLarge       RstStreamStatus = 11 // a frame larger than its receiver takes
)

// A RstStreamFrame ends a stream at once (SPDY/3.1 §2.6.3).
type RstStreamFrame struct {
	CFHeader ControlFrameHeader
	StreamId StreamId
	Status   RstStreamStatus // must not be 0
}

// SettingsFlag says what becomes of a setting after the session.
type SettingsFlag uint8

// The flags of a setting.
const (
	FlagSettingsPersistValue SettingsFlag = 1 // from a server: keep it
	FlagSettingsPersisted    SettingsFlag = 2 // from a client: it was kept
)

// SettingsId names a setting, with 24 bits.
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

// A SettingsFlagIdValue is one setting.
type SettingsFlagIdValue struct {
	Flag  SettingsFlag
	Id    SettingsId
	Value uint32
}

// A SettingsFrame tells the peer about limits and measurements (SPDY/3.1 §2.6.4).
type SettingsFrame struct {
	CFHeader     ControlFrameHeader
	FlagIdValues []SettingsFlagIdValue
}

// A PingFrame comes back from the peer as it is (SPDY/3.1 §2.6.5).
type PingFrame struct {
	CFHeader ControlFrameHeader
	Id       uint32 // odd if the client asks, even if the server does; not 0
}

// GoAwayStatus says why a session ends.
type GoAwayStatus uint32

// The reasons to end a session (SPDY/3.1 §2.6.6).
const (
	GoAwayOK            GoAwayStatus = 0 // in an orderly way
	GoAwayProtocolError GoAwayStatus = 1 // the peer broke the protocol
	GoAwayInternalError GoAwayStatus = 2 // a failure of the frame's sender
)

// A GoAwayFrame says that its sender takes no more streams (SPDY/3.1 §2.6.6).
type GoAwayFrame struct {
	CFHeader         ControlFrameHeader
	LastGoodStreamId StreamId // the last stream that its sender has accepted
	Status           GoAwayStatus
}

// A HeadersFrame adds headers to a stream (SPDY/3.1 §2.6.7).
type HeadersFrame struct {
	CFHeader ControlFrameHeader
	StreamId StreamId
	Headers  http.Header
}

// A WindowUpdateFrame lets the peer send more (SPDY/3.1 §2.6.8).
type WindowUpdateFrame struct {
	CFHeader        ControlFrameHeader
	StreamId        StreamId // 0 stands for the session in SPDY/3.1
	DeltaWindowSize uint32   // how many bytes more
}

// A DataFrame carries bytes of a stream (SPDY/3.1 §2.2.2).
type DataFrame struct {
	StreamId StreamId
	Flags    DataFlags
	Data     []byte // at most MaxDataLength
}

// An ErrorCode says what is wrong with a frame.
type ErrorCode string

// What can be wrong with a frame.
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

// An Error is what is wrong with a frame.
type Error struct {
	Err      ErrorCode
	StreamId StreamId // the stream that the frame is about, or 0
}

// Error returns the code.
func (e *Error) Error() string { return string(e.Err) }
